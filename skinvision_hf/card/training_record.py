"""How the weights of a release were trained: `training.json`, one step for each training that they went through."""

from dataclasses import dataclass, replace
from pathlib import Path

from skinvision_hf.config import LEAKY_SCHEME
from skinvision_hf.records import Record

__all__ = ["SYNTHETIC", "TrainingStep"]

SYNTHETIC = "synthetic"
"""Data of this name, and split schemes that begin with it, hold lesions drawn in code."""

INITIAL_WEIGHTS = {
    "timm": "ImageNet (timm)",
    "lite0": "ImageNet (EfficientNet-Lite0)",
    "random": "random",
}
# Settings of the loss that are shown where they are not 0.
LOSS_TERMS = {
    "logit_adjustment": "logit adjustment",
    "label_smoothing": "label smoothing",
    "mixup_alpha": "mixup",
    "cutmix_alpha": "CutMix",
    "mask_weight": "lesion focus",
}


# What a record does not know was not yet there when it was written, so the defaults stand for off.
@dataclass(frozen=True)
class NetworkSettings(Record):
    """The settings `model` of a training; see `skinvision_hf.config.ModelConfig`."""

    init: str
    image_size: int | None = None


@dataclass(frozen=True)
class LossSettings(Record):
    """The settings `loss` of a training; see `skinvision_hf.config.LossConfig`."""

    class_weights: str = "none"
    logit_adjustment: float = 0.0
    label_smoothing: float = 0.0
    mixup_alpha: float = 0.0
    cutmix_alpha: float = 0.0
    mask_weight: float = 0.0

    def __str__(self) -> str:
        weights = "" if self.class_weights == "none" else f", class weights `{self.class_weights}`"
        terms = [f"{title} {value:g}" for name, title in LOSS_TERMS.items() if (value := getattr(self, name))]
        return ", ".join([f"cross-entropy{weights}", *terms])


@dataclass(frozen=True)
class PhaseSettings(Record):
    """The settings `head` or `finetune` of a training; see `skinvision_hf.config.PhaseConfig`."""

    epochs: int
    learning_rate: float
    weight_decay: float = 0.0
    schedule: str = "cosine"
    ema_decay: float = 0.0

    def __str__(self) -> str:
        if not self.epochs:
            return "skipped"
        average = f", EMA {self.ema_decay:g}" if self.ema_decay else ""
        return (
            f"{self.epochs} epoch{'s' * (self.epochs != 1)}, learning rate {self.learning_rate:g} ({self.schedule}), "
            f"weight decay {self.weight_decay:g}{average}"
        )


@dataclass(frozen=True)
class Settings(Record):
    """Those settings of a training that its card shows; see `skinvision_hf.config.TrainConfig`.

    Older versions kept the best epoch by the metric `monitor`; without one, the last epoch was kept.
    """

    model: NetworkSettings
    head: PhaseSettings
    finetune: PhaseSettings
    loss: LossSettings
    batch_size: int
    gradient_accumulation_steps: int = 1
    data: str = ""
    monitor: str = ""


@dataclass(frozen=True)
class BestEpoch(Record):
    """The epoch whose weights were kept: its phase, its number from 1, and the validation metric that chose it."""

    phase: str
    epoch: int
    metric: str
    value: float


@dataclass(frozen=True)
class Hardware(Record):
    """What a training ran on: the device, such as `cuda`, and the number and architecture of the processor's cores."""

    device: str
    cores: int
    machine: str


@dataclass(frozen=True)
class TrainingStep(Record):
    """One run of the training script.

    Attributes:
        command: The exact command, without folders of the machine.
        config: Its settings.
        split: Name of the split scheme.
        images: Number of images by split.
        data_fingerprint: SHA-256 by split; see `skinvision_hf.data.fingerprint`.
        best: The epoch that was kept; None for the last one, or where that was not recorded.
        seconds: Duration.
        processes: Number of training processes.
        hardware: What it ran on.
        versions: Version by library.
        skinvision_version: Version of this package.
        previous: The steps before, oldest first; each but the first started from the weights of the one before.
    """

    command: str
    config: Settings
    split: str
    images: dict[str, int]
    data_fingerprint: dict[str, str]
    best: BestEpoch | None = None
    seconds: float | None = None
    processes: int = 1
    hardware: Hardware | None = None
    versions: dict[str, str] | None = None
    skinvision_version: str | None = None
    previous: tuple["TrainingStep", ...] = ()

    @property
    def steps(self) -> tuple["TrainingStep", ...]:
        """All steps, oldest first; this one is the last."""
        return (*self.previous, replace(self, previous=()))

    @property
    def initial_weights(self) -> str:
        """What the first step started from: `timm`, `lite0`, `random`, or the name of a file or release."""
        return self.steps[0].config.model.init

    @property
    def synthetic(self) -> bool:
        """Whether a step learned from lesions drawn in code."""
        return any(step.config.data.startswith(SYNTHETIC) for step in self.steps)

    @property
    def leaky(self) -> bool:
        """Whether a step learned from a split scheme that has images of one lesion in several splits."""
        return any(step.split.endswith(LEAKY_SCHEME) for step in self.steps)

    def table(self) -> list[tuple[str, ...]]:
        """Rows of the table of settings: a name, and the value in each step."""
        columns = [step._settings(number) for number, step in enumerate(self.steps)]
        return [(name, *(column[name] for column in columns)) for name in columns[0]]

    def _settings(self, number: int) -> dict[str, str]:
        config = self.config
        side, images = config.model.image_size, config.batch_size * config.gradient_accumulation_steps * self.processes
        start = INITIAL_WEIGHTS.get(config.model.init, f"`{Path(config.model.init).name}`")
        kept = "not recorded" if config.monitor else "last"
        if self.best:
            kept = f"epoch {self.best.epoch}, best validation {self.best.metric}"
        return {
            "initial weights": f"result of step {number}" if number else start,
            "training images": f"{self.images['train']:,} of `{self.split}`",
            "input size": f"{side} x {side} pixels" if side else "not recorded",
            "phase 1, classifier only": str(config.head),
            "phase 2, all layers": str(config.finetune),
            "epoch kept": kept.replace("_", " "),
            "optimizer, batch size": f"AdamW, {images} images",
            "loss": str(config.loss),
            "duration": self._duration(),
        }

    def _duration(self) -> str:
        if self.seconds is None:
            return "not recorded"
        spent = f"{self.seconds / 3600:.1f} hours" if self.seconds > 5400 else f"{self.seconds / 60:.0f} minutes"
        machine = self.hardware
        return f"{spent} on {machine.cores} {machine.machine} cores, {machine.device}" if machine else spent
