"""Checkpoints of a training run: its settings, the whole state after every epoch, and the best network so far."""

import json
import logging
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skinvision_hf.config import TrainConfig
from skinvision_hf.errors import DataError, RunError
from skinvision_hf.files import write_json

if TYPE_CHECKING:
    from accelerate import Accelerator

__all__ = ["Checkpoints", "Progress", "assert_same_settings", "flatten"]

SETTINGS_FILE = "settings.json"
WRITER_FAILED = ("PytorchStreamWriter", "unexpected pos", "No space left")

# What a resumed run may set otherwise: where results go, who watches, and how images are loaded.
FREE_SETTINGS = ("output_dir", "report_to", "num_workers", "cache_gb")
# Of these only the last part of a path counts, so that a folder may have moved.
PATH_SETTINGS = ("data", "model.init", "distill.teachers")

logger = logging.getLogger(__name__)


@dataclass
class Progress:
    """Where a run stands; saved with every checkpoint.

    Attributes:
        phase: Index of the current phase.
        epoch: Epochs of this phase that are done.
        best: Best value of the monitored metric over both phases, higher is better; None before the first epoch.
        best_epoch: Name of the phase and number of the epoch that reached it.
        stale: Epochs of this phase since its best.
        history: One record an epoch, over all phases.
    """

    phase: int = 0
    epoch: int = 0
    best: float | None = None
    best_epoch: tuple[str, int] | None = None
    stale: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)

    def state_dict(self) -> dict[str, Any]:
        """Return all fields, for Accelerate."""
        return dict(vars(self))

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over all fields."""
        vars(self).update(state)


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Lay nested settings side by side under the names of their flags, such as `head.epochs`."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        flat |= flatten(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: value}
    return flat


def assert_same_settings(config: TrainConfig, recorded: Mapping[str, Any]) -> None:
    """Check that a run goes on with the settings that it was started with.

    Args:
        config: The settings now.
        recorded: Those of the start, nested or flat; settings that it does not have are not compared.

    Raises:
        DataError: If one differs that changes the result; names all that do.
    """
    before, now = flatten(recorded), flatten(asdict(config))
    differing = [
        f"--{name} {before[name]} (now {value})"
        for name, value in now.items()
        if name in before and name not in FREE_SETTINGS and _compared(name, before[name]) != _compared(name, value)
    ]
    if differing:
        raise DataError(
            f"the run in {config.output_dir} was started with {', '.join(differing)}; "
            "resume it with that, or choose another --output_dir"
        )


def _compared(name: str, value: Any) -> Any:
    if name not in PATH_SETTINGS:
        return value
    return [Path(path).name for path in value] if isinstance(value, list) else Path(value).name


class Checkpoints:
    """The folder `checkpoints/` of a run.

    A checkpoint is complete once it has its final name: it is written to a temporary one and renamed.
    """

    def __init__(self, output_dir: Path) -> None:
        self.folder = output_dir / "checkpoints"

    def best(self, progress: Progress) -> Path | None:
        """The folder of the best network so far, or None; it stays until a checkpoint knows of a better one."""
        if progress.best_epoch is None:
            return None
        phase, epoch = progress.best_epoch
        return self.folder / f"best-{phase}-{epoch:04d}"

    def newest(self) -> Path | None:
        """The last complete checkpoint, or None."""
        found = sorted(self.folder.glob("phase-?-epoch-????"))
        return found[-1] if found else None

    def agree_on_settings(self, config: TrainConfig, accelerator: "Accelerator") -> None:
        """Record the settings of the run and how it was launched, once; a resumed run must be launched alike.

        Raises:
            DataError: If it is not.
            RunError: If a process cannot see what the main one wrote.
        """
        path = self.folder / SETTINGS_FILE
        launch = {"processes": accelerator.num_processes, "precision": accelerator.mixed_precision}
        # What a run that died before its first checkpoint left there is no beginning to go on from.
        if accelerator.is_main_process and not (path.is_file() and self.newest()):
            write_json(path, asdict(config) | {"launch": launch})
        accelerator.wait_for_everyone()
        if not path.is_file():
            raise RunError(f"not all machines see {self.folder}; give an --output_dir that they share")
        recorded = json.loads(path.read_text(encoding="utf-8")).get("launch", launch)
        for name in (name for name in launch if recorded[name] != launch[name]):
            raise DataError(
                f"the run in {config.output_dir} was started with {name} {recorded[name]} (now {launch[name]}); launch "
                "it alike, or choose another --output_dir"
            )

    def assert_settings(self, config: TrainConfig) -> None:
        """Compare settings with the recorded ones; checkpoints without a record are taken as they are.

        Raises:
            DataError: If one differs that changes the result.
        """
        path = self.folder / SETTINGS_FILE
        if path.is_file():
            assert_same_settings(config, json.loads(path.read_text(encoding="utf-8")))

    def phase_of(self, checkpoint: Path) -> int:
        """The phase that a checkpoint belongs to."""
        return int(checkpoint.name.split("-")[1])

    def save(self, accelerator: "Accelerator", progress: Progress) -> None:
        """Save the state of all processes after an epoch and drop older checkpoints.

        Raises:
            RunError: If it cannot be written.
        """
        final = self.folder / f"phase-{progress.phase}-epoch-{progress.epoch:04d}"
        temporary = self.folder / "incomplete"
        if accelerator.is_main_process:
            shutil.rmtree(temporary, ignore_errors=True)
        accelerator.wait_for_everyone()
        try:
            accelerator.save_state(str(temporary))
        except (OSError, RuntimeError) as error:
            # torch's writer turns a full disk into a RuntimeError.
            if isinstance(error, RuntimeError) and not any(sign in str(error) for sign in WRITER_FAILED):
                raise
            reason = str(error).partition("\n")[0]
            raise RunError(
                f"cannot write a checkpoint to {self.folder} ({reason}); make room and run the same with --resume"
            ) from error
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            temporary.rename(final)
            for old in (*self.folder.glob("phase-?-epoch-????"), *self.folder.glob("best-*")):
                if old not in (final, self.best(progress)):
                    shutil.rmtree(old)
        accelerator.wait_for_everyone()

    def remove(self) -> None:
        """Delete all checkpoints, after the run has written its release."""
        shutil.rmtree(self.folder, ignore_errors=True)
