"""Publish a release, a data set or a Space: ask for the rights, prepare and check, show the plan, send one commit."""

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from huggingface_hub import HfApi

from skinvision_hf._version import __version__
from skinvision_hf.card import Links
from skinvision_hf.hub.checks import check_release
from skinvision_hf.hub.failures import hub_errors
from skinvision_hf.hub.plans import Plan, Published, make_plan, send_plan, url_of
from skinvision_hf.hub.rights import check_rights
from skinvision_hf.hub.staging import stage_dataset, stage_release, stage_space
from skinvision_hf.releases import RELEASE_FILES, resolve_release
from skinvision_hf.splits import MANIFEST_SPLIT

__all__ = ["publish_dataset", "publish_release", "publish_space"]

logger = logging.getLogger(__name__)

SPACE_FOLDER = Path(__file__).resolve().parents[2] / "space"
NO_LINKS = Links()
Show = Callable[[Plan], object]


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
    examples: int = 0,
    examples_from: str = "synthetic",
    links: Links = NO_LINKS,
    show: Show = logger.info,
) -> Published:
    """Publish a release as a model: one commit, or none when nothing has changed.

    Args:
        release: The release folder; the bundled release when None.
        repo_id: Where to, such as `user/skinvision-efficientnet-b0`; made when it does not exist.
        private: Hide a new repository from others.
        tag: Tag for the result, such as `v1.0`.
        token: Token with write access; that of HF_TOKEN or of the login when None.
        dry_run: Check everything and show the plan, but send nothing.
        examples: Number of example images to add, in turn from each diagnosis.
        examples_from: Their source; `synthetic` draws them.
        links: The data set and the Space that the card links to.
        show: Called with the plan before anything is sent.

    Raises:
        ModelError: If the release cannot be loaded.
        HubError: If it is not fit to be published, or the Hub refuses.
    """
    api = make_api(token)
    check_rights(api, repo_id)
    folder = resolve_release(release)
    with TemporaryDirectory() as temporary:
        staged = Path(temporary) / repo_id.rpartition("/")[2]
        here = replace(links, model_id=repo_id)
        stage_release(folder, staged, links=here, examples=examples, examples_from=examples_from)
        check_release(staged)
        plan = make_plan(api, repo_id, "model", staged, owned=RELEASE_FILES, marker="*.safetensors", tag=tag)
        show(plan)
        if dry_run:
            return _dry(plan)
        return send_plan(
            api, plan, staged, message=f"Publish the release with skinvision_hf {__version__}", private=private
        )


def publish_dataset(
    source: str | Path,
    repo_id: str,
    *,
    split: str = MANIFEST_SPLIT,
    private: bool = False,
    tag: str | None = None,
    token: str | None = None,
    dry_run: bool = False,
    links: Links = NO_LINKS,
    show: Show = logger.info,
) -> Published:
    """Publish the prepared data set: Parquet files with the images in their three parts, and a card.

    Args:
        source: HAM10000; see `skinvision_hf.data.load_ham10000`.
        repo_id: Where to, such as `user/ham10000-leak-free`; made when it does not exist.
        split: Name of the split.
        private: Hide a new repository from others.
        tag: Tag for the result.
        token: Token with write access; that of HF_TOKEN or of the login when None.
        dry_run: Prepare everything and show the plan, but send nothing.
        links: The model and the Space that the card links to.
        show: Called with the plan before anything is sent.

    Raises:
        DataError: If the source cannot be read.
        HubError: If the Hub refuses.
    """
    api = make_api(token)
    check_rights(api, repo_id)
    with TemporaryDirectory() as temporary:
        staged = Path(temporary)
        stage_dataset(source, staged, split=split, repo_id=repo_id, links=links)
        plan = make_plan(api, repo_id, "dataset", staged, owned=["data/*.parquet"], marker="data/*.parquet", tag=tag)
        show(plan)
        if dry_run:
            return _dry(plan)
        return send_plan(api, plan, staged, message=f"Publish the split {split}", private=private)


def publish_space(
    repo_id: str,
    model_id: str,
    *,
    model_revision: str | None = None,
    folder: str | Path | None = None,
    private: bool = False,
    token: str | None = None,
    dry_run: bool = False,
    dataset_id: str | None = None,
    show: Show = logger.info,
) -> Published:
    """Publish the Space, which shows a published model.

    Args:
        repo_id: Where to, such as `user/skinvision`; made when it does not exist.
        model_id: The model on the Hub that it shows.
        model_revision: Branch, tag or commit of the model; the commit that is the newest now when None.
        folder: The files of the Space; those of this checkout when None.
        private: Hide a new Space from others.
        token: Token with write access; that of HF_TOKEN or of the login when None.
        dry_run: Check everything and show the plan, but send nothing.
        dataset_id: The data set on the Hub that the card links to.
        show: Called with the plan before anything is sent.

    Raises:
        HubError: If there is no such model or revision, the folder is no Space, or the Hub refuses.
    """
    api = make_api(token)
    check_rights(api, repo_id)
    with hub_errors(model_id):
        commit = api.model_info(model_id, revision=model_revision).sha
    variables = {"MODEL_ID": model_id, "MODEL_REVISION": model_revision or commit}
    with TemporaryDirectory() as temporary:
        staged = Path(temporary)
        stage_space(Path(folder or SPACE_FOLDER), staged, model_id=model_id, dataset_id=dataset_id)
        plan = make_plan(api, repo_id, "space", staged, owned=[], marker="app.py")
        show(plan)
        if dry_run:
            return _dry(plan)
        published = send_plan(api, plan, staged, message=f"Show {model_id}", private=private, sdk="gradio")
    _set_variables(api, repo_id, variables)
    return published


def _set_variables(api: HfApi, repo_id: str, variables: dict[str, str]) -> None:
    """Set only what differs, since each change restarts the Space."""
    with hub_errors(repo_id):
        present = {key: variable.value for key, variable in api.get_space_variables(repo_id).items()}
        for key, value in variables.items():
            if present.get(key) != value:
                api.add_space_variable(repo_id, key, value)


def _dry(plan: Plan) -> Published:
    return Published(plan, url_of(plan.repo_id, plan.kind), commit=None, changed=False)
