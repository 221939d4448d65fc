"""One phase of training, on any number of processes: its passes over the training images, and validation."""

import math
import time
from typing import Any

import torch
import transformers
from accelerate import Accelerator
from accelerate.utils import broadcast
from timm.optim import param_groups_weight_decay
from timm.utils import ModelEmaV3
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from skinvision_hf.config import PhaseConfig, TrainConfig
from skinvision_hf.data.augmentation import BatchAugmentation
from skinvision_hf.data.loaders import iterate
from skinvision_hf.errors import RunError
from skinvision_hf.evaluation.evaluate import collect_logits
from skinvision_hf.evaluation.evaluate_metrics import compute
from skinvision_hf.models.modeling import SkinVisionForImageClassification
from skinvision_hf.training.losses import ClassificationLoss, lesion_focus_loss

SHOWN_EVERY = 20
MAX_GRAD_NORM = 1.0
SCHEDULES = {"cosine": "cosine", "constant": "constant_with_warmup"}


class Phase:
    """The optimiser, schedule and average of one phase, prepared by Accelerate, and what is done with them.

    `head` trains the classifier on the frozen backbone, `finetune` all layers on mixed images; the network is trained
    in place. The loaders, of training and of validation images, are not yet prepared.
    """

    def __init__(
        self,
        config: TrainConfig,
        name: str,
        network: SkinVisionForImageClassification,
        loaders: tuple[DataLoader, DataLoader],
        loss: ClassificationLoss,
        accelerator: Accelerator,
    ) -> None:
        settings: PhaseConfig = getattr(config, name)
        self.mix = name != "head"
        if name == "head":
            network.freeze_backbone()
        else:
            network.unfreeze()
        network.to(accelerator.device, memory_format=torch.channels_last)
        self.network, self.accelerator, self.mask_weight = network, accelerator, config.loss.mask_weight
        self.loss = loss.to(accelerator.device)
        self.augment = BatchAugmentation(network.config.pretrained_cfg, config.augment).to(accelerator.device)
        self.average = ModelEmaV3(network, settings.ema_decay, use_warmup=True) if settings.ema_decay else None
        self.train_loader, self.validation_loader = accelerator.prepare(*loaders)
        groups = param_groups_weight_decay(network, settings.weight_decay)
        optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate, weight_decay=0.0, fused=True)
        # Accelerate moves the schedule once for each process.
        updates = math.ceil(len(self.train_loader) / accelerator.gradient_accumulation_steps)
        scheduler = transformers.get_scheduler(
            SCHEDULES[settings.schedule],
            optimizer,
            num_warmup_steps=round(settings.warmup_epochs * updates) * accelerator.num_processes,
            num_training_steps=settings.epochs * updates * accelerator.num_processes,
        )
        model = Outputs(network, maps=config.loss.mask_weight > 0)
        self.model, self.optimizer, self.scheduler = accelerator.prepare(model, optimizer, scheduler)
        self.updates = 0

    @property
    def result(self) -> SkinVisionForImageClassification:
        """The network that is evaluated and kept: the average where there is one."""
        return self.average.module if self.average else self.network

    def train_epoch(self, title: str) -> dict[str, float]:
        """Pass once over the training split.

        Returns:
            Mean training loss, last learning rate, images per second over all processes, and seconds.

        Raises:
            RunError: If the loss becomes NaN or infinite.
        """
        accelerator, start, images = self.accelerator, time.perf_counter(), 0
        self.model.train()
        total = torch.zeros((), device=accelerator.device)
        with tqdm(total=len(self.train_loader), desc=title, disable=not accelerator.is_local_main_process) as bar:
            for batch in iterate(self.train_loader):
                pixels, targets = self.loss.targets(self.augment(batch["pixel_values"]), batch["labels"], mix=self.mix)
                with accelerator.accumulate(self.model):
                    loss = self._loss(pixels[:, :3], pixels[:, 3:], targets)
                    accelerator.backward(loss)
                    if accelerator.sync_gradients:
                        accelerator.clip_grad_norm_(self.model.parameters(), MAX_GRAD_NORM)
                    self.optimizer.step()
                    self.scheduler.step()
                    self.optimizer.zero_grad()
                    if accelerator.sync_gradients:
                        self.updates += 1
                        if self.average:
                            self.average.update(self.network, step=self.updates)
                total += loss.detach()
                images += len(targets) * accelerator.num_processes
                if bar.n % SHOWN_EVERY == 0 and not bar.disable:
                    # Reading the loss waits for the device, so it is not read at every step.
                    speed = images / (time.perf_counter() - start)
                    bar.set_postfix({"loss": f"{loss:.3f}", "img_s": f"{speed:.0f}"}, refresh=False)
                bar.update()
        seconds = time.perf_counter() - start
        mean = accelerator.gather(total / len(self.train_loader)).mean().item()
        if not math.isfinite(mean):
            raise RunError(f"the loss became NaN or infinite in epoch {title}; lower the learning rate")
        rate = float(self.scheduler.get_last_lr()[0])
        return {"train_loss": mean, "learning_rate": rate, "images_per_second": images / seconds, "seconds": seconds}

    def _loss(self, pixels: Tensor, masks: Tensor, targets: Tensor) -> Tensor:
        """The loss of normalised images (n, 3, H, W); `masks` (n, 1, H, W) has no channel where none are used."""
        logits, maps = self.model(pixels.contiguous(memory_format=torch.channels_last))
        loss: Tensor = self.loss(logits, targets)
        return loss if maps is None else loss + self.mask_weight * lesion_focus_loss(maps, targets, masks)

    def validate(self) -> dict[str, float | None]:
        """The metrics of the validation split by name, each with the prefix `validation_`."""
        for tensor in self.result.buffers():
            # Processes see different images, so their batch-norm statistics differ; the main process's count.
            if tensor.is_floating_point():
                tensor.copy_(broadcast(tensor))
        logits, labels = collect_logits(self.result, self.validation_loader, accelerator=self.accelerator)
        probabilities = torch.from_numpy(logits).double().softmax(dim=1).numpy()
        return {f"validation_{name}": value for name, value in compute(probabilities, labels).items()}

    def state_dict(self) -> dict[str, Any]:
        """What Accelerate does not save by itself: the number of updates, and the average."""
        return {"updates": self.updates, "average": self.average.state_dict() if self.average else None}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        self.updates = state["updates"]
        if self.average:
            self.average.load_state_dict(state["average"])

    def end(self) -> SkinVisionForImageClassification:
        """Let go of what Accelerate prepared, and return the network that the phase made."""
        if self.average:
            self.network.load_state_dict(self.average.module.state_dict())
        self.accelerator.free_memory()
        return self.network


class Outputs(torch.nn.Module):
    """The forward pass of a step of training: logits and, where they are asked for, class activation maps."""

    def __init__(self, network: SkinVisionForImageClassification, *, maps: bool) -> None:
        super().__init__()
        self.network, self.maps = network, maps

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return logits (n, 7), and maps (n, 7, height, width) or None, for normalised images (n, 3, H, W)."""
        network = self.network.timm_model
        features = network.forward_features(pixels)
        return network.forward_head(features), self.network.activation_maps(features) if self.maps else None
