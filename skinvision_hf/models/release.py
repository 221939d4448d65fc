"""What a release is made of, and where it comes from: the package itself, a folder, or the Hub."""

import json
from pathlib import Path
from typing import Any

from skinvision_hf.errors import ModelError
from skinvision_hf.files import atomic_write, write_json
from skinvision_hf.labels import CODES

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
METRICS_FILE = "metrics.json"
PREDICTIONS_FILE = "predictions.csv"
TRAINING_FILE = "training.json"
HISTORY_FILE = "history.jsonl"
OOD_FILE = "ood.safetensors"
CONFORMAL_FILE = "conformal.json"
ONNX_FILE = "onnx/model.onnx"
SELFTEST_FILE = "selftest.json"
CARD_FILE = "README.md"
EVALUATION_FILE = "EVALUATION.md"
NOTEBOOK_FILE = "notebook.ipynb"
# What an answer needs besides the network, where a release has it.
PARTS = (OOD_FILE, CONFORMAL_FILE)
PARTS_KEY = "release_files"
# What belongs to a release; anything else in a folder is not published and in a repository not downloaded.
RELEASE_FILES = (
    *(CONFIG_FILE, WEIGHTS_FILE, ONNX_FILE, *PARTS, METRICS_FILE, PREDICTIONS_FILE, TRAINING_FILE, HISTORY_FILE),
    *(CARD_FILE, EVALUATION_FILE, NOTEBOOK_FILE, SELFTEST_FILE),
    *("figures/*.png", "figures/*.jpg", "examples/*.png", "examples/*.jpg"),
)


def bundled_release() -> Path:
    """Return the folder of the release that ships with the package."""
    return Path(__file__).parents[1] / "pretrained"


def release_files(folder: Path) -> list[Path]:
    """The files of a folder that belong to a release, sorted."""
    return sorted({path for pattern in RELEASE_FILES for path in folder.glob(pattern) if path.is_file()})


def copy_release(folder: Path, target: Path) -> Path:
    """Copy the files of a release, unchanged, to another folder, and return that."""
    for source in release_files(folder):
        atomic_write(target / source.relative_to(folder), source.read_bytes())
    return target


def release_parts(folder: Path) -> list[str]:
    """Names of the files besides the network that answers of this folder come from."""
    return [name for name in PARTS if (folder / name).is_file()]


def list_parts(folder: Path) -> None:
    """Write into `config.json` which parts a release has, so that a copy that lost its OOD detector is noticed.

    A cache that another library filled holds the network only. Saving the network alone, elsewhere, drops the list.
    """
    path = folder / CONFIG_FILE
    config = json.loads(path.read_text(encoding="utf-8"))
    write_json(path, {**config, PARTS_KEY: release_parts(folder)})


def resolve_release(
    ref: str | Path | None = None,
    *,
    revision: str | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
    token: str | bool | None = None,
) -> Path:
    """Find a release and return its local folder, downloading it from the Hub when it is not here yet.

    Args:
        ref: None for the bundled release, a folder, or a Hub id such as `user/skinvision-efficientnet-b0`.
        revision: Branch, tag or commit on the Hub.
        cache_dir: Where downloads are kept; the Hub's own cache by default.
        local_files_only: Use the cache and ask no server.
        token: Token for private repositories; the saved login by default.

    Returns:
        A folder with `config.json`, `model.safetensors`, and every file that the former lists as part of the release.

    Raises:
        ModelError: If there is no such folder, repository or revision, the Hub cannot be reached, or the release has
            lost a part.
    """
    if ref == "":
        raise ModelError(
            "the name of the model is empty; give a folder or a Hub id, or no name for the bundled release"
        )
    if ref is None or Path(ref).is_dir():
        folder = Path(ref) if ref else bundled_release()
        if revision:
            raise ModelError(f"{folder} is a folder and has no revision; give a Hub id, or leave the revision out")
    else:
        from skinvision_hf.models.download import download_release

        options = {"cache_dir": cache_dir, "local_files_only": local_files_only}
        folder = download_release(str(ref), revision, token, **options)
    config = read_config(folder, str(ref or "the bundled release"))
    parts = config.get(PARTS_KEY) or []
    if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
        raise ModelError(f"the {CONFIG_FILE} of {ref or folder} is damaged; download the release again")
    names = [WEIGHTS_FILE, *parts]
    if lost := [name for name in names if not (folder / name).is_file()]:
        raise ModelError(f"{ref or folder} is incomplete: {lost[0]} is missing; download the whole release again")
    return folder


def read_config(folder: Path, name: str) -> dict[str, Any]:
    """Read the `config.json` of a release, which messages call `name`; ModelError if it is not one."""
    path = folder / CONFIG_FILE
    if not path.is_file():
        raise ModelError(f"{name} is not a SkinVision release: it has no {CONFIG_FILE}")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"the {CONFIG_FILE} of {name} cannot be read; download the release again") from error
    labels = config.get("label_names") if isinstance(config, dict) else None
    if labels != list(CODES):
        raise ModelError(f"{name} is not a SkinVision release: its labels are {labels}, not {list(CODES)}")
    if not {"architecture", "pretrained_cfg"} <= config.keys():
        raise ModelError(f"{name} is not a SkinVision release: its {CONFIG_FILE} has no architecture or pretrained_cfg")
    return dict(config)
