"""Training from a configuration to a release folder: the head, then all layers, both through `run_phase`."""

import importlib.util
import json
import logging
import os
import platform
import shlex
import sys
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from datasets import DatasetDict

import skinvision_hf.data as ham10000
from skinvision_hf._version import __version__
from skinvision_hf.config import TrainConfig
from skinvision_hf.data import limit_images
from skinvision_hf.errors import DataError, ModelError, RunError
from skinvision_hf.files import make_folder, sha256, without_folders, write_json
from skinvision_hf.models.modeling import SkinVisionForImageClassification
from skinvision_hf.models.release import TRAINING_FILE, WEIGHTS_FILE
from skinvision_hf.training.checkpoints import Checkpoints, assert_same_settings, flatten
from skinvision_hf.training.loop import run_phase
from skinvision_hf.training.setup import Run

__all__ = ["load_splits", "read_record", "run_training", "training_history"]

logger = logging.getLogger(__name__)

RECORDED_VERSIONS = ("torch", "torchvision", "transformers", "timm", "datasets", "accelerate", "numpy")


def run_training(config: TrainConfig, *, resume: bool = False) -> Path:
    """Train a network and write its release folder: config.json, model.safetensors, training.json, history.jsonl.

    Args:
        config: All settings.
        resume: Go on from the last complete checkpoint in the output folder, with the same settings (only how images
            are loaded, the tracker and the folders that data, weights and teachers lie in may differ), as many
            processes and the same precision. A run that is trained already is left as it is.

    Returns:
        The release folder, which is the output folder. The checkpoints in it are gone once the release is written.

    Raises:
        DataError: If the data or the output folder cannot be used, an image cannot be read, the tracker is not
            installed, a teacher learned from another split, or a run is resumed with other settings or launched
            otherwise.
        ModelError: If the initial weights or a teacher cannot be had.
        RunError: If the loss stops being a number, no epoch has a value of the monitored metric, the disk is full, or
            the machines do not share the output folder.
        KeyboardInterrupt: After Ctrl-C, with a message that says how to go on.
    """
    output_dir = Path(config.output_dir)
    if resume and (output_dir / TRAINING_FILE).is_file():
        assert_same_settings(config, read_record(output_dir).get("config", {}))
        logger.warning("%s is trained already", output_dir)
        return output_dir
    _assert_tracker(config.report_to)
    teachers = _teachers(config)
    make_folder(output_dir)
    checkpoint = _checkpoint(config, resume)
    previous = training_history(Path(config.model.init))
    run = Run.start(config, load_splits(config))
    run.verify_images()
    run.checkpoints.agree_on_settings(config, run.accelerator)
    run.accelerator.init_trackers("skinvision", config=_tracked(config))
    try:
        train_phases(run, resume=checkpoint)
        if run.accelerator.is_main_process:
            best = SkinVisionForImageClassification.from_pretrained(_best(run))
            best.save_pretrained(output_dir)
            write_json(output_dir / TRAINING_FILE, _training_record(run, previous, teachers))
            run.checkpoints.remove()
        run.accelerator.wait_for_everyone()
    except KeyboardInterrupt:
        best_folder = run.checkpoints.best(run.progress)
        kept = f"The best network so far is in {best_folder}. " if best_folder else "No epoch was complete. "
        raise KeyboardInterrupt(f"{kept}Run the same command with --resume to go on.") from None
    finally:
        # Also takes the processes apart, so nothing may wait for them after it.
        run.accelerator.end_training()
    return output_dir


def train_phases(run: Run, *, resume: Path | None = None) -> None:
    """Train the head, then all layers; afterwards `run.checkpoints.best(run.progress)` is the best network.

    Args:
        run: From `Run.start`.
        resume: A checkpoint of the same configuration to go on from.
    """
    first = run.checkpoints.phase_of(resume) if resume else 0
    for index, (name, phase) in enumerate((("head", run.config.head), ("finetune", run.config.finetune))):
        if phase.epochs == 0 or index < first:
            continue
        if run.progress.best_epoch:
            run.model = SkinVisionForImageClassification.create(run.config.model)
            best = SkinVisionForImageClassification.from_pretrained(_best(run))
            run.model.load_state_dict(best.state_dict())
        run_phase(run, index, name, phase, resume=resume if index == first else None)


def _best(run: Run) -> Path:
    folder = run.checkpoints.best(run.progress)
    if folder is None:
        raise RunError(
            f"no epoch gave a value of {run.config.monitor}; train for more epochs or monitor another metric"
        )
    return folder


def load_splits(config: TrainConfig) -> DatasetDict:
    """Load the parts of a run, with the column `dx_type` for its report, cut to `config.limit` images each."""
    data = ham10000.load_ham10000(config.data, split_scheme=config.split_scheme, dx_type=True)
    return limit_images(data, config.limit, seed=config.seed)


