# /// script
# requires-python = ">=3.11"
# dependencies = ["skinvision-hf[train]==0.1.0"]
#
# [tool.hf-jobs]
# flavor = "l4x1"
# timeout = "6h"
# secrets = ["HF_TOKEN"]
# ///
"""Train on a machine of the Hugging Face Hub, from a data set on the Hub to a published model.

The newest checkpoint is always in the private repository USER/NAME-checkpoints, where NAME is the last part of
--output_dir. The same command on a new machine continues from it.
"""

import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from skinvision_hf.cli.options import hub_id
from skinvision_hf.cli.training_commands import parse_training, read_config, train_parser
from skinvision_hf.errors import HubError, run_command
from skinvision_hf.training.checkpoints import Checkpoints

if TYPE_CHECKING:
    from accelerate import Accelerator
    from jsonargparse import ArgumentParser

    from skinvision_hf.config import TrainConfig

EXAMPLE = """hf jobs uv run --flavor l4x1 --timeout 6h --secrets HF_TOKEN scripts/jobs/train_on_hub.py \\
  --data user/ham10000-leak-free --config scripts/configs/full-320.yaml \\
  --output_dir full-320 --repo_id user/skinvision-320"""

logger = logging.getLogger(__name__)


class PushedCheckpoints(Checkpoints):
    """The checkpoints of a run, the newest of which is also in a private repository."""

    def __init__(self, output_dir: Path, namespace: str) -> None:
        super().__init__(output_dir)
        self.repo_id = f"{namespace}/{output_dir.name}-checkpoints"

    def pull(self) -> None:
        """Get what an earlier machine left; HubError if that cannot be done."""
        from skinvision_hf.hub.mirror import pull_checkpoints

        pull_checkpoints(self.repo_id, self.folder)

    def save(self, accelerator: "Accelerator", *, phase: int, epoch: int) -> None:
        """Save a checkpoint, then send it; an upload that fails does not end the training."""
        from skinvision_hf.hub.mirror import push_checkpoints

        super().save(accelerator, phase=phase, epoch=epoch)
        try:
            push_checkpoints(self.folder, self.repo_id)
        except HubError as error:
            logger.warning("training goes on, but this checkpoint was not sent: %s", error)


def make_parser() -> "ArgumentParser":
    """The options of a training, and where the model goes."""
    parser = train_parser("train_on_hub.py", str(__doc__), example=EXAMPLE)
    add = parser.add_argument
    add("--repo_id", required=True, type=hub_id, metavar="ID", help="repository of the model, user/name")
    add("--private", action="store_true", help="make a new repository private")
    add("--overwrite", action="store_true", help="publish over a repository that holds something else")
    parser.set_defaults(resume=True)
    return parser


def train(config: "TrainConfig", checkpoints: PushedCheckpoints, *, resume: bool) -> None:
    """Train from the newest checkpoint, wherever it is, to a measured release in the output folder."""
    from skinvision_hf.training.trainer import Trainer, load_training_data
    from skinvision_hf.workflows.finishing import finish_release

    checkpoints.pull()
    data = load_training_data(config)
    trainer = Trainer(config, data)
    trainer.checkpoints = checkpoints
    network = trainer.train(resume=resume)
    print(finish_release(config.output_dir, data, network, split_scheme=config.split_scheme))


def _run(argv: Sequence[str] | None) -> int:
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    parser = make_parser()
    given = parse_training(parser, argv)
    options = {name: given.pop(name) for name in ("repo_id", "private", "overwrite")}
    config, resume = read_config(parser, given)
    checkpoints = PushedCheckpoints(Path(config.output_dir), options["repo_id"].partition("/")[0])
    train(config, checkpoints, resume=resume)

    from skinvision_hf.data.hub_source import is_hub_id
    from skinvision_hf.hub import Links, publish_model

    links = Links(dataset_id=config.data if is_hub_id(config.data) else None)
    print(publish_model(config.output_dir, links=links, **options))
    print(f"The checkpoints are no longer needed: hf repos delete {checkpoints.repo_id}")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job and return its exit code: 2 when an option or the Hub is at fault, 1 when a run failed."""
    return run_command(_run, argv)


if __name__ == "__main__":
    sys.exit(main())
