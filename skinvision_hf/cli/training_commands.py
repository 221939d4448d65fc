"""`skinvision train`: flags from the configuration classes, one training run, one finished release."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from skinvision_hf.cli.options import check_source, epilog, is_main_process, require_training
from skinvision_hf.config import TrainConfig

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

__all__ = ["build_train_parser", "train"]

EXAMPLE = """skinvision train --data data/ham10000 --output_dir outputs/skinvision
skinvision train --data synthetic --finetune.epochs 3 --output_dir outputs/trial"""


def build_train_parser() -> "ArgumentParser":
    """Derive the command line from the configuration classes."""
    import argparse

    from jsonargparse import ArgumentParser

    parser = ArgumentParser(
        prog="skinvision train",
        description="Train the classifier, then all layers; then calibrate, measure and describe the release.",
        epilog=epilog(EXAMPLE),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        env_prefix=False,
    )
    parser.add_argument("--config", action="config", help="YAML file with settings; later flags win over it")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint, with the same settings")
    parser.add_class_arguments(TrainConfig, as_group=False)
    return parser


def train(argv: Sequence[str]) -> int:
    """Train a network and make it a release."""
    require_training()
    parser = build_train_parser()
    arguments = parser.parse_args(list(argv))
    resume = arguments.pop("resume")
    arguments.pop("config", None)
    config = TrainConfig(**vars(parser.instantiate(arguments)))
    check_source(config.data)

    from skinvision_hf.card.finishing import finish_release
    from skinvision_hf.training.trainer import Trainer, load_training_data

    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    data = load_training_data(config)
    network = Trainer(config, data).train(resume=resume)
    # One process measures and describes what all of them trained.
    if is_main_process():
        folder = Path(config.output_dir)
        try:
            print(finish_release(folder, data, network, split_scheme=config.split_scheme))
        except KeyboardInterrupt:
            raise KeyboardInterrupt("The network is trained; run the same command with --resume to finish.") from None
        print(f"Release written to {folder}")
    return 0
