"""What turns a network's folder into a complete release: the records that training and evaluation write."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from skinvision_hf.card import Links
from skinvision_hf.files import sha256
from skinvision_hf.labels import CODES
from skinvision_hf.models.release import list_parts

LINKS = Links("ann/skinvision-b0", "ann/ham10000-leak-free", "ann/skinvision")
CLASS_METRICS = ("sensitivity", "specificity", "precision", "f1", "auc", "average_precision")
OVERALL_METRICS = (
    *("accuracy", "balanced_accuracy", "macro_f1", "weighted_f1", "mean_auc", "log_loss", "brier_score", "ece"),
    *("melanoma_sensitivity", "melanoma_specificity"),
)


def complete_release(network: Path, target: Path) -> Path:
    """Copy a folder of config.json and model.safetensors and add metrics.json, training.json and a figure."""
    shutil.copytree(network, target)
    measured = {"model": {"weights_sha256": sha256(target / "model.safetensors")}}
    (target / "metrics.json").write_text(json.dumps(metrics() | measured))
    list_parts(target)
    (target / "training.json").write_text(json.dumps(training()))
    draw_figure(target / "figures" / "confusion_matrix.png")
    return target


def draw_figure(path: Path, *, colour: str = "white") -> None:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40, 30), colour).save(path)


def estimate(value: float, n: int = 210) -> dict[str, Any]:
    return {"value": value, "low": value - 0.05, "high": value + 0.04, "n": n}


def metrics() -> dict[str, Any]:
    generator = np.random.default_rng(0)

    def estimates(names: tuple[str, ...], n: int) -> dict[str, Any]:
        return {name: estimate(float(generator.uniform(0.2, 0.9)), n) for name in names}

    return {
        "schema_version": 1,
        "split": {"name": "ham10000-v1", "part": "test", "images": 210, "lesions": 180},
        "overall": estimates(OVERALL_METRICS, 210),
        "per_class": {code: estimates(CLASS_METRICS, 30) for code in CODES},
        "confusion_matrix": np.full((7, 7), 5).tolist(),
    }


def explanations() -> dict[str, Any]:
    """An explanation section of one method and its controls."""
    names = ("pointing_game", "energy_inside", "iou", "inside_outside_ratio", "road")
    by_class = {code: estimates_of(0.5, names) for code in CODES}
    outcomes = {name: estimates_of(0.5, names) for name in ("correct", "incorrect")}
    shared = {"per_class": by_class, "by_outcome": outcomes, "rank_correlation": estimate(0.1)}
    maps = [
        {"map": "gradcam", "network": "trained", **estimates_of(0.5, names), **shared},
        *({"map": "gradcam", "network": what, **estimates_of(0.3, names), **shared} for what in ("classifier", "all")),
        *({"map": what, "network": "none", **estimates_of(0.5, names), **shared} for what in ("centre", "noise")),
    ]
    return {
        "summary": "What heat maps show.",
        "favourite": "gradcam",
        "test": {"images": 210, "lesions": 180, "maps": maps},
    }


def estimates_of(value: float, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: estimate(value) for name in names}


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
            "model": {"init": "lite0", "drop_rate": 0.3, "drop_path_rate": 0.2},
        },
        "split": "ham10000-v1",
        "data_fingerprint": dict.fromkeys(("train", "validation", "test"), "0123456789abcdef" * 4),
        "images": {"train": 7010, "validation": 1504, "test": 1501},
        "best": {"phase": "finetune", "epoch": 17, "metric": "balanced_accuracy", "value": 0.7},
        "seconds": 5432.1,
        "processes": 1,
        "hardware": {"device": "cpu", "cores": 2, "machine": "x86_64"},
        "versions": {"python": "3.11.7", "torch": "2.14.1"},
    }


def change_json(path: Path, change: Callable[[dict], object]) -> None:
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))
