"""The folders as they will be on the Hub, written to a temporary place, so that what is checked is what is sent."""

import shutil
from dataclasses import replace
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

from datasets import DatasetDict
from huggingface_hub import RepoCard

from skinvision_hf._version import __version__
from skinvision_hf.card import Links, render_dataset_card, write_card
from skinvision_hf.data import FEATURES, load_ham10000
from skinvision_hf.data.prepared import write_parquet
from skinvision_hf.errors import HubError
from skinvision_hf.files import atomic_write
from skinvision_hf.hub.checks import check_release
from skinvision_hf.hub.sending import MARKER, REVISION, Shipment
from skinvision_hf.labels import CODES
from skinvision_hf.models.release import CARD_FILE, RELEASE_FILES, release_files

__all__ = ["SPACE_FILES", "Shown", "stage_dataset", "stage_model", "stage_space"]

SPACE_FOLDER = Path(__file__).resolve().parents[2] / "space"
REQUIREMENTS = "requirements.txt"
SPACE_FILES = ("app.py", "script.js", "style.css", CARD_FILE, REQUIREMENTS)


class Shown(NamedTuple):
    """The model that a Space shows, and its commit or tag: "" for the one that is published before the Space."""

    model_id: str
    revision: str = ""


def stage_model(
    release: Path, repo_id: str, folder: Path, *, links: Links, examples: int = 0, examples_from: str = "synthetic"
) -> Shipment:
    """Copy a release into a folder, add example images, write its card for where it will be, and check it.

    Raises:
        ModelError: If the release cannot be loaded.
        HubError: If it is not fit to be published.
    """
    # timm and the card take the name from the folder.
    staged = folder / repo_id.rpartition("/")[2]
    for source in release_files(release):
        copy = staged / source.relative_to(release)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, copy)
    if examples:
        _add_examples(staged / "examples", examples, examples_from)
    here = replace(links, model_id=repo_id)
    write = partial(_write_model_card, staged)
    write(here)
    check_release(staged)
    message = f"Publish the release with skinvision_hf {__version__}"
    return Shipment("model", repo_id, staged, message, owned=RELEASE_FILES, links=here, write_card=write)


def stage_dataset(
    source: str | Path, repo_id: str, folder: Path, *, split_scheme: str, links: Links
) -> tuple[Shipment, DatasetDict]:
    """Write a prepared data set into a folder: Parquet files that hold the images, and a card.

    Returns:
        What is to be sent, and its splits.

    Raises:
        DataError: If the source cannot be read.
    """
    loaded = load_ham10000(source, split_scheme=split_scheme)
    data = DatasetDict({name: rows.select_columns(list(FEATURES)) for name, rows in loaded.items()})
    for name, rows in data.items():
        write_parquet(rows, folder, name)

    def write(links: Links) -> None:
        card = render_dataset_card(data, split_scheme=split_scheme, repo_id=repo_id, links=links)
        _mark(folder, card.content)

    write(links)
    message = f"Publish the split scheme {split_scheme}"
    shipment = Shipment("dataset", repo_id, folder, message, owned=["data/*.parquet"], links=links, write_card=write)
    return shipment, data


def stage_space(
    repo_id: str, folder: Path, shown: Shown, *, dataset_id: str | None = None, package: str | None = None
) -> Shipment:
    """Copy the Space's files into a folder, with its model, data set and package in them.

    Raises:
        HubError: If this is not a checkout of the code.
    """
    if not all((SPACE_FOLDER / name).is_file() for name in SPACE_FILES):
        raise HubError("the Space is part of a checkout of the code; clone the repository and publish from there")
    folder.mkdir(parents=True, exist_ok=True)
    for name in SPACE_FILES:
        shutil.copyfile(SPACE_FOLDER / name, folder / name)
    if package:
        atomic_write(folder / REQUIREMENTS, f"{package}\n")
    text = (folder / CARD_FILE).read_text(encoding="utf-8")

    def write(links: Links) -> None:
        datasets = [links.dataset_id] if links.dataset_id else []
        _mark(folder, text, models=[shown.model_id], datasets=datasets)

    links = Links(dataset_id=dataset_id)
    write(links)
    variables = {"MODEL_ID": shown.model_id, REVISION: shown.revision}
    return Shipment("space", repo_id, folder, f"Show {shown.model_id}", SPACE_FILES, links, write, variables)


def _write_model_card(folder: Path, links: Links) -> None:
    _mark(folder, write_card(folder, links=links).read_text(encoding="utf-8"))


def _mark(folder: Path, text: str, **metadata: list[str]) -> None:
    """Write a card with the tag by which the next publish knows its own, and more metadata."""
    card = RepoCard(text)
    card.data["tags"] = [*dict.fromkeys([*(card.data.get("tags") or []), MARKER])]
    for name, value in metadata.items():
        card.data[name] = value
    atomic_write(folder / CARD_FILE, str(card))


def _add_examples(folder: Path, number: int, source: str) -> None:
    """Save the first test images of each diagnosis in turn, whatever the model says of them."""
    test = load_ham10000(source)["test"]
    by_label: dict[int, list[int]] = {}
    for row, label in enumerate(test["label"]):
        by_label.setdefault(label, []).append(row)
    turns = zip_longest(*(by_label[label] for label in sorted(by_label)))
    rows = [row for turn in turns for row in turn if row is not None][:number]
    folder.mkdir(exist_ok=True)
    for item in test.select(rows):
        item["image"].convert("RGB").save(folder / f"{item['image_id']}-{CODES[item['label']]}.png")
