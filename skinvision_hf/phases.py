"""One phase of training, on any number of processes: epochs, averaging, validation, checkpoints, early stopping."""

import json
import logging
import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from accelerate import Accelerator, DataLoaderConfiguration
from accelerate.utils import broadcast, set_seed
from datasets import DatasetDict
from timm.optim import param_groups_weight_decay
from timm.utils import ModelEmaV3
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from skinvision_hf import metrics
from skinvision_hf.checkpoints import HISTORY_FILE, Checkpoints, Progress
from skinvision_hf.config import PhaseConfig, TrainConfig
from skinvision_hf.errors import DataError, RunError
from skinvision_hf.evaluation import collect_logits, make_loader
from skinvision_hf.files import atomic_write
from skinvision_hf.labels import CODES
from skinvision_hf.losses import ClassificationLoss
from skinvision_hf.metrics.statistics import OVERALL_METRICS
from skinvision_hf.modeling import SkinVisionForImageClassification
from skinvision_hf.transforms import eval_transform, train_transform

__all__ = ["PhaseParts", "Run", "run_phase", "train_epoch"]

logger = logging.getLogger(__name__)

LOWER_IS_BETTER = ("log_loss", "brier_score", "ece")


@dataclass
class Run:
    """What both phases share."""

    config: TrainConfig
    accelerator: Accelerator
    data: DatasetDict
    model: SkinVisionForImageClassification
    progress: Progress
    checkpoints: Checkpoints

    @classmethod
    def start(cls, config: TrainConfig, data: DatasetDict) -> "Run":
        """Set up processes, trackers and the network.

        Raises:
            DataError: If the monitored metric is unknown, or the training or validation split is empty or
                smaller than a batch for each process.
            RunError: If fewer processes were started than asked for.
        """
        if config.monitor not in OVERALL_METRICS:
            raise DataError(
                f"there is no metric {config.monitor!r} to monitor; use one of {', '.join(OVERALL_METRICS)}"
            )
        output_dir = Path(config.output_dir)
        accelerator = Accelerator(
            # None leaves the choice to `accelerate launch`.
            mixed_precision=None if config.mixed_precision == "no" else config.mixed_precision,
            gradient_accumulation_steps=config.gradient_accumulation_steps,
            log_with=None if config.report_to == "none" else config.report_to,
            project_dir=str(output_dir / "logs"),
            dataloader_config=DataLoaderConfiguration(use_seedable_sampler=True, data_seed=config.seed),
            # Without this, Accelerate takes several processes without accelerators for a mistake.
            cpu=True if not torch.accelerator.is_available() else None,
        )
        _assert_all_processes_started(accelerator)
        if len(data["train"]) < accelerator.num_processes or not len(data["validation"]):
            raise DataError("the training or validation split holds too few images; use more data or fewer processes")
        set_seed(config.seed)
        with accelerator.main_process_first():
            model = SkinVisionForImageClassification.create(config.model)
        progress = Progress()
        accelerator.register_for_checkpointing(progress)
        return cls(config, accelerator, data, model, progress, Checkpoints(output_dir))


def _assert_all_processes_started(accelerator: Accelerator) -> None:
    """`accelerate launch --cpu --num_processes N` starts one process without a word when MPI is not set up."""
    asked = "MASTER_ADDR" in os.environ and os.environ.get("ACCELERATE_USE_CPU", "").lower() == "true"
    if asked and accelerator.num_processes == 1 and "WORLD_SIZE" not in os.environ:
        raise RunError(
            "several CPU processes were asked for, but accelerate starts only one without MPI; start them with "
            "'torchrun --nproc_per_node N scripts/train.py ...', or give accelerate an --mpirun_hostfile"
        )


