"""Runs of tiny networks on drawn lesions, in this process and as commands."""

import json
import os
import subprocess
import sys
from pathlib import Path

from skinvision_hf.config import AugmentConfig, LossConfig, ModelConfig, PhaseConfig, TrainConfig
from skinvision_hf.training.trainer import Trainer, load_training_data

ROOT = Path(__file__).resolve().parents[1]
TRAIN = ROOT / "scripts" / "train.py"
TINY = [
    "--data=synthetic[:210]",
    "--model.architecture=test_efficientnet",
    "--model.init=random",
    "--model.image_size=32",
    "--batch_size=16",
    "--num_workers=0",
]
ACCELERATE = (sys.executable, "-m", "accelerate.commands.launch", "--cpu")
# As the README says for two processes on CPUs.
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2")


def tiny_config(output_dir: Path, **changes: object) -> TrainConfig:
    settings: dict[str, object] = {
        "data": "synthetic[:210]",
        "output_dir": str(output_dir),
        "model": ModelConfig(architecture="test_efficientnet", init="random", image_size=32, drop_path_rate=0.0),
        "augment": AugmentConfig(resolution=1.0, first_resolution=0.0, min_scale=0.4),
        "loss": LossConfig(class_weights="sqrt", logit_adjustment=0.0, mixup_alpha=0.1, cutmix_alpha=0.0),
        "finetune": PhaseConfig(epochs=2, learning_rate=3e-3, ema_decay=0.9),
        "batch_size": 16,
        "num_workers": 0,
    }
    return TrainConfig(**(settings | changes))  # type: ignore[arg-type]


def run_training(config: TrainConfig, *, resume: bool = False) -> Path:
    """Train as the command does, and return the release folder."""
    Trainer(config, load_training_data(config)).train(resume=resume)
    return Path(config.output_dir)


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}


def train(*arguments: str, launcher: tuple[str, ...] = (sys.executable,)) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*launcher, str(TRAIN), *TINY, *arguments], env=environment(), capture_output=True, text=True, timeout=280
    )


def history(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
