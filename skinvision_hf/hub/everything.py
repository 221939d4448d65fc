"""Publish the data set, the model and the Space, linked to each other."""

import json
import logging
from dataclasses import replace
from pathlib import Path

from datasets import DatasetDict

from skinvision_hf.card import Links
from skinvision_hf.data import fingerprint
from skinvision_hf.data.limits import limit_parts
from skinvision_hf.data.split_schemes import MANIFEST_SPLIT
from skinvision_hf.errors import HubError
from skinvision_hf.hub.failures import staging_folder
from skinvision_hf.hub.preparing import prepare_dataset, prepare_release, prepare_space
from skinvision_hf.hub.publishing import make_api
from skinvision_hf.hub.rights import check_rights, check_tag
from skinvision_hf.hub.sending import Published, Shipment, Show, send, send_all
from skinvision_hf.hub.staging import check_package
from skinvision_hf.models.release import TRAINING_FILE

__all__ = ["DATASET_NAME", "SPACE_NAME", "publish_all"]

logger = logging.getLogger(__name__)

DATASET_NAME = "ham10000-leak-free"
SPACE_NAME = "skinvision"
NEW_COMMIT = "the new commit of the model"
"""Stands in the plan of the Space for what is only known once the model is there."""


def publish_all(
    release: str | Path | None,
    source: str | Path,
    repo_id: str,
    *,
    links: Links | None = None,
    tag: str | None = None,
    token: str | None = None,
    private: bool = False,
    dry_run: bool = False,
    overwrite: bool = False,
    examples: int = 0,
    examples_from: str = "synthetic",
    package: str | None = None,
    show: Show = logger.info,
) -> list[Published]:
    """Publish a data set, the release trained on it and the Space that shows it; each card links to the others.

    All three are prepared, checked and shown before anything is sent.

    Args:
        release: The release folder; the bundled release when None.
        source: HAM10000; see `skinvision_hf.data.load_ham10000`.
        repo_id: Where the model goes.
        links: Where the data set and the Space go; beside the model, as `ham10000-leak-free` and `skinvision`, where
            not said.
        tag: Tag for the data set and the model; the Space then shows the model at this tag.
        token: Token with write access; that of HF_TOKEN or of the login when None.
        private: Hide new repositories from others; existing ones must be private already.
        dry_run: Check everything and show the plans, but send nothing.
        overwrite: Publish over repositories that hold something else; what has other names stays.
        examples: Number of example images to add to the model, in turn from each diagnosis.
        examples_from: Their source; `synthetic` draws them.
        package: As for `publish_space`.
        show: Called with each plan before anything is sent.

    Returns:
        What was published: data set, model, Space.

    Raises:
        DataError: If the source cannot be read.
        ModelError: If the release cannot be loaded.
        HubError: If the release is not fit to be published or was trained on other data, or the Hub refuses.
    """
    api, here = make_api(token), _places(repo_id, links or Links())
    dataset_id, space_id = str(here.dataset_id), str(here.space_id)
    check_tag(tag)
    check_package(package)
    check_rights(api, repo_id, dataset_id, space_id)
    common = {"private": private, "overwrite": overwrite}
    with staging_folder() as folder:
        model = prepare_release(
            api,
            release,
            repo_id,
            folder / "model",
            tag=tag,
            examples=examples,
            examples_from=examples_from,
            links=here,
            **common,
        )
        data, splits = prepare_dataset(
            api, source, dataset_id, folder / "dataset", split_scheme=MANIFEST_SPLIT, tag=tag, links=here, **common
        )
        _check_same_data(model.folder, splits)
        revision = tag or (NEW_COMMIT if model.plan.changes else str(model.plan.head))
        space = prepare_space(
            api,
            space_id,
            folder / "space",
            variables={"MODEL_ID": repo_id, "MODEL_REVISION": revision},
            hidden_model=model.plan.private,
            source=None,
            package=package,
            dataset_id=dataset_id,
            **common,
        )
        if dry_run or revision != NEW_COMMIT:
            return send_all(api, [data, model, space], dry_run=dry_run, show=show)
        for shipment in (data, model, space):
            show(shipment.plan)
        sent = [send(api, data), send(api, model)]
        return [*sent, send(api, _at(space, str(sent[1].commit)))]


def _places(repo_id: str, given: Links) -> Links:
    namespace = repo_id.rpartition("/")[0]
    dataset_id = given.dataset_id or f"{namespace}/{DATASET_NAME}"
    return Links(repo_id, dataset_id, given.space_id or f"{namespace}/{SPACE_NAME}")


def _at(space: Shipment, commit: str) -> Shipment:
    """The Space's shipment with the model's commit, now that it is known."""
    variables = {**space.plan.variables, "MODEL_REVISION": commit}
    return replace(space, plan=replace(space.plan, variables=variables))


def _check_same_data(release: Path, data: DatasetDict) -> None:
    """Check that the release was trained on this data set, to which its card would link."""
    record = json.loads((release / TRAINING_FILE).read_text(encoding="utf-8"))
    config = record["config"]
    seen = limit_parts(data, config.get("limit") or 0, seed=config["seed"])
    for split, expected in record["data_fingerprint"].items():
        if split not in seen or fingerprint(seen[split]) != expected:
            raise HubError(
                f"the release was trained on other data: its {split} images are not those of --dataset (split "
                f"{record['split']}, {record['images'].get(split)} images); publish those, or each repository alone"
            )
