"""Publish a release, a data set, a Space, or all three linked to each other: check here, then one commit each."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from datasets import DatasetDict
from huggingface_hub.utils import validate_repo_id

from skinvision_hf.card import Links
from skinvision_hf.config import DEFAULT_SCHEME
from skinvision_hf.data import fingerprint, limit_images
from skinvision_hf.errors import HubError
from skinvision_hf.hub.failures import hub_errors
from skinvision_hf.hub.sending import Published, PublishOptions, make_api, send_all
from skinvision_hf.hub.staging import Shown, stage_dataset, stage_model, stage_space
from skinvision_hf.models.release import TRAINING_FILE, resolve_release

__all__ = ["publish_all", "publish_dataset", "publish_model", "publish_space"]

NO_LINKS = Links()
DATASET_NAME, SPACE_NAME = "ham10000-leak-free", "skinvision"


def publish_model(
    release: str | Path | None,
    repo_id: str,
    *,
    links: Links = NO_LINKS,
    examples: int = 0,
    examples_from: str = "synthetic",
    **options: Any,
) -> Published:
    """Publish a release as a model.

    Args:
        release: The release folder; the bundled release when None.
        repo_id: Where to, such as `user/skinvision-efficientnet-b0`; made when it does not exist.
        links: The data set and the Space that the card links to; those of the published card when not given.
        examples: Number of test images to add as examples, in turn from each diagnosis.
        examples_from: Their source; see `skinvision_hf.data.load_ham10000`. `synthetic` draws them.
        options: Those of `PublishOptions`: private, tag, token, overwrite, dry_run.

    Raises:
        ModelError: If the release cannot be loaded.
        HubError: If it is not fit to be published, or the Hub refuses.
    """
    _check_ids(repo_id)
    with TemporaryDirectory(prefix="skinvision-") as folder:
        source = resolve_release(release)
        shipment = stage_model(
            source, repo_id, Path(folder), links=links, examples=examples, examples_from=examples_from
        )
        return send_all([shipment], PublishOptions(**options))[0]


def publish_dataset(
    source: str | Path, repo_id: str, *, split_scheme: str = DEFAULT_SCHEME, links: Links = NO_LINKS, **options: Any
) -> Published:
    """Publish the prepared data set: Parquet files with the images of each split, and a card.

    Args:
        source: HAM10000; see `skinvision_hf.data.load_ham10000`.
        repo_id: Where to, such as `user/ham10000-leak-free`; made when it does not exist.
        split_scheme: Name of the split scheme.
        links: The model and the Space that the card links to; those of the published card when not given.
        options: As for `publish_model`.

    Raises:
        DataError: If the source cannot be read.
        HubError: If the Hub refuses.
    """
    _check_ids(repo_id)
    with TemporaryDirectory(prefix="skinvision-") as folder:
        shipment, _ = stage_dataset(source, repo_id, Path(folder), split_scheme=split_scheme, links=links)
        return send_all([shipment], PublishOptions(**options))[0]


def publish_space(
    repo_id: str,
    model_id: str,
    *,
    model_revision: str | None = None,
    dataset_id: str | None = None,
    package: str | None = None,
    **options: Any,
) -> Published:
    """Publish the Space of this checkout, which shows a published model.

    Args:
        repo_id: Where to, such as `user/skinvision`; made when it does not exist.
        model_id: The model on the Hub that it shows. While it is private, the Space needs a secret HF_TOKEN that may
            read it, set in its settings on the Hub.
        model_revision: Branch, tag or commit of the model; its newest commit when None.
        dataset_id: The data set on the Hub that the card links to; that of the published card when None.
        package: Requirement to install this package by, such as `skinvision-hf[space] @ git+https://...@REV`; the
            version on PyPI when None.
        options: As for `publish_model`; a Space has no tag.

    Raises:
        HubError: If there is no such model or revision, this is not a checkout, or the Hub refuses.
    """
    _check_ids(repo_id, model_id)
    chosen, revision = PublishOptions(**options), model_revision or "main"
    if model_revision is None and not chosen.dry_run:
        with hub_errors(model_id):
            revision = str(make_api(chosen.token).model_info(model_id).sha)
    with TemporaryDirectory(prefix="skinvision-") as folder:
        shipment = stage_space(repo_id, Path(folder), Shown(model_id, revision), dataset_id=dataset_id, package=package)
        return send_all([shipment], chosen)[0]


def publish_all(
    release: str | Path | None,
    source: str | Path,
    repo_id: str,
    *,
    links: Links = NO_LINKS,
    examples: int = 0,
    examples_from: str = "synthetic",
    package: str | None = None,
    **options: Any,
) -> list[Published]:
    """Publish a data set, the release that was trained on it, and the Space that shows it, linked to each other.

    All three are prepared and checked before anything is sent. What is not said here is as for the other functions.

    Args:
        release: The release folder; the bundled release when None.
        source: HAM10000; see `skinvision_hf.data.load_ham10000`.
        repo_id: Where the model goes.
        links: Where the data set and the Space go; by default beside the model, as `ham10000-leak-free` and
            `skinvision`.
        examples: Number of test images to add to the model.
        examples_from: Their source.
        package: What the Space installs.
        options: As for `publish_model`.

    Returns:
        What was published: data set, model, Space.

    Raises:
        DataError: If the source cannot be read.
        ModelError: If the release cannot be loaded.
        HubError: If the release is not fit to be published or was trained on other data, or the Hub refuses.
    """
    namespace = repo_id.rpartition("/")[0]
    dataset_id = links.dataset_id or f"{namespace}/{DATASET_NAME}"
    space_id = links.space_id or f"{namespace}/{SPACE_NAME}"
    _check_ids(repo_id, dataset_id, space_id)
    here = Links(repo_id, dataset_id, space_id)
    with TemporaryDirectory(prefix="skinvision-") as name:
        folder = Path(name)
        model = stage_model(
            resolve_release(release),
            repo_id,
            folder / "model",
            links=here,
            examples=examples,
            examples_from=examples_from,
        )
        data, splits = stage_dataset(source, dataset_id, folder / "data", split_scheme=DEFAULT_SCHEME, links=here)
        _check_same_data(model.folder, splits)
        space = stage_space(space_id, folder / "space", Shown(repo_id), dataset_id=dataset_id, package=package)
        return send_all([data, model, space], PublishOptions(**options))


def _check_ids(*repo_ids: str) -> None:
    for repo_id in repo_ids:
        with hub_errors(repo_id):
            validate_repo_id(repo_id)
        if repo_id.count("/") != 1:
            raise HubError(f"{repo_id!r} is not a Hub id; write it as user/name")


def _check_same_data(release: Path, data: DatasetDict) -> None:
    """Check that the release was trained on this data set, to which its card would link."""
    record = json.loads((release / TRAINING_FILE).read_text(encoding="utf-8"))
    config = record["config"]
    seen = limit_images(data, config.get("limit") or 0, seed=config["seed"])
    for split, expected in record["data_fingerprint"].items():
        if split not in seen or fingerprint(seen[split]) != expected:
            raise HubError(
                f"the release was trained on other data: its {split} images are not those of --dataset; publish "
                "those, or each repository alone"
            )
