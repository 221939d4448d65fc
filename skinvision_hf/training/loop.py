"""One phase of training, on any number of processes: epochs, averaging, validation, checkpoints, early stopping."""

import json
import logging
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import broadcast, set_seed
from torch import Tensor
from tqdm.auto import tqdm

from skinvision_hf.config import PhaseConfig
from skinvision_hf.data.loaders import iterate
from skinvision_hf.errors import DataError, RunError
from skinvision_hf.evaluation import metrics
from skinvision_hf.evaluation.logits import collect_logits
from skinvision_hf.files import atomic_write
from skinvision_hf.models.release import HISTORY_FILE
from skinvision_hf.training.setup import PhaseParts, Run

__all__ = ["run_phase", "train_epoch"]

logger = logging.getLogger(__name__)

SHOWN_EVERY = 20
LOWER_IS_BETTER = ("log_loss", "brier_score", "ece")


def run_phase(run: Run, index: int, name: str, phase: PhaseConfig, *, resume: Path | None = None) -> None:
    """Train one phase to its last epoch, or until it stops getting better.

    Args:
        run: What the phases share; its network is trained in place.
        index: Number of the phase.
        name: Name of the phase, for the history.
        phase: Its settings.
        resume: Checkpoint inside this phase to go on from.

    Raises:
        DataError: If the checkpoint does not fit.
        RunError: If the loss stops being a number.
    """
    accelerator = run.accelerator
    splits = PhaseParts.build(run, phase)
    if resume:
        try:
            accelerator.load_state(str(resume))
        except RuntimeError as error:
            raise DataError(
                f"{resume} is not of this version's training; start again in another --output_dir"
            ) from error
        logger.info("resumed from %s", resume)
    else:
        run.progress.phase, run.progress.epoch, run.progress.stale = index, 0, 0
    while run.progress.epoch < phase.epochs and not (phase.patience and run.progress.stale >= phase.patience):
        epoch = run.progress.epoch
        # A seed of its own for each epoch makes a resumed run equal to an uninterrupted one.
        set_seed(run.config.seed + 1000 * (index + 1) + epoch, device_specific=True)
        splits.train_loader.set_epoch(1000 * index + epoch)
        splits.transform.set_progress(epoch / max(phase.epochs - 1, 1))
        record = {"phase": name, "epoch": epoch + 1} | train_epoch(run, splits, f"{name} {epoch + 1}/{phase.epochs}")
        record |= _validate(run, splits)
        run.progress.epoch += 1
        _keep_best(run, splits, record)
        run.progress.history.append(record)
        if accelerator.is_main_process:
            lines = "".join(json.dumps(r) + "\n" for r in run.progress.history)
            atomic_write(Path(run.config.output_dir) / HISTORY_FILE, lines)
        accelerator.log({k: v for k, v in record.items() if isinstance(v, float)}, step=len(run.progress.history))
        run.checkpoints.save(accelerator, run.progress)
    run.end_phase()


def train_epoch(run: Run, splits: PhaseParts, title: str) -> dict[str, float]:
    """Pass once over the training split.

    Returns:
        Mean training loss, last learning rate, images per second over all processes, and seconds.
    """
    accelerator, start, images = run.accelerator, time.perf_counter(), 0
    splits.model.train()
    total = torch.zeros((), device=accelerator.device)
    with tqdm(total=len(splits.train_loader), desc=title, disable=not accelerator.is_local_main_process) as bar:
        for batch in iterate(splits.train_loader):
            with accelerator.accumulate(splits.model):
                loss = _step(run, splits, batch)
            total += loss
            images += len(batch["labels"]) * accelerator.num_processes
            if not bar.disable and bar.n % SHOWN_EVERY == 0:
                # Reading the loss waits for the device, so it is not read at every step.
                speed = images / (time.perf_counter() - start)
                shown = {
                    "loss": f"{loss:.3f}",
                    "lr": f"{splits.scheduler.get_last_lr()[0]:.1e}",
                    "img_s": f"{speed:.0f}",
                }
                bar.set_postfix(shown, refresh=False)
            bar.update()
    seconds = time.perf_counter() - start
    mean = accelerator.gather(total / len(splits.train_loader)).mean().item()
    if not math.isfinite(mean):
        raise RunError(f"the loss is no number any more in epoch {title}; lower the learning rate")
    rate = float(splits.scheduler.get_last_lr()[0])
    return {"train_loss": mean, "learning_rate": rate, "images_per_second": images / seconds, "seconds": seconds}


def _step(run: Run, splits: PhaseParts, batch: dict[str, Tensor]) -> Tensor:
    accelerator = run.accelerator
    pixels, targets = splits.loss.mix(splits.augmentation(batch["pixel_values"]), batch["labels"])
    with accelerator.autocast():
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        logits = splits.model(pixels).logits
        if run.teachers:
            targets = run.teachers(pixels, targets)
    loss = splits.loss(logits, targets)
    accelerator.backward(loss)
    if accelerator.sync_gradients:
        accelerator.clip_grad_norm_(splits.model.parameters(), run.config.max_grad_norm)
    splits.optimizer.step()
    splits.scheduler.step()
    splits.optimizer.zero_grad()
    if accelerator.sync_gradients:
        splits.steps += 1
        if splits.ema:
            splits.ema.update(splits.network, step=splits.steps)
    return loss.detach()


def _validate(run: Run, splits: PhaseParts) -> dict[str, float]:
    for tensor in _float_buffers(splits.evaluated):
        # Processes see different images, so their batch-norm statistics differ; the main process's count.
        tensor.copy_(broadcast(tensor))
    logits, labels = collect_logits(splits.evaluated, splits.validation_loader, accelerator=run.accelerator)
    probabilities = torch.from_numpy(logits).double().softmax(dim=1).numpy()
    return {f"validation_{name}": value for name, value in metrics.compute(probabilities, labels).items()}


def _float_buffers(module: torch.nn.Module) -> Iterator[Tensor]:
    return (buffer for buffer in module.buffers() if buffer.is_floating_point())


def _keep_best(run: Run, splits: PhaseParts, record: dict[str, Any]) -> None:
    """Save the network if it is the best so far by the monitored metric."""
    monitor, progress = run.config.monitor, run.progress
    value = record[f"validation_{monitor}"]
    value = -value if monitor in LOWER_IS_BETTER else value
    progress.stale += 1
    if math.isfinite(value) and (progress.best is None or value > progress.best):
        progress.best, progress.best_epoch, progress.stale = value, (record["phase"], record["epoch"]), 0
        folder = run.checkpoints.best(progress)
        if folder and run.accelerator.is_main_process:
            splits.evaluated.save_pretrained(folder, half=False)
