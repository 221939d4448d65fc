"""Publish on the Hugging Face Hub with your own token: HF_TOKEN, or the login of `hf auth login`.

  a release:    publish.py --release DIR --repo_id user/skinvision-efficientnet-b0 --tag v1.0
  the data set: publish.py --dataset SRC --repo_id user/ham10000-leak-free
  the Space:    publish.py --space --model_id user/skinvision-efficientnet-b0 --repo_id user/skinvision
  all, linked:  publish.py --all --release DIR --dataset SRC --repo_id user/skinvision-efficientnet-b0

Each is one commit, and what is there already is not sent again. Educational, not a medical device.
"""

import argparse
import sys
from collections.abc import Sequence

from skinvision_hf.errors import run_command

SHARED = {"repo_id", "private", "dry_run", "overwrite"}
RELEASE = SHARED | {"release", "tag", "examples", "examples_from"}
# The options that each way of calling uses; any other would be ignored, so it is an error.
MODES = {
    "--all": RELEASE | {"all", "dataset", "dataset_id", "space_id", "package"},
    "--release": RELEASE | {"dataset_id", "space_id"},
    "--dataset": SHARED | {"dataset", "tag", "model_id", "space_id"},
    "--space": SHARED | {"space", "model_id", "model_revision", "dataset_id", "package"},
}


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="publish.py", description=__doc__, formatter_class=raw)
    parser.add_argument("--repo_id", required=True, metavar="ID", help="where to, user/name; with --all, the model's")
    parser.add_argument("--release", metavar="DIR", help="release folder to publish as a model")
    parser.add_argument("--dataset", metavar="SRC", help="HAM10000 to publish: a folder, its zip files or 'synthetic'")
    parser.add_argument("--space", action="store_true", help="publish the Space of this checkout")
    parser.add_argument("--all", action="store_true", help="publish --dataset, --release and the Space")
    parser.add_argument("--model_id", metavar="ID", help="model that the Space shows or the data set's card links to")
    parser.add_argument("--model_revision", metavar="REV", help="what the Space shows (default: the newest commit)")
    parser.add_argument("--dataset_id", metavar="ID", help="data set that cards link to; with --all, where it goes")
    parser.add_argument("--space_id", metavar="ID", help="Space that cards link to; with --all, where it goes")
    parser.add_argument("--tag", help="tag for the model or the data set, such as v1.0")
    parser.add_argument("--examples", type=int, default=0, metavar="N", help="example images to add to the model")
    parser.add_argument("--examples_from", default="synthetic", metavar="SRC", help="their source (default: drawn)")
    parser.add_argument("--package", metavar="REQ", help="what the Space installs (default: this version from PyPI)")
    parser.add_argument("--private", action="store_true", help="hide a new repository from others")
    parser.add_argument("--overwrite", action="store_true", help="publish over a repository that holds something else")
    parser.add_argument("--dry_run", action="store_true", help="check and show what would be sent, but send nothing")
    return parser


def mode_of(parser: argparse.ArgumentParser, given: argparse.Namespace) -> str:
    """What to publish; ends the command if that is unclear, or if an option would be ignored."""
    asked = [flag for flag in ("--all", "--release", "--dataset", "--space") if getattr(given, flag[2:])]
    complete = {"--all": given.release and given.dataset, "--space": given.model_id}
    if not asked or not complete.get(asked[0], True):
        parser.error("give --release DIR, --dataset SRC, --space --model_id ID, or --all --release DIR --dataset SRC")
    for name, value in vars(given).items():
        if value != parser.get_default(name) and name not in MODES[asked[0]]:
            parser.error(f"--{name} does nothing beside {asked[0]}; leave it out, or publish each alone or --all")
    return asked[0]


def publish(argv: Sequence[str] | None) -> int:
    """Parse the command line, publish and print the addresses."""
    parser = build_parser()
    given = parser.parse_args(argv)
    mode = mode_of(parser, given)
    from skinvision_hf import hub

    options = {name: getattr(given, name) for name in ("private", "dry_run", "overwrite")} | {"show": print}
    if mode != "--space":
        options |= {"tag": given.tag, "links": hub.Links(given.model_id, given.dataset_id, given.space_id)}
    if "examples" in MODES[mode]:
        options |= {"examples": given.examples, "examples_from": given.examples_from}
    if mode == "--all":
        done = hub.publish_all(given.release, given.dataset, given.repo_id, package=given.package, **options)
    elif mode == "--release":
        done = [hub.publish_release(given.release, given.repo_id, **options)]
    elif mode == "--dataset":
        done = [hub.publish_dataset(given.dataset, given.repo_id, **options)]
    else:
        options |= {"model_revision": given.model_revision, "dataset_id": given.dataset_id, "package": given.package}
        done = [hub.publish_space(given.repo_id, given.model_id, **options)]
    print(*done, sep="\n")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see `skinvision_hf.errors.run_command` for the exit codes."""
    return run_command(publish, argv)


if __name__ == "__main__":
    sys.exit(main())
