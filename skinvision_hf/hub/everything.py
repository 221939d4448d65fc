"""Publish the data set, the model and the Space, linked to each other."""

import logging
from pathlib import Path

from skinvision_hf.card import Links
from skinvision_hf.hub.plans import Published
from skinvision_hf.hub.publishing import Show, make_api, publish_dataset, publish_release, publish_space
from skinvision_hf.hub.rights import check_rights

__all__ = ["DATASET_NAME", "SPACE_NAME", "publish_all"]

logger = logging.getLogger(__name__)

DATASET_NAME = "ham10000-leak-free"
SPACE_NAME = "skinvision"


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
    examples: int = 0,
    examples_from: str = "synthetic",
    show: Show = logger.info,
) -> list[Published]:
    """Publish a data set, the release trained on it and the Space that shows it; each card links to the others.

    Args:
        release: The release folder; the bundled release when None.
        source: HAM10000; see `skinvision_hf.data.load_ham10000`.
        repo_id: Where the model goes.
        links: Where the data set and the Space go; beside the model, as `ham10000-leak-free` and `skinvision`, where
            not said.
        tag: Tag for the data set and the model; the Space then shows the model at this tag.
        token: Token with write access; that of HF_TOKEN or of the login when None.
        private: Hide new repositories from others.
        dry_run: Check everything and show the plans, but send nothing.
        examples: Number of example images to add to the model, in turn from each diagnosis.
        examples_from: Their source; `synthetic` draws them.
        show: Called with each plan before anything of it is sent.

    Returns:
        What was published: data set, model, Space. A dry run cannot look at the Space of a model that is not there.

    Raises:
        DataError: If the source cannot be read.
        ModelError: If the release cannot be loaded.
        HubError: If the release is not fit to be published, or the Hub refuses.
    """
    namespace, given = repo_id.rpartition("/")[0], links or Links()
    dataset_id = given.dataset_id or f"{namespace}/{DATASET_NAME}"
    space_id = given.space_id or f"{namespace}/{SPACE_NAME}"
    check_rights(make_api(token), repo_id, dataset_id, space_id)
    links = Links(repo_id, dataset_id, space_id)
    data = publish_dataset(
        source, dataset_id, tag=tag, token=token, private=private, dry_run=dry_run, links=links, show=show
    )
    model = publish_release(
        release,
        repo_id,
        tag=tag,
        token=token,
        private=private,
        dry_run=dry_run,
        examples=examples,
        examples_from=examples_from,
        links=links,
        show=show,
    )
    if dry_run and model.plan.head is None:
        return [data, model]
    revision = None if dry_run else tag
    space = publish_space(
        space_id,
        repo_id,
        model_revision=revision,
        token=token,
        private=private,
        dry_run=dry_run,
        dataset_id=dataset_id,
        show=show,
    )
    return [data, model, space]
