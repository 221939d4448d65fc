"""How a network was trained, from `training.json`: one step for each training that its weights went through."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, TypeVar

from skinvision_hf.config import AugmentConfig, LossConfig, TrainConfig
from skinvision_hf.config import LEAKY_SCHEME

__all__ = ["DRAWN", "Best", "Hardware", "Step", "Training", "read_training"]

DRAWN = "synthetic"
# What older records lack: what could not be chosen then was as here.
UNRECORDED = TrainConfig(
    data="",
    output_dir="",
    augment=AugmentConfig(resolution=1.0, first_resolution=0.0),
    loss=LossConfig(logit_adjustment=0.0, cutmix_alpha=0.0),
)
T = TypeVar("T")


@dataclass(frozen=True)
class Best:
    """The epoch that was kept.

    Attributes:
        phase: `head` or `finetune`.
        epoch: Its number in that phase, from 1.
        metric: The validation metric that picked it.
        value: What that metric was.
    """

    phase: str
    epoch: int
    metric: str
    value: float


@dataclass(frozen=True)
class Hardware:
    """What a training ran on.

    Attributes:
        device: Such as `cpu` or `cuda`.
        cores: Number of processor cores.
        machine: Architecture of the processor.
    """

    device: str
    cores: int
    machine: str


@dataclass(frozen=True)
class Step:
    """One run of the training script.

    Attributes:
        command: The exact command, without folders of the machine.
        config: All settings; those that its version did not know yet are as it worked then.
        split: Name of the split.
        images: Images by part of the split.
        data_fingerprint: SHA-256 by part of the split; see `skinvision_hf.data.fingerprint`.
        best: The epoch that was kept; None where it was not recorded.
        seconds: Duration; None where it was not recorded.
        processes: Number of training processes; None where it was not recorded.
        hardware: What it ran on; None where it was not recorded.
        versions: Version by library.
        skinvision_version: Version of this package; None where it was not recorded.
    """

    command: str
    config: TrainConfig
    split_scheme: str
    images: Mapping[str, int]
    data_fingerprint: Mapping[str, str]
    best: Best | None
    seconds: float | None
    processes: int | None
    hardware: Hardware | None
    versions: Mapping[str, str]
    skinvision_version: str | None

    @property
    def batch_size(self) -> int:
        """Images for each change of the weights, over all processes."""
        return self.config.batch_size * self.config.gradient_accumulation_steps * (self.processes or 1)


@dataclass(frozen=True)
class Training:
    """All that made the weights.

    Attributes:
        steps: One for each training, oldest first; each but the first went on from the weights of the one before.
        averaged_with: Trainings of the other networks with which the weights were averaged in the end.
    """

    steps: tuple[Step, ...]
    averaged_with: tuple["Training", ...] = ()

    @property
    def last(self) -> Step:
        """The step that wrote the weights of the release."""
        return self.steps[-1]

    @property
    def all_steps(self) -> tuple[Step, ...]:
        """The steps of all networks whose weights were averaged; one that several share is there for each."""
        return self.steps + tuple(step for other in self.averaged_with for step in other.all_steps)

    @property
    def initial_weights(self) -> str:
        """What the first step started from: `timm`, `lite0`, `random`, or the name of a file or release."""
        return self.steps[0].config.model.init

    @property
    def seconds(self) -> float | None:
        """Duration of all steps; None where one of them is not known."""
        known = [step.seconds for step in self.steps if step.seconds is not None]
        return sum(known) if len(known) == len(self.steps) else None

    @property
    def drawn(self) -> bool:
        """Whether a step learned from lesions drawn in code."""
        return any(step.config.data.startswith(DRAWN) for step in self.all_steps)

    @property
    def leaky(self) -> bool:
        """Whether a step learned from a split that puts photographs of one lesion on both sides."""
        return any(step.split_scheme.endswith(LEAKY_SCHEME) for step in self.all_steps)

    def same_images(self, step: Step) -> bool:
        """Whether a step learned from the same images and labels as the last one."""
        return step.data_fingerprint.get("train") == self.last.data_fingerprint.get("train")


def read_training(record: Mapping[str, Any]) -> Training:
    """Read the content of training.json.

    Args:
        record: It describes the last step. `previous`, if there is one, is a list of such records of the steps before,
            oldest first, in which the duration, the epoch that was kept and the hardware may be missing.
            `averaged_with`, if there is one, is a list of whole records of other networks.

    Raises:
        KeyError: If a field is missing that every version writes.
        TypeError: If a field is of the wrong kind.
        DataError: If a setting is out of its range.
    """
    return Training(
        steps=tuple(_step(r) for r in (*record.get("previous", ()), record)),
        averaged_with=tuple(map(read_training, record.get("averaged_with", ()))),
    )


def _step(record: Mapping[str, Any]) -> Step:
    best, hardware = record.get("best"), record.get("hardware")
    return Step(
        command=record["command"],
        config=_filled(UNRECORDED, record["config"]),
        split_scheme=record["split"],
        images=record["images"],
        data_fingerprint=record["data_fingerprint"],
        best=Best(**best) if best and best["phase"] else None,
        seconds=record.get("seconds"),
        processes=record.get("processes"),
        hardware=Hardware(**hardware) if hardware else None,
        versions=record.get("versions", {}),
        skinvision_version=record.get("skinvision_version"),
    )


def _filled(defaults: T, record: Mapping[str, Any]) -> T:
    """Settings from a record of any version: `defaults` has what it lacks, what is no setting any more is left out."""
    values = {}
    for field in fields(defaults):  # type: ignore[arg-type]
        if field.name in record:
            default, value = getattr(defaults, field.name), record[field.name]
            values[field.name] = _filled(default, value) if is_dataclass(default) else value
    return replace(defaults, **values)  # type: ignore[type-var]
