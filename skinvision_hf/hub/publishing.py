"""Publish a release, a data set, a Space, or all three linked to each other.

Each is written to a temporary folder first, as it will be on the Hub, so that what is checked is what is sent.
"""

import json
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from datasets import DatasetDict
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from skinvision_hf._version import __version__
from skinvision_hf.card import Links, render_dataset_card, write_card
from skinvision_hf.card.templating import NO_LINKS
from skinvision_hf.config import DEFAULT_SCHEME, SpaceKind
from skinvision_hf.data import FEATURES, fingerprint, limit_images, load_ham10000
from skinvision_hf.data.prepared import write_parquet
from skinvision_hf.data.summary import rows_in_turn
from skinvision_hf.errors import HubError
from skinvision_hf.hub.checks import check_release
from skinvision_hf.hub.failures import hub_errors
from skinvision_hf.hub.sending import Published, PublishOptions, Shipment, make_api, mark, send_all
from skinvision_hf.hub.spaces import Space, stage_space
from skinvision_hf.labels import CODES
from skinvision_hf.models.release import ONNX_FILE, RELEASE_FILES, TRAINING_FILE, copy_release, resolve_release


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
        shipment = _stage_model(release, repo_id, Path(folder), links, examples, examples_from)
        return send_all([shipment], PublishOptions(**options))[0]


def publish_dataset(source: str | Path, repo_id: str, *, links: Links = NO_LINKS, **options: Any) -> Published:
    """Publish the leak-free data set: Parquet files with the images of each split, and a card.

    `source` is read by `skinvision_hf.data.load_ham10000`; the other arguments are those of `publish_model`.

    Raises:
        DataError: If the source cannot be read.
        HubError: If the Hub refuses.
    """
    _check_ids(repo_id)
    with TemporaryDirectory(prefix="skinvision-") as folder:
        shipment, _ = _stage_dataset(source, repo_id, Path(folder), links)
        return send_all([shipment], PublishOptions(**options))[0]


def publish_space(
    repo_id: str,
    model_id: str,
    *,
    model_revision: str | None = None,
    dataset_id: str | None = None,
    kind: SpaceKind = "static",
    package: str | None = None,
    **options: Any,
) -> Published:
    """Publish the Space of this checkout, which shows a published model, in its newest commit unless one is named.

    The arguments are those of `skinvision publish --space`. `package` is a requirement, such as
    `skinvision-hf[space,explain] @ git+https://...@REV`. While the model is private, a Gradio Space needs a secret
    HF_TOKEN that may read it, set in its settings on the Hub; a static Space cannot read it. A Space has no tag.

    Raises:
        HubError: If there is no such model or revision, a static Space cannot run it, this is not a checkout, or the
            Hub refuses.
    """
    _check_ids(repo_id, model_id)
    chosen, revision = PublishOptions(**options), model_revision or "main"
    if not chosen.dry_run and (model_revision is None or kind == "static"):
        with hub_errors(model_id):
            model = make_api(chosen.token).model_info(model_id, revision=model_revision)
        revision = model_revision or str(model.sha)
        if kind == "static":
            _check_runs_in_browsers(model_id, {file.rfilename for file in model.siblings or ()}, bool(model.private))
    space = Space(repo_id, model_id, revision, dataset_id, kind, package)
    with TemporaryDirectory(prefix="skinvision-") as folder:
        return send_all([stage_space(space, Path(folder))], chosen)[0]


