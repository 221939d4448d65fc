"""Checkpoints of a training run: its settings, and the whole state after the last complete epoch."""

import json
import logging
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skinvision_hf.config import TrainConfig
from skinvision_hf.errors import DataError, RunError
from skinvision_hf.files import write_json
from skinvision_hf.models.release import WEIGHTS_FILE

if TYPE_CHECKING:
    from accelerate import Accelerator

SETTINGS_FILE = "settings.json"
WRITER_FAILED = ("PytorchStreamWriter", "unexpected pos", "No space left")

# What a resumed run may set otherwise: where results go, who watches, and how images are loaded.
FREE_SETTINGS = ("output_dir", "report_to", "num_workers", "cache_gb")
# Of these only the last part of a path counts, so that a folder may have moved.
PATH_SETTINGS = ("data", "model.init")

logger = logging.getLogger(__name__)


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Lay nested settings side by side under the names of their flags, such as `head.epochs`."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        flat |= flatten(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: value}
    return flat


def assert_same_settings(config: TrainConfig, launch: Mapping[str, Any], recorded: Mapping[str, Any]) -> None:
    """Check that a resumed run has the settings, as launched, and the launcher's settings that it was started with.

    `recorded` holds both, nested or flat; missing settings are not compared. DataError names all settings that differ
    and change the result.
    """
    before, now = flatten(recorded), flatten(asdict(config)) | {name: launch[name] for name in launch}
    differing = [
        f"{name if name in launch else '--' + name} {before[name]} (now {value})"
        for name, value in now.items()
        if name in before and name not in FREE_SETTINGS and _compared(name, before[name]) != _compared(name, value)
    ]
    if differing:
        started = f"the run in {config.output_dir} was started with {', '.join(differing)}"
        raise DataError(f"{started}; resume it with these settings, or choose another --output_dir")


def _compared(name: str, value: Any) -> Any:
    return Path(value).name if name in PATH_SETTINGS else value


class Checkpoints:
    """The folder `checkpoints/` of a run.

    A checkpoint is complete once it has its final name: it is written to a temporary one and renamed.
    """

    def __init__(self, output_dir: Path) -> None:
        self.output_dir, self.folder = output_dir, output_dir / "checkpoints"

    def newest(self) -> Path | None:
        """The last complete checkpoint, or None."""
        found = sorted(self.folder.glob("phase-?-epoch-????"))
        return found[-1] if found else None

    def find(self, *, resume: bool) -> Path | None:
        """The checkpoint to continue from; refuses to overwrite a run or a release by accident.

        Raises:
            DataError: If the output folder holds a finished release, or a stopped run that is not to be resumed.
        """
        newest = self.newest()
        if (self.output_dir / WEIGHTS_FILE).is_file() and not (resume and newest):
            raise DataError(f"{self.output_dir} already holds a finished release; choose another --output_dir")
        if resume and newest is None:
            logger.warning("no checkpoint in %s yet; starting from the beginning", self.output_dir)
        if newest is not None and not resume:
            stopped = f"{self.output_dir} holds a run that was stopped"
            raise DataError(f"{stopped}; add --resume to continue it, or choose another --output_dir")
        return newest

    def agree_on_settings(self, config: TrainConfig, launch: Mapping[str, Any], accelerator: "Accelerator") -> None:
        """Record the settings of a run and how it was launched, or compare those of a resumed one.

        Raises:
            DataError: If one differs that changes the result.
            RunError: If a process cannot see what the main one wrote.
        """
        path = self.folder / SETTINGS_FILE
        # What a run that died before its first checkpoint left there is nothing to go on from.
        if accelerator.is_main_process and not (path.is_file() and self.newest()):
            write_json(path, asdict(config) | dict(launch))
        accelerator.wait_for_everyone()
        if not path.is_file():
            raise RunError(f"not all machines can read {self.folder}; give an --output_dir that they share")
        assert_same_settings(config, launch, json.loads(path.read_text(encoding="utf-8")))

    def save(self, accelerator: "Accelerator", *, phase: int, epoch: int) -> None:
        """Save the state of all processes after an epoch and drop older checkpoints; RunError if the disk is full."""
        final = self.folder / f"phase-{phase}-epoch-{epoch:04d}"
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
            remedy = "free some space and repeat the command with --resume"
            raise RunError(f"cannot write a checkpoint to {self.folder} ({reason}); {remedy}") from error
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            temporary.rename(final)
            for old in self.folder.glob("phase-?-epoch-????"):
                if old != final:
                    shutil.rmtree(old)
        accelerator.wait_for_everyone()

    def load(self, accelerator: "Accelerator", checkpoint: Path) -> None:
        """Take over the state of a checkpoint; DataError if it does not fit what is trained."""
        try:
            accelerator.load_state(str(checkpoint))
        except (RuntimeError, KeyError) as error:
            problem = f"{checkpoint} was written by another version of the code"
            raise DataError(f"{problem}; start again in another --output_dir") from error
        logger.info("resumed from %s", checkpoint)
