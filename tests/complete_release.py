"""What turns a network's folder into a complete release: the records that training and evaluation write."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from skinvision_hf.card import Links
from skinvision_hf.evaluation.metrics import CLASS_METRICS, OVERALL_METRICS
from skinvision_hf.files import sha256
from skinvision_hf.labels import CODES
from skinvision_hf.models.release import list_parts
from skinvision_hf.models.selftest import write_selftest
from skinvision_hf.models.torch_runtime import TorchRuntime

LINKS = Links("ann/skinvision-b0", "ann/ham10000-leak-free", "ann/skinvision")


def complete_release(network: Path, target: Path) -> Path:
    """Copy a folder of config.json and model.safetensors and add metrics.json, training.json and a figure."""
    shutil.copytree(network, target)
    measured = {"model": {"weights_sha256": sha256(target / "model.safetensors")}}
    (target / "metrics.json").write_text(json.dumps(metrics() | measured))
    list_parts(target)
    write_selftest(TorchRuntime.load(target, "cpu"), target)
    (target / "training.json").write_text(json.dumps(training()))
    draw_figure(target / "figures" / "confusion_matrix.png")
    return target


def draw_figure(path: Path, *, colour: str = "white") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40, 30), colour).save(path)


def estimate(value: float, n: int = 210) -> dict[str, Any]:
    return {"value": value, "low": value - 0.05, "high": value + 0.04, "n": n}


def metrics() -> dict[str, Any]:
    """The sections that every metrics.json has, with a different number for each metric."""
    numbers = (0.2 + k / 97 for k in range(97))
    return {
        "schema_version": 3,
        "split": {"scheme": "ham10000-v1", "name": "test", "images": 210, "lesions": 180},
        "overall": {name: estimate(next(numbers)) for name in OVERALL_METRICS},
        "per_class": {code: {name: estimate(next(numbers), 30) for name in CLASS_METRICS} for code in CODES},
        "confusion_matrix": [[24 if row == column else 1 for column in range(7)] for row in range(7)],
    }


def training() -> dict[str, Any]:
    phase = {"epochs": 2, "learning_rate": 0.001, "weight_decay": 0.05, "ema_decay": 0.998}
    return {
        "skinvision_version": "0.1.0",
        "command": "accelerate launch scripts/train.py --data HAM10000 --output_dir main",
        "config": {
            "batch_size": 32,
            "gradient_accumulation_steps": 1,
            "seed": 0,
            "head": phase,
            "finetune": phase,
            "loss": {"class_weights": "sqrt", "label_smoothing": 0.05, "mixup_alpha": 0.1},
            "model": {"init": "lite0", "image_size": 64, "drop_rate": 0.3, "drop_path_rate": 0.2},
        },
        "split_scheme": "ham10000-v1",
        "data_fingerprint": dict.fromkeys(("train", "validation", "test"), "0123456789abcdef" * 4),
        "images": {"train": 7010, "validation": 1504, "test": 1501},
        "seconds": 5432.1,
        "processes": 1,
        "hardware": {"device": "cpu", "cores": 2, "machine": "x86_64"},
        "versions": {"python": "3.11.7", "torch": "2.14.1"},
    }


def change_json(path: Path, change: Callable[[dict], object]) -> None:
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))
