"""The folders as they will be on the Hub, written to a temporary place, so that what is checked is what is sent."""

import shutil
from itertools import zip_longest
from pathlib import Path

from datasets import DatasetDict
from huggingface_hub import RepoCard
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from skinvision_hf.card import Links, render_dataset_card, write_card
from skinvision_hf.data import FEATURES, load_ham10000
from skinvision_hf.data.prepared import write_parquet
from skinvision_hf.errors import HubError
from skinvision_hf.files import atomic_write
from skinvision_hf.hub.repositories import MARKER
from skinvision_hf.labels import CODES
from skinvision_hf.models.release import CARD_FILE, release_files

__all__ = ["SPACE_FILES", "check_package", "stage_dataset", "stage_release", "stage_space"]

REQUIREMENTS = "requirements.txt"
SPACE_FILES = ("app.py", "style.css", CARD_FILE, REQUIREMENTS)
PACKAGE, EXTRA = "skinvision-hf", "space"


def stage_release(
    release: Path,
    target: Path,
    *,
    links: Links,
    examples: int = 0,
    examples_from: str = "synthetic",
) -> None:
    """Copy a release, add example images, and write its card for where it will be.

    Args:
        release: The release folder; it is not changed.
        target: Folder to fill.
        links: Where it will be on the Hub, with its data set and its Space.
        examples: Number of example images to add, in turn from each diagnosis of the test part.
        examples_from: Where they come from: any source of `skinvision_hf.data.load_ham10000`.
    """
    for source in release_files(release):
        copy = target / source.relative_to(release)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, copy)
    if examples:
        _add_examples(target / "examples", examples, examples_from)
    write_card(target, links=links)


def _add_examples(folder: Path, number: int, source: str) -> None:
    """Save the first images of each diagnosis in turn, so that the choice is nobody's."""
    test = load_ham10000(source)["test"]
    by_label: dict[int, list[int]] = {}
    for row, label in enumerate(test["label"]):
        by_label.setdefault(label, []).append(row)
    turns = zip_longest(*(by_label[label] for label in sorted(by_label)))
    rows = [row for turn in turns for row in turn if row is not None][:number]
    folder.mkdir(exist_ok=True)
    for item in test.select(rows):
        item["image"].convert("RGB").save(folder / f"{item['image_id']}-{CODES[item['label']]}.png")


def stage_dataset(source: str | Path, target: Path, *, split_scheme: str, repo_id: str, links: Links) -> DatasetDict:
    """Write a prepared data set: Parquet files that hold the images, and a card.

    Args:
        source: See `skinvision_hf.data.load_ham10000`.
        target: Folder to fill.
        split: Name of the split.
        repo_id: Where it will be on the Hub.
        links: The model that was trained on it and its Space, to link to.

    Returns:
        What was written, by part.
    """
    data = DatasetDict(
        {k: d.select_columns(list(FEATURES)) for k, d in load_ham10000(source, split_scheme=split_scheme).items()}
    )
    for split, dataset in data.items():
        write_parquet(dataset, target, split)
    card = render_dataset_card(data, split_scheme=split_scheme, repo_id=repo_id, links=links)
    _mark(card)
    atomic_write(target / CARD_FILE, str(card))
    return data


def check_package(package: str | None) -> None:
    """Check a requirement that is to stand for this package in a Space; None is its version on PyPI.

    Raises:
        HubError: If pip could not read it, or it is not this package with its extra for Spaces.
    """
    if package is None:
        return
    example = f"write it as '{PACKAGE}[{EXTRA}] @ git+https://...'"
    try:
        requirement = Requirement(package)
    except InvalidRequirement as error:
        raise HubError(f"pip cannot read --package {package!r}; {example}") from error
    if canonicalize_name(requirement.name) != PACKAGE or EXTRA not in requirement.extras or "\n" in package:
        raise HubError(f"--package {package!r} is not this package for a Space; {example}")


def stage_space(
    folder: Path, target: Path, *, model_id: str, dataset_id: str | None = None, package: str | None = None
) -> None:
    """Copy the Space's files and name its model and data set in its card.

    Args:
        folder: The folder `space` of a checkout.
        target: Folder to fill.
        model_id: The model on the Hub that it shows.
        dataset_id: The model's data set on the Hub, to link to.
        package: Requirement to install this package by; that of the folder when None.

    Raises:
        HubError: If the folder lacks a file of a Space.
    """
    for name in SPACE_FILES:
        if not (folder / name).is_file():
            raise HubError(
                f"{folder} has no {name}; the Space is part of a checkout of the code, so run this there, or name "
                "its folder"
            )
    target.mkdir(parents=True, exist_ok=True)
    for name in SPACE_FILES:
        shutil.copyfile(folder / name, target / name)
    if package:
        atomic_write(target / REQUIREMENTS, f"{package}\n")
    card = RepoCard.load(target / CARD_FILE)
    card.data["models"] = [model_id]
    if dataset_id:
        card.data["datasets"] = [dataset_id]
    _mark(card)
    atomic_write(target / CARD_FILE, str(card))


def _mark(card: RepoCard) -> None:
    """Add the tag by which the next publishing knows its own."""
    tags = card.data.get("tags") or []
    card.data["tags"] = [*tags, *({MARKER} - set(tags))]
