"""Runs of tiny networks on drawn lesions, in this process and as commands."""

import json
import subprocess
from pathlib import Path

from calling import ROOT, python

from skinvision_hf.config import AugmentConfig, LossConfig, ModelConfig, PhaseConfig, TrainConfig
from skinvision_hf.training.trainer import Trainer, load_training_data

TRAIN = ROOT / "scripts" / "train.py"
TINY = [
    "--data=synthetic[:210]",
    "--model.architecture=test_efficientnet",
    "--model.init=random",
    "--model.image_size=32",
    "--batch_size=16",
    "--num_workers=0",
]
ACCELERATE = ("-m", "accelerate.commands.launch", "--cpu")
# As the README says for two processes on CPUs.
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2")


def tiny_config(output_dir: Path, **changes: object) -> TrainConfig:
    settings: dict[str, object] = {
        "data": "synthetic[:210]",
        "limit": 64,
        "output_dir": str(output_dir),
        "model": ModelConfig(architecture="test_efficientnet", init="random", image_size=32, drop_path_rate=0.0),
        "augment": AugmentConfig(resolution=1.0, first_resolution=0.0, min_scale=0.4),
        "loss": LossConfig(class_weights="sqrt", logit_adjustment=0.0, mixup_alpha=0.1, cutmix_alpha=0.0),
        "finetune": PhaseConfig(epochs=2, learning_rate=3e-3, ema_decay=0.9),
        "batch_size": 16,
        "num_workers": 0,
    }
    return TrainConfig(**(settings | changes))


def run_training(config: TrainConfig, *, resume: bool = False) -> Path:
    """Train as the command does, and return the release folder."""
    Trainer(config, load_training_data(config)).train(resume=resume)
    return Path(config.output_dir)


def train(*arguments: str, launcher: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    return python(*launcher, TRAIN, *TINY, *arguments)


def history(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