def run_phase(run: Run, index: int, name: str, phase: PhaseConfig, *, resume: Path | None = None) -> None:
    """Train one phase to its last epoch, or until it stops getting better.

    Args:
        run: What the phases share; its network is trained in place.
        index: Number of the phase.
        name: Name of the phase, for the history.
        phase: Its settings.
        resume: Checkpoint inside this phase to go on from.
    """
    accelerator = run.accelerator
    parts = PhaseParts.build(run, phase)
    if resume:
        accelerator.load_state(str(resume))
        logger.info("resumed from %s", resume)
    else:
        run.progress.phase, run.progress.epoch, run.progress.stale = index, 0, 0
    while run.progress.epoch < phase.epochs and not (phase.patience and run.progress.stale >= phase.patience):
        epoch = run.progress.epoch
        # A seed of its own for each epoch makes a resumed run equal to an uninterrupted one.
        set_seed(run.config.seed + 1000 * (index + 1) + epoch, device_specific=True)
        parts.train_loader.set_epoch(1000 * index + epoch)
        record = {"phase": name, "epoch": epoch + 1} | train_epoch(run, parts, f"{name} {epoch + 1}/{phase.epochs}")
        record |= _validate(run, parts)
        run.progress.epoch += 1
        _keep_best(run, parts, record)
        run.progress.history.append(record)
        if accelerator.is_main_process:
            lines = "".join(json.dumps(r) + "\n" for r in run.progress.history)
            atomic_write(Path(run.config.output_dir) / HISTORY_FILE, lines)
        accelerator.log({k: v for k, v in record.items() if isinstance(v, float)}, step=len(run.progress.history))
        run.checkpoints.save(accelerator, run.progress)
    run.model = accelerator.unwrap_model(parts.model)
    # Accelerate keeps what it prepared and what it saves; the next phase brings its own.
    accelerator.free_memory()
    accelerator._custom_objects = [run.progress]


