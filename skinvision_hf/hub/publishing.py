"""Publish a release, a data set or a Space: ask for the rights, prepare, show the plan, send one commit."""

import logging
from collections.abc import Mapping
from pathlib import Path

from huggingface_hub import HfApi

from skinvision_hf._version import __version__
from skinvision_hf.card import Links
from skinvision_hf.data.split_schemes import MANIFEST_SPLIT
from skinvision_hf.hub.failures import hub_errors, staging_folder
from skinvision_hf.hub.preparing import prepare_dataset, prepare_release, prepare_space
from skinvision_hf.hub.repositories import look_up
from skinvision_hf.hub.rights import check_rights, check_tag
from skinvision_hf.hub.sending import Published, Show, send_all
from skinvision_hf.hub.staging import check_package
from skinvision_hf.models.release import check_on_hub

__all__ = ["make_api", "publish_dataset", "publish_release", "publish_space"]

logger = logging.getLogger(__name__)

NO_LINKS = Links()


def make_api(token: str | None) -> HfApi:
    """The Hub's client; the token of the environment or of the login when None."""
    return HfApi(token=token, library_name="skinvision_hf", library_version=__version__)


def publish_release(
    release: str | Path | None,
    repo_id: str,
    *,
    private: bool = False,
    tag: str | None = None,
    token: str | None = None,
    dry_run: bool = False,
    overwrite: bool = False,
    examples: int = 0,
    examples_from: str = "synthetic",
    links: Links = NO_LINKS,
    show: Show = logger.info,
) -> Published:
    """Publish a release as a model: one commit, or none when nothing has changed.

    Args:
        release: The release folder; the bundled release when None.
        repo_id: Where to, such as `user/skinvision-efficientnet-b0`; made when it does not exist.
        private: Hide a new repository from others; an existing one must be private already.
        tag: Tag for the result, such as `v1.0`.
        token: Token with write access; that of HF_TOKEN or of the login when None.
        dry_run: Check everything and show the plan, but send nothing.
        overwrite: Publish over a repository that holds something else; what has other names stays.
        examples: Number of example images to add, in turn from each diagnosis.
        examples_from: Their source; `synthetic` draws them.
        links: The data set and the Space that the card links to; those that it links to already when not given.
        show: Called with the plan before anything is sent.

    Raises:
        ModelError: If the release cannot be loaded.
        HubError: If it is not fit to be published, or the Hub refuses.
    """
    api = make_api(token)
    check_tag(tag)
    check_rights(api, repo_id)
    with staging_folder() as folder:
        shipment = prepare_release(
            api,
            release,
            repo_id,
            folder,
            private=private,
            tag=tag,
            overwrite=overwrite,
            examples=examples,
            examples_from=examples_from,
            links=links,
        )
        return send_all(api, [shipment], dry_run=dry_run, show=show)[0]


def publish_dataset(
    source: str | Path,
    repo_id: str,
    *,
    split_scheme: str = MANIFEST_SPLIT,
    private: bool = False,
    tag: str | None = None,
    token: str | None = None,
    dry_run: bool = False,
    overwrite: bool = False,
    links: Links = NO_LINKS,
    show: Show = logger.info,
) -> Published:
    """Publish the prepared data set: Parquet files with the images in their three parts, and a card.

    Args:
        source: HAM10000; see `skinvision_hf.data.load_ham10000`.
        repo_id: Where to, such as `user/ham10000-leak-free`; made when it does not exist.
        split: Name of the split.
        private: Hide a new repository from others; an existing one must be private already.
        tag: Tag for the result.
        token: Token with write access; that of HF_TOKEN or of the login when None.
        dry_run: Prepare everything and show the plan, but send nothing.
        overwrite: Publish over a repository that holds something else; what has other names stays.
        links: The model and the Space that the card links to; those that it links to already when not given.
        show: Called with the plan before anything is sent.

    Raises:
        DataError: If the source cannot be read.
        HubError: If the Hub refuses.
    """
    api = make_api(token)
    check_tag(tag)
    check_rights(api, repo_id)
    with staging_folder() as folder:
        shipment, _ = prepare_dataset(
            api,
            source,
            repo_id,
            folder,
            split_scheme=split_scheme,
            private=private,
            tag=tag,
            overwrite=overwrite,
            links=links,
        )
        return send_all(api, [shipment], dry_run=dry_run, show=show)[0]


def publish_space(
    repo_id: str,
    model_id: str,
    *,
    model_revision: str | None = None,
    folder: str | Path | None = None,
    package: str | None = None,
    private: bool = False,
    token: str | None = None,
    dry_run: bool = False,
    overwrite: bool = False,
    dataset_id: str | None = None,
    show: Show = logger.info,
) -> Published:
    """Publish the Space, which shows a published model.

    Args:
        repo_id: Where to, such as `user/skinvision`; made when it does not exist.
        model_id: The model on the Hub that it shows.
        model_revision: Branch, tag or commit of the model. When None, the newest commit now; what the Space shows
            already stays if it names that commit.
        folder: The files of the Space; those of this checkout when None.
        package: Requirement to install this package by, such as `skinvision-hf[space] @ git+https://...@REV`; the
            version on PyPI when None.
        private: Hide a new Space from others; an existing one must be private already.
        token: Token with write access; that of HF_TOKEN or of the login when None.
        dry_run: Check everything and show the plan, but send nothing.
        overwrite: Publish over a Space that holds something else; what has other names stays.
        dataset_id: The data set on the Hub that the card links to; the one that it links to already when None.
        show: Called with the plan before anything is sent.

    Raises:
        ModelError: If the model is no SkinVision release.
        HubError: If there is no such model or revision, the folder is no Space, or the Hub refuses.
    """
    api = make_api(token)
    check_package(package)
    check_rights(api, repo_id)
    with hub_errors(model_id):
        model = api.model_info(model_id, revision=model_revision)
    check_on_hub(model_id, revision=model.sha, token=token)
    if model_revision is None:
        present = look_up(api, repo_id, "space", private=private, overwrite=overwrite).variables
        model_revision = _kept_revision(api, present, model_id, str(model.sha))
    with staging_folder() as staged:
        shipment = prepare_space(
            api,
            repo_id,
            staged,
            variables={"MODEL_ID": model_id, "MODEL_REVISION": model_revision},
            hidden_model=bool(model.private),
            source=folder,
            package=package,
            private=private,
            overwrite=overwrite,
            dataset_id=dataset_id,
        )
        return send_all(api, [shipment], dry_run=dry_run, show=show)[0]


def _kept_revision(api: HfApi, present: Mapping[str, str], model_id: str, commit: str) -> str:
    """The tag by which the Space shows this very commit already, or else the commit."""
    shown = present.get("MODEL_REVISION", commit)
    if present.get("MODEL_ID") != model_id or shown == commit:
        return commit
    with hub_errors(model_id):
        tags = {ref.name: ref.target_commit for ref in api.list_repo_refs(model_id).tags}
    return shown if tags.get(shown) == commit else commit
