"""`training.json`: what it takes to repeat a training run."""

import os
import platform
import shlex
import sys
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from datasets import DatasetDict

from skinvision_hf._version import __version__
from skinvision_hf.config import TrainConfig
from skinvision_hf.data import fingerprint
from skinvision_hf.files import read_json, without_folders
from skinvision_hf.models.release import TRAINING_FILE
from skinvision_hf.training.setup import launch_settings

PROGRAMS = {"skinvision": ["skinvision"], "train_on_hub": ["uv", "run", "scripts/jobs/train_on_hub.py"]}
RECORDED_VERSIONS = ("torch", "torchvision", "transformers", "timm", "datasets", "accelerate", "numpy")


def training_record(
    config: TrainConfig, data: DatasetDict, accelerator: Accelerator, *, seconds: float
) -> dict[str, Any]:
    """The content of training.json, without the trainings before this one; `seconds` is the time of all epochs."""
    return {
        "skinvision_version": __version__,
        "command": _command(accelerator.num_processes),
        "config": portable_settings(config),
        "split_scheme": config.split_scheme,
        "data_fingerprint": {name: fingerprint(split) for name, split in data.items()},
        "images": {name: len(split) for name, split in data.items()},
        "seconds": round(seconds, 1),
        "precision": accelerator.mixed_precision,
        **launch_settings(accelerator),
        "hardware": {"device": accelerator.device.type, "cores": os.cpu_count(), "machine": platform.machine()},
        "versions": {"python": platform.python_version()} | {name: version(name) for name in RECORDED_VERSIONS},
    }


def training_history(folder: Path) -> list[dict[str, Any]]:
    """The records of all trainings that the weights of a release went through, oldest first; none without a record."""
    if not (folder / TRAINING_FILE).is_file():
        return []
    record = read_json(folder / TRAINING_FILE)
    return [*record.pop("previous", []), record]


def portable_settings(config: TrainConfig) -> dict[str, Any]:
    """All settings but the output folder, without paths of this machine."""
    settings = asdict(config)
    del settings["output_dir"]
    settings["data"] = without_folders(settings["data"])
    settings["model"]["init"] = without_folders(settings["model"]["init"])
    return settings


def _command(processes: int) -> str:
    # A run that was stopped ends with the same weights as one that was not.
    arguments = [without_folders(argument) for argument in sys.argv[1:] if argument != "--resume"]
    launcher = ["python"] if processes == 1 else ["accelerate", "launch"]
    program = PROGRAMS.get(Path(sys.argv[0]).stem, [*launcher, "scripts/train.py"])
    return shlex.join([*program, *arguments])
