"""`skinvision publish`."""

import argparse
from collections.abc import Sequence

from skinvision_hf.cli.options import hub_id, make_parser, positive, release, source
from skinvision_hf.config import SPACE_KINDS

# What is handed on to the functions of `skinvision_hf.hub` by its own name.
SHARED = {"private", "dry_run", "overwrite"}
EXAMPLES = {"examples", "examples_from"}
# The options that each way of calling uses, besides what it publishes; any other would be ignored, so it is an error.
MODES = {
    "--all": SHARED | EXAMPLES | {"tag", "dataset", "release", "dataset_id", "space_id", "package", "kind"},
    "--release": SHARED | EXAMPLES | {"tag", "dataset_id", "space_id"},
    "--dataset": SHARED | {"tag", "model_id", "space_id"},
    "--space": SHARED | {"model_id", "model_revision", "dataset_id", "package", "kind"},
}
EXAMPLE = """skinvision publish --release outputs/skinvision --repo_id user/skinvision-efficientnet-b0 --dry_run
skinvision publish --dataset data/ham10000 --repo_id user/ham10000-leak-free
skinvision publish --space --model_id user/skinvision-efficientnet-b0 --repo_id user/skinvision
skinvision publish --all --release outputs/skinvision --dataset data/ham10000 --repo_id user/skinvision"""


def publish(argv: Sequence[str]) -> int:
    """Publish and print the addresses."""
    parser = _build_parser()
    given = parser.parse_args(argv)
    mode = _mode(parser, given)

    from skinvision_hf import hub

    handed = MODES[mode] & (SHARED | EXAMPLES | {"tag", "package", "kind", "model_revision"})
    options = {name: getattr(given, name) for name in handed}
    links = hub.Links(given.model_id, given.dataset_id, given.space_id)
    if mode == "--all":
        done = hub.publish_all(given.release, given.dataset, given.repo_id, links=links, **options)
    elif mode == "--release":
        done = [hub.publish_model(given.release, given.repo_id, links=links, **options)]
    elif mode == "--dataset":
        done = [hub.publish_dataset(given.dataset, given.repo_id, links=links, **options)]
    else:
        done = [hub.publish_space(given.repo_id, given.model_id, dataset_id=given.dataset_id, **options)]
    print(*done, sep="\n")
    return 0


def _build_parser() -> argparse.ArgumentParser:
    parser = make_parser(
        "publish",
        "Publish a release, the data set or the Space on the Hugging Face Hub, in one commit each.\n"
        "You need a token with write access, in HF_TOKEN or from `hf auth login`.",
        example=EXAMPLE,
    )
    add = parser.add_argument
    about = "repository, user/name; with --all, that of the model"
    add("--repo_id", type=hub_id, required=True, metavar="ID", help=about)
    add("--release", type=release, metavar="DIR", help="release folder to publish as a model")
    add("--dataset", type=source, metavar="SOURCE", help="HAM10000 to publish: a folder, a zip file or synthetic")
    add("--space", action="store_true", help="publish the Space of this checkout")
    add("--all", action="store_true", help="publish --dataset, --release and the Space")
    about = "model that the Space runs, or that the card of the data set links to"
    add("--model_id", type=hub_id, metavar="ID", help=about)
    add("--model_revision", metavar="REV", help="revision of --model_id for the Space (default: the newest commit)")
    add("--dataset_id", type=hub_id, metavar="ID", help="data set that cards link to; with --all, its repository")
    add("--space_id", type=hub_id, metavar="ID", help="Space that cards link to; with --all, its repository")
    add("--tag", help="tag for the model or the data set, such as v1.0")
    add("--examples", type=positive, default=0, metavar="N", help="example images to add to the model (default: 0)")
    add("--examples_from", default="synthetic", metavar="SOURCE", help="their data set (default: synthetic)")
    about = "static runs in the browser and is free; gradio is an app with an API, zerogpu that app on ZeroGPU"
    add("--kind", choices=SPACE_KINDS, default="static", help=f"{about} (default: static)")
    add("--package", metavar="REQ", help="package that a Gradio Space installs (default: this version from PyPI)")
    add("--private", action="store_true", help="make new repositories private")
    add("--overwrite", action="store_true", help="publish over a repository that holds something else")
    add("--dry_run", action="store_true", help="check everything and show what would be sent, but send nothing")
    return parser


def _mode(parser: argparse.ArgumentParser, given: argparse.Namespace) -> str:
    """What to publish; ends the command if that is unclear, or if an option would be ignored."""
    asked = next((flag for flag in MODES if getattr(given, flag[2:])), None)
    complete = {"--all": given.release and given.dataset, "--space": given.model_id}
    if asked is None or not complete.get(asked, True):
        parser.error(
            "give --release DIR, --dataset SOURCE, --space --model_id ID, or --all --release DIR --dataset SOURCE"
        )
    used = MODES[asked] | {"repo_id", asked[2:]}
    for name, value in vars(given).items():
        if value != parser.get_default(name) and name not in used:
            parser.error(f"--{name} has no effect with {asked}; leave it out, or publish each alone or --all")
    return asked
