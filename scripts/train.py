"""Train a model on HAM10000 in two phases: `accelerate launch scripts/train.py --data DATA --output_dir DIR`.

All flags come from the configuration classes in skinvision_hf.config; a YAML file with the same names can be given as
--config. For education and research only; not a medical device.
"""

import logging
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from skinvision_hf.cli.commands import require_training
from skinvision_hf.config import TrainConfig
from skinvision_hf.errors import run_command

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser


def build_parser() -> "ArgumentParser":
    """Derive the command line from the configuration classes."""
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(prog="train.py", description=__doc__, env_prefix=False)
    parser.add_argument("--config", action="config", help="YAML file with settings; later flags win over it")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint, with the same settings")
    parser.add_class_arguments(TrainConfig, as_group=False)
    return parser


def train(argv: Sequence[str] | None) -> int:
    """Train, then calibrate the network, measure it on test and describe it."""
    require_training()
    parser = build_parser()
    arguments = parser.parse_args(None if argv is None else list(argv))
    resume = arguments.pop("resume")
    arguments.pop("config", None)
    config = TrainConfig(**vars(parser.instantiate(arguments)))

    from skinvision_hf.card.finishing import finish_release
    from skinvision_hf.training.trainer import load_splits, run_training

    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    release = run_training(config, resume=resume)
    # One process measures and describes what all of them trained.
    if int(os.environ.get("RANK", "0")) == 0:
        try:
            print(finish_release(release, load_splits(config), split_scheme=config.split_scheme))
        except KeyboardInterrupt:
            raise KeyboardInterrupt("The network is trained; run the same command with --resume to finish.") from None
        print(f"Release written to {release}")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see `skinvision_hf.errors.run_command` for the exit codes."""
    return run_command(train, argv)


if __name__ == "__main__":
    sys.exit(main())
