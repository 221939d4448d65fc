"""Checkpoints of a training run: the whole state after every epoch, and the best network so far."""

import logging
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from accelerate import Accelerator

__all__ = ["HISTORY_FILE", "Checkpoints", "Progress"]

HISTORY_FILE = "history.jsonl"

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

    def phase_of(self, checkpoint: Path) -> int:
        """The phase that a checkpoint belongs to."""
        return int(checkpoint.name.split("-")[1])

    def save(self, accelerator: "Accelerator", progress: Progress) -> None:
        """Save the state of all processes after an epoch and drop older checkpoints."""
        final = self.folder / f"phase-{progress.phase}-epoch-{progress.epoch:04d}"
        temporary = self.folder / "incomplete"
        if accelerator.is_main_process:
            shutil.rmtree(temporary, ignore_errors=True)
        accelerator.wait_for_everyone()
        accelerator.save_state(str(temporary))
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
