"""How the weights of a release were trained: `training.json`, one step for each training that they went through."""

from dataclasses import dataclass, replace
from pathlib import Path

from skinvision_hf.config import ModelConfig, PhaseConfig
from skinvision_hf.errors import DataError, ModelError
from skinvision_hf.files import read_json
from skinvision_hf.models.release import TRAINING_FILE
from skinvision_hf.records import Record


@dataclass(frozen=True)
class LossSettings(Record):
    """The settings `loss` of a training; see `skinvision_hf.config.LossConfig`.

    What a record does not know was not yet there when it was written, so the defaults stand for off.
    """

    class_weights: str = "none"
    logit_adjustment: float = 0.0
    label_smoothing: float = 0.0
    mixup_alpha: float = 0.0
    cutmix_alpha: float = 0.0
    mask_weight: float = 0.0


@dataclass(frozen=True)
class Settings(Record):
    """Those settings of a training that its card shows; see `skinvision_hf.config.TrainConfig`.

    Older versions kept the best epoch by the metric `monitor`; without one, the last epoch was kept.
    """

    model: ModelConfig
    head: PhaseConfig
    finetune: PhaseConfig
    loss: LossSettings
    batch_size: int
    gradient_accumulation_steps: int = 1
    data: str = ""
    monitor: str = ""


@dataclass(frozen=True)
class BestEpoch(Record):
    """The epoch whose weights were kept: its number from 1, and the validation metric that chose it."""

    epoch: int
    metric: str


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
        data_fingerprint: SHA-256 by split; see `skinvision_hf.data.fingerprint`.
        best: The epoch that was kept; None for the last one, or where that was not recorded.
        previous: The steps before, oldest first; each but the first started from the weights of the one before.
    """

    command: str
    config: Settings
    split_scheme: str
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


def read_training(folder: Path) -> TrainingStep:
    """Read the `training.json` of a release; ModelError if it is damaged or lacks a field."""
    try:
        return TrainingStep.from_dict(read_json(folder / TRAINING_FILE))
    except DataError as error:
        raise ModelError(f"{folder / TRAINING_FILE}: {error}; train the release again") from error