@dataclass
class PhaseParts:
    """The objects of one phase, prepared by Accelerate."""

    model: torch.nn.Module
    ema: ModelEmaV3 | None
    optimizer: Any
    scheduler: Any
    loss: ClassificationLoss
    train_loader: Any
    validation_loader: DataLoader
    steps: int = 0

    @classmethod
    def build(cls, run: Run, phase: PhaseConfig) -> "PhaseParts":
        """Make the loaders, optimiser, schedule and average of a phase, and freeze or unfreeze the network."""
        config, accelerator, model = run.config, run.accelerator, run.model
        model.unfreeze() if phase.train_backbone else model.freeze_backbone()
        model.to(accelerator.device, memory_format=torch.channels_last)
        cfg = model.config.pretrained_cfg
        train_loader = make_loader(
            run.data["train"],
            train_transform(cfg, config.augment),
            batch_size=config.batch_size,
            shuffle=True,
            num_workers=config.num_workers,
        )
        validation_loader = make_loader(
            run.data["validation"], eval_transform(cfg), batch_size=64, num_workers=config.num_workers
        )
        optimizer = torch.optim.AdamW(
            param_groups_weight_decay(model, phase.weight_decay), lr=phase.learning_rate, weight_decay=0.0, fused=True
        )
        updates = -(-len(train_loader) // config.gradient_accumulation_steps)
        scheduler = transformers.get_scheduler(
            "cosine" if phase.schedule == "cosine" else "constant_with_warmup",
            optimizer,
            num_warmup_steps=round(phase.warmup_epochs * updates),
            num_training_steps=phase.epochs * updates,
        )
        ema = ModelEmaV3(model, decay=phase.ema_decay, use_warmup=True) if phase.ema_decay else None
        labels = run.data["train"].with_format("numpy")["label"][:]
        loss = ClassificationLoss(labels, len(CODES), config.loss, mix=phase.train_backbone).to(accelerator.device)
        model, optimizer, train_loader, validation_loader, scheduler = accelerator.prepare(
            model, optimizer, train_loader, validation_loader, scheduler
        )
        parts = cls(model, ema, optimizer, scheduler, loss, train_loader, validation_loader)
        accelerator.register_for_checkpointing(*([ema] if ema else []), _Steps(parts))
        return parts

    @property
    def evaluated(self) -> torch.nn.Module:
        """The network that is evaluated and kept: the average where there is one."""
        return self.ema.module if self.ema else self.model


class _Steps:
    """Lets Accelerate save the number of weight updates, on which the average's warm-up depends."""

    def __init__(self, parts: PhaseParts) -> None:
        self.parts = parts

    def state_dict(self) -> dict[str, int]:
        return {"steps": self.parts.steps}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.parts.steps = state["steps"]


def train_epoch(run: Run, parts: PhaseParts, title: str) -> dict[str, float]:
    """Pass once over the training split.

    Returns:
        Mean training loss, last learning rate, images per second over all processes, and seconds.
    """
    accelerator, start, images = run.accelerator, time.perf_counter(), 0
    parts.model.train()
    total = torch.zeros((), device=accelerator.device)
    with tqdm(total=len(parts.train_loader), desc=title, disable=not accelerator.is_local_main_process) as bar:
        for batch in parts.train_loader:
            with accelerator.accumulate(parts.model):
                loss = _step(run, parts, batch)
            total += loss
            images += len(batch["labels"]) * accelerator.num_processes
            speed = images / (time.perf_counter() - start)
            bar.set_postfix(loss=f"{loss:.3f}", lr=f"{parts.scheduler.get_last_lr()[0]:.1e}", img_s=f"{speed:.0f}")
            bar.update()
    seconds = time.perf_counter() - start
    mean = accelerator.gather(total / len(parts.train_loader)).mean().item()
    if not math.isfinite(mean):
        raise RunError(f"the loss is no number any more in epoch {title}; lower the learning rate")
    rate = float(parts.scheduler.get_last_lr()[0])
    return {"train_loss": mean, "learning_rate": rate, "images_per_second": images / seconds, "seconds": seconds}


def _step(run: Run, parts: PhaseParts, batch: dict[str, Tensor]) -> Tensor:
    accelerator = run.accelerator
    pixels, targets = parts.loss.mix(batch["pixel_values"], batch["labels"])
    with accelerator.autocast():
        logits = parts.model(pixels.contiguous(memory_format=torch.channels_last)).logits
    loss = parts.loss(logits, targets)
    accelerator.backward(loss)
    if accelerator.sync_gradients:
        accelerator.clip_grad_norm_(parts.model.parameters(), run.config.max_grad_norm)
    parts.optimizer.step()
    parts.scheduler.step()
    parts.optimizer.zero_grad()
    if accelerator.sync_gradients:
        parts.steps += 1
        if parts.ema:
            parts.ema.update(accelerator.unwrap_model(parts.model), step=parts.steps)
    return loss.detach()


def _validate(run: Run, parts: PhaseParts) -> dict[str, float]:
    for tensor in _float_buffers(parts.evaluated):
        # Processes see different images, so their batch-norm statistics differ; the main process's count.
        tensor.copy_(broadcast(tensor))
    logits, labels = collect_logits(parts.evaluated, parts.validation_loader, accelerator=run.accelerator)
    probabilities = torch.from_numpy(logits).double().softmax(dim=1).numpy()
    return {f"validation_{name}": value for name, value in metrics.compute(probabilities, labels).items()}


def _float_buffers(module: torch.nn.Module) -> Iterator[Tensor]:
    return (buffer for buffer in module.buffers() if buffer.is_floating_point())


def _keep_best(run: Run, parts: PhaseParts, record: dict[str, Any]) -> None:
    """Save the network if it is the best so far by the monitored metric."""
    monitor, progress = run.config.monitor, run.progress
    value = record[f"validation_{monitor}"]
    value = -value if monitor in LOWER_IS_BETTER else value
    progress.stale += 1
    if math.isfinite(value) and (progress.best is None or value > progress.best):
        progress.best, progress.best_epoch, progress.stale = value, (record["phase"], record["epoch"]), 0
        if run.accelerator.is_main_process:
            run.accelerator.unwrap_model(parts.evaluated).save_pretrained(run.checkpoints.best(progress), half=False)
