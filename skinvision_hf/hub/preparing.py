"""Prepare a release, a data set or a Space in a temporary folder, check it, and plan its commit."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from datasets import DatasetDict
from huggingface_hub import HfApi

from skinvision_hf._version import __version__
from skinvision_hf.card import Links
from skinvision_hf.errors import HubError
from skinvision_hf.hub.checks import check_card, check_release
from skinvision_hf.hub.failures import hub_errors
from skinvision_hf.hub.plans import make_plan
from skinvision_hf.hub.repositories import look_up, url_of
from skinvision_hf.hub.sending import Shipment, refuse_token
from skinvision_hf.hub.staging import SPACE_FILES, stage_dataset, stage_release, stage_space
from skinvision_hf.models.release import RELEASE_FILES, resolve_release

__all__ = ["prepare_dataset", "prepare_release", "prepare_space"]

SPACE_FOLDER = Path(__file__).resolve().parents[2] / "space"


def prepare_release(
    api: HfApi,
    release: str | Path | None,
    repo_id: str,
    folder: Path,
    *,
    private: bool,
    tag: str | None,
    overwrite: bool,
    examples: int,
    examples_from: str,
    links: Links,
) -> Shipment:
    """Copy a release into a folder, check it and plan its commit; see `publish_release`."""
    if examples < 0:
        raise HubError(f"--examples {examples} is no number of images; give 0 or more")
    there = look_up(api, repo_id, "model", private=private, tag=tag, overwrite=overwrite)
    # timm and the card take the name from the folder.
    staged = folder / repo_id.rpartition("/")[2]
    here = replace(there.keep_links(links), model_id=repo_id)
    stage_release(resolve_release(release), staged, links=here, examples=examples, examples_from=examples_from)
    check_release(staged)
    refuse_token(staged, api.token)
    plan = make_plan(there, staged, owned=RELEASE_FILES, tag=tag)
    return Shipment(plan, staged, f"Publish the release with skinvision_hf {__version__}")


def prepare_dataset(
    api: HfApi,
    source: str | Path,
    repo_id: str,
    folder: Path,
    *,
    split_scheme: str,
    private: bool,
    tag: str | None,
    overwrite: bool,
    links: Links,
) -> tuple[Shipment, DatasetDict]:
    """Write a data set into a folder and plan its commit; see `publish_dataset`."""
    there = look_up(api, repo_id, "dataset", private=private, tag=tag, overwrite=overwrite)
    data = stage_dataset(source, folder, split_scheme=split_scheme, repo_id=repo_id, links=there.keep_links(links))
    check_card(folder, "dataset")
    plan = make_plan(there, folder, owned=["data/*.parquet"], tag=tag)
    return Shipment(plan, folder, f"Publish the split {split_scheme}"), data


def prepare_space(
    api: HfApi,
    repo_id: str,
    folder: Path,
    *,
    variables: Mapping[str, str],
    hidden_model: bool,
    source: str | Path | None,
    package: str | None,
    private: bool,
    overwrite: bool,
    dataset_id: str | None,
) -> Shipment:
    """Copy the Space's files into a folder and plan its commit; see `publish_space`."""
    there = look_up(api, repo_id, "space", private=private, overwrite=overwrite)
    model_id, links = variables["MODEL_ID"], there.keep_links(Links(dataset_id=dataset_id))
    stage_space(Path(source or SPACE_FOLDER), folder, model_id=model_id, dataset_id=links.dataset_id, package=package)
    check_card(folder, "space")
    refuse_token(folder, api.token)
    notes = []
    if hidden_model and not (there.head and _has_secret(api, repo_id)):
        notes = [
            f"{model_id} is private, so the Space cannot load it yet: set its secret HF_TOKEN to a token that may read "
            f"the model, at {url_of(repo_id, 'space')}/settings"
        ]
    plan = make_plan(there, folder, owned=SPACE_FILES, variables=variables, notes=notes)
    return Shipment(plan, folder, f"Show {model_id}")


def _has_secret(api: HfApi, repo_id: str) -> bool:
    with hub_errors(repo_id):
        return "HF_TOKEN" in api.get_space_secrets(repo_id)
