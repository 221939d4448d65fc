"""What a training run is made of: what both phases share, and the objects of one phase, prepared by Accelerate."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from accelerate import Accelerator, DataLoaderConfiguration
from accelerate.utils import set_seed
from datasets import DatasetDict, concatenate_datasets
from timm.optim import param_groups_weight_decay
from timm.utils import ModelEmaV3
from torch.utils.data import DataLoader

from skinvision_hf.config import PhaseConfig, TrainConfig
from skinvision_hf.data import decode_image, verify_images
from skinvision_hf.data.augmentation import BatchAugmentation, TrainTransform
from skinvision_hf.data.loaders import DecodedImages, make_loader
from skinvision_hf.data.transforms import eval_transform
from skinvision_hf.errors import DataError, RunError
from skinvision_hf.evaluation.metrics import OVERALL_METRICS
from skinvision_hf.labels import CODES
from skinvision_hf.models.modeling import SkinVisionForImageClassification
from skinvision_hf.training.allocator import keep_freed_memory
from skinvision_hf.training.checkpoints import Checkpoints, Progress
from skinvision_hf.training.distillation import Teachers
from skinvision_hf.training.losses import ClassificationLoss

__all__ = ["PhaseParts", "Run"]


@dataclass
class Run:
    """What both phases share."""

    config: TrainConfig
    accelerator: Accelerator
    data: DatasetDict
    model: SkinVisionForImageClassification
    progress: Progress
    checkpoints: Checkpoints
    teachers: Teachers | None
    decode: DecodedImages

    @classmethod
    def start(cls, config: TrainConfig, data: DatasetDict) -> "Run":
        """Set up processes, trackers and the network.

        Raises:
            DataError: If the monitored metric is unknown, the training or validation split is empty or smaller than a
                batch for each process, or the precision is one that this machine cannot train in.
            ModelError: If the initial weights or a teacher cannot be had.
            RunError: If fewer processes were started than asked for.
        """
        if config.monitor not in OVERALL_METRICS:
            raise DataError(
                f"there is no metric {config.monitor!r} to monitor; use one of {', '.join(OVERALL_METRICS)}"
            )
        _assert_precision(config.mixed_precision)
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
        if accelerator.device.type == "cpu":
            keep_freed_memory()
        if len(data["train"]) < accelerator.num_processes or not len(data["validation"]):
            raise DataError("the training or validation split holds too few images; use more data or fewer processes")
        set_seed(config.seed)
        with accelerator.main_process_first():
            model = SkinVisionForImageClassification.create(config.model)
            teachers = Teachers(config.distill, model, _labels(data)) if config.distill.teachers else None
        if teachers:
            teachers.to(accelerator.device).to(memory_format=torch.channels_last)
        progress = Progress()
        accelerator.register_for_checkpointing(progress)
        # Processes that load images do not live long enough to profit.
        decode = DecodedImages(0 if config.num_workers else 1e9 * config.cache_gb)
        return cls(config, accelerator, data, model, progress, Checkpoints(output_dir), teachers, decode)

    def verify_images(self) -> None:
        """Decode every image before hours are spent on the others; each process takes its share.

        Those of the training split are kept, as far as there is room for them.

        Raises:
            DataError: If some cannot be read.
        """
        trained = set(self.data["train"]["image_id"][:])
        images = concatenate_datasets([split.select_columns(["image", "image_id"]) for split in self.data.values()])
        verify_images(
            images.shard(self.accelerator.num_processes, self.accelerator.process_index),
            decode=lambda source, name: (self.decode if name in trained else decode_image)(source, name),
            progress=self.accelerator.is_local_main_process,
        )

    def end_phase(self) -> None:
        """Let go of what Accelerate prepared for a phase and saves of it; the next phase brings its own."""
        self.accelerator.free_memory()
        self.accelerator._custom_objects = [self.progress]


def _labels(data: DatasetDict) -> np.ndarray:
    labels: np.ndarray = data["train"].with_format("numpy")["label"][:]
    return labels


def _on_cpu() -> bool:
    asked = os.environ.get("ACCELERATE_USE_CPU", "").lower() == "true"
    return asked or not torch.accelerator.is_available()


def _assert_precision(precision: str) -> None:
    """Accelerate runs fp16 on CPUs without a word, without the scaling of the loss that it needs."""
    # Also when `accelerate launch` chose it.
    chosen = precision if precision != "no" else os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
    if chosen == "fp16" and _on_cpu():
        raise DataError("fp16 trains on GPUs only; use --mixed_precision bf16 or no")


def _assert_all_processes_started(accelerator: Accelerator) -> None:
    """`accelerate launch --cpu --num_processes N` starts one process without a word when MPI is not set up."""
    asked = "MASTER_ADDR" in os.environ and os.environ.get("ACCELERATE_USE_CPU", "").lower() == "true"
    if asked and accelerator.num_processes == 1 and "WORLD_SIZE" not in os.environ:
        raise RunError(
            "several CPU processes were asked for, but accelerate starts only one without MPI; start them with "
            "'torchrun --nproc_per_node N scripts/train.py ...', or give accelerate an --mpirun_hostfile"
        )


@dataclass
class PhaseParts:
    """The objects of one phase, prepared by Accelerate.

    Attributes:
        network: The network of the run.
        model: What makes the steps of training, prepared by Accelerate: the network, or a faster copy with the same
            classifier while only that learns.
    """

    network: SkinVisionForImageClassification
    model: torch.nn.Module
    ema: ModelEmaV3 | None
    optimizer: Any
    scheduler: Any
    loss: ClassificationLoss
    transform: TrainTransform
    augmentation: BatchAugmentation
    train_loader: Any
    validation_loader: DataLoader
    steps: int = 0

    @classmethod
    def build(cls, run: Run, phase: PhaseConfig) -> "PhaseParts":
        """Make the loaders, optimiser, schedule and average of a phase, and freeze or unfreeze the network."""
        config, accelerator, network = run.config, run.accelerator, run.model
        network.unfreeze() if phase.train_backbone else network.freeze_backbone()
        network.to(accelerator.device, memory_format=torch.channels_last)
        cfg = network.config.pretrained_cfg
        transform = TrainTransform(cfg, config.augment)
        train_loader, validation_loader = _loaders(run, transform)
        optimizer = torch.optim.AdamW(
            param_groups_weight_decay(network, phase.weight_decay), lr=phase.learning_rate, weight_decay=0.0, fused=True
        )
        updates = -(-len(train_loader) // config.gradient_accumulation_steps)
        scheduler = transformers.get_scheduler(
            "cosine" if phase.schedule == "cosine" else "constant_with_warmup",
            optimizer,
            num_warmup_steps=round(phase.warmup_epochs * updates),
            num_training_steps=phase.epochs * updates,
        )
        ema = ModelEmaV3(network, decay=phase.ema_decay, use_warmup=phase.ema_warmup) if phase.ema_decay else None
        augmentation = BatchAugmentation(cfg, config.augment).to(accelerator.device)
        loss = ClassificationLoss(_labels(run.data), len(CODES), config.loss, mix=phase.train_backbone)
        loss.to(accelerator.device)
        model = network if phase.train_backbone else network.with_folded_backbone()
        model, optimizer, train_loader, validation_loader, scheduler = accelerator.prepare(
            model, optimizer, train_loader, validation_loader, scheduler
        )
        splits = cls(
            network=network,
            model=model,
            ema=ema,
            optimizer=optimizer,
            scheduler=scheduler,
            loss=loss,
            transform=transform,
            augmentation=augmentation,
            train_loader=train_loader,
            validation_loader=validation_loader,
        )
        accelerator.register_for_checkpointing(*([ema] if ema else []), _Steps(splits))
        return splits

    @property
    def evaluated(self) -> SkinVisionForImageClassification:
        """The network that is evaluated and kept: the average where there is one."""
        average: SkinVisionForImageClassification = self.ema.module if self.ema else self.network
        return average


def _loaders(run: Run, transform: TrainTransform) -> tuple[DataLoader, DataLoader]:
    """Of training and of validation."""
    config, data = run.config, run.data
    evaluated = eval_transform(run.model.config.pretrained_cfg)
    return (
        make_loader(
            data["train"],
            transform,
            batch_size=config.batch_size,
            shuffle=True,
            num_workers=config.num_workers,
            decode=run.decode,
        ),
        make_loader(data["validation"], evaluated, batch_size=64, num_workers=config.num_workers),
    )


class _Steps:
    """Lets Accelerate save the number of weight updates, on which the average's warm-up depends."""

    def __init__(self, splits: PhaseParts) -> None:
        self.splits = splits

    def state_dict(self) -> dict[str, int]:
        return {"steps": self.splits.steps}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.splits.steps = state["steps"]