def publish_all(
    release: str | Path | None,
    source: str | Path,
    repo_id: str,
    *,
    links: Links = NO_LINKS,
    examples: int = 0,
    examples_from: str = "synthetic",
    kind: SpaceKind = "static",
    package: str | None = None,
    **options: Any,
) -> list[Published]:
    """Publish a data set, the release that was trained on it, and the Space that shows it, linked to each other.

    All three are prepared and checked before anything is sent. `repo_id` is where the model goes, and `links` says
    where the data set and the Space go: by default beside the model, as `ham10000-leak-free` and `skinvision`. The
    other arguments are those of the functions that publish one of the three.

    Returns:
        What was published: data set, model, Space.

    Raises:
        DataError: If the source cannot be read.
        ModelError: If the release cannot be loaded.
        HubError: If the release is not fit to be published or was trained on other data, or the Hub refuses.
    """
    namespace = repo_id.rpartition("/")[0]
    dataset_id = links.dataset_id or f"{namespace}/ham10000-leak-free"
    space_id = links.space_id or f"{namespace}/skinvision"
    _check_ids(repo_id, dataset_id, space_id)
    here = Links(repo_id, dataset_id, space_id)
    chosen = PublishOptions(**options)
    with TemporaryDirectory(prefix="skinvision-") as name:
        folder = Path(name)
        model = _stage_model(release, repo_id, folder / "model", here, examples, examples_from)
        data, splits = _stage_dataset(source, dataset_id, folder / "data", here)
        _check_same_data(model.folder, splits)
        if kind == "static":
            _check_runs_in_browsers(repo_id, set(model.files), chosen.private)
        space = stage_space(Space(space_id, repo_id, "", dataset_id, kind, package), folder / "space")
        return send_all([data, model, space], chosen)


def _check_ids(*repo_ids: str) -> None:
    for repo_id in repo_ids:
        with hub_errors(repo_id):
            validate_repo_id(repo_id)
            if "/" not in repo_id:
                raise HFValidationError


def _check_runs_in_browsers(model_id: str, files: set[str], private: bool) -> None:
    """Check that a static Space, which is a page without secrets, can show a model."""
    if private:
        raise HubError(f"a static Space cannot read the private {model_id}; publish another --kind")
    if ONNX_FILE not in files:
        raise HubError(f"{model_id} has no {ONNX_FILE}, which a static Space runs; publish another --kind")


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


def _stage_model(
    release: str | Path | None, repo_id: str, folder: Path, links: Links, examples: int, examples_from: str
) -> Shipment:
    """Copy a release into a folder, add example images, write its card for where it will be, and check it."""
    # timm and the card take the name from the folder.
    staged = copy_release(resolve_release(release), folder / repo_id.rpartition("/")[2])
    if examples:
        _add_examples(staged / "examples", examples, examples_from)

    def write(links: Links) -> None:
        mark(staged, write_card(staged, links=links).read_text(encoding="utf-8"))

    here = replace(links, model_id=repo_id)
    write(here)
    check_release(staged)
    message = f"Publish the release with skinvision_hf {__version__}"
    return Shipment("model", repo_id, staged, message, RELEASE_FILES, here, write)


def _add_examples(folder: Path, number: int, source: str) -> None:
    """Save the first test images of each diagnosis in turn, whatever the model says of them."""
    test = load_ham10000(source)["test"]
    folder.mkdir(exist_ok=True)
    for item in test.select(rows_in_turn(test)[:number]):
        item["image"].convert("RGB").save(folder / f"{item['image_id']}-{CODES[item['label']]}.png")


def _stage_dataset(source: str | Path, repo_id: str, folder: Path, links: Links) -> tuple[Shipment, DatasetDict]:
    """Write a prepared data set into a folder: Parquet files that hold the images, and a card."""
    loaded = load_ham10000(source, split_scheme=DEFAULT_SCHEME)
    data = DatasetDict({name: rows.select_columns(list(FEATURES)) for name, rows in loaded.items()})
    for name, rows in data.items():
        write_parquet(rows, folder, name)

    def write(links: Links) -> None:
        mark(folder, render_dataset_card(data, repo_id=repo_id, links=links).content)

    write(links)
    message = f"Publish the split scheme {DEFAULT_SCHEME}"
    return Shipment("dataset", repo_id, folder, message, ["data/*.parquet"], links, write), data