def _assert_tracker(name: str) -> None:
    if name != "none" and importlib.util.find_spec(name) is None:
        raise DataError(f"--report_to {name} needs: pip install {name}")


def _checkpoint(config: TrainConfig, resume: bool) -> Path | None:
    """The checkpoint to go on from; refuses to overwrite a run or a release by accident."""
    output_dir, checkpoints = Path(config.output_dir), Checkpoints(Path(config.output_dir))
    newest = checkpoints.newest()
    if (output_dir / WEIGHTS_FILE).is_file() and not (resume and newest):
        raise DataError(f"{output_dir} already holds a finished release; choose another --output_dir")
    if resume and newest is None:
        logger.warning("no checkpoint in %s yet; starting from the beginning", output_dir)
    if newest is not None and not resume:
        raise DataError(f"{output_dir} holds a run that was stopped; add --resume to go on, or choose another folder")
    if newest is not None:
        checkpoints.assert_settings(config)
    return newest


def training_history(folder: Path) -> list[dict[str, Any]]:
    """The records of all trainings that the weights of a release went through, oldest first; none without a record.

    Raises:
        ModelError: If there is a record that cannot be read.
    """
    if not (folder / TRAINING_FILE).is_file():
        return []
    record = read_record(folder)
    return [*record.pop("previous", []), record]


def _teachers(config: TrainConfig) -> list[dict[str, str]]:
    """Names and weights of the teachers, as they are before training.

    Those of another split are refused: they would tell of images that this one keeps for validation and test.
    """
    teachers = []
    for folder in map(Path, config.distill.teachers):
        if not (folder / WEIGHTS_FILE).is_file():
            raise ModelError(f"there is no release in {folder}; --distill.teachers takes folders of finished releases")
        split_schemes = {record.get("split") for record in training_history(folder)} or {"an unknown split"}
        for split_scheme in split_schemes - {config.split_scheme}:
            raise DataError(
                f"the teacher {folder.name} was trained on {split_scheme}, not on {config.split_scheme}, so that its answers may "
                "leak test images; choose another with --distill.teachers"
            )
        teachers.append({"name": folder.name, "weights_sha256": sha256(folder / WEIGHTS_FILE)})
    return teachers


def read_record(folder: Path) -> dict[str, Any]:
    """Read the training.json of a release.

    Raises:
        ModelError: If there is none, or it cannot be read.
    """
    try:
        return dict(json.loads((folder / TRAINING_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise ModelError(f"{folder / TRAINING_FILE} cannot be read; give an intact release") from error


def _settings(config: TrainConfig) -> dict[str, Any]:
    """All settings but the output folder, without paths of this machine."""
    settings = asdict(config)
    settings.pop("output_dir")
    settings["data"] = without_folders(settings["data"])
    settings["model"]["init"] = without_folders(settings["model"]["init"])
    settings["distill"]["teachers"] = [without_folders(teacher) for teacher in settings["distill"]["teachers"]]
    return settings


def _tracked(config: TrainConfig) -> dict[str, Any]:
    """All settings under the names of their flags; trackers take no lists."""
    settings = flatten(_settings(config))
    return {name: ", ".join(value) if isinstance(value, list) else value for name, value in settings.items()}


def _training_record(run: Run, previous: list[dict[str, Any]], teachers: list[dict[str, str]]) -> dict[str, Any]:
    """What it takes to repeat the run."""
    phase, epoch = run.progress.best_epoch or ("", 0)
    # A run that was stopped ends with the same weights as one that was not.
    arguments = [argument for argument in sys.argv[1:] if argument != "--resume"]
    return {
        "skinvision_version": __version__,
        "command": "accelerate launch " + shlex.join(["scripts/train.py", *map(without_folders, arguments)]),
        "config": _settings(run.config),
        "split": run.config.split_scheme,
        "data_fingerprint": {name: ham10000.fingerprint(d) for name, d in run.data.items()},
        "images": {name: len(d) for name, d in run.data.items()},
        "best": {"phase": phase, "epoch": epoch, "metric": run.config.monitor, "value": abs(run.progress.best or 0.0)},
        # Of all epochs, also those before the run was resumed.
        "seconds": round(sum(record["seconds"] for record in run.progress.history), 1),
        "processes": run.accelerator.num_processes,
        # What was trained in, also where `accelerate launch` chose it.
        "precision": run.accelerator.mixed_precision,
        "hardware": {
            "device": str(run.accelerator.device.type),
            "cores": os.cpu_count(),
            "machine": platform.machine(),
        },
        "versions": {"python": platform.python_version()} | {name: version(name) for name in RECORDED_VERSIONS},
        "teachers": teachers,
        "previous": previous,
    }
