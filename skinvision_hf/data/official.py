"""HAM10000 as it is downloaded from Dataverse or Kaggle: metadata, images and masks, in folders or zip files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset

from skinvision_hf.data.folders import TABLE_SUFFIXES, Pictures, list_files, places, read_places
from skinvision_hf.data.labelled import holds_labels
from skinvision_hf.data.schema import make_dataset
from skinvision_hf.data.tables import Table
from skinvision_hf.errors import DataError, first_ten

__all__ = ["is_official", "read_official"]

METADATA = "ham10000_metadata"
REQUIRED = ("image_id", "lesion_id")
MASK_SUFFIX = "_segmentation"


def is_official(source: str) -> bool:
    """Whether a folder or zip file holds the metadata of HAM10000."""
    path = Path(source)
    if not path.is_dir() and path.suffix.lower() != ".zip":
        return False
    for folders in places(path):
        if _find_metadata(folders):
            return True
        if holds_labels(folders):
            return False
    return False


def read_official(source: str, *, masks: bool, **_: Any) -> Dataset:
    """Read HAM10000, perhaps with its lesion masks, from metadata and images anywhere in a folder or zip file.

    Raises:
        DataError: If something is missing or wrong; all offenders are counted and the first ten named.
    """
    records, images, mask_files = read_places(Path(source), lambda folders: _locate(folders, masks=masks))
    return make_dataset(records, images, mask_files if masks else None)


def _locate(folders: list[Path], *, masks: bool) -> tuple[list[dict[str, str]], list[str], list[str]]:
    """The records, and the files of their images and, if wanted, masks."""
    metadata = _find_metadata(folders)
    if metadata is None:
        raise DataError("the metadata of HAM10000 is gone")  # since `is_official` found it
    records, pictures = Table.read(metadata).records(required=REQUIRED), Pictures(folders)
    names = [record["image_id"] for record in records]
    images = _find_all(names, pictures, "images", "both parts of the images")
    mask_names = [name + MASK_SUFFIX for name in names] if masks else []
    return records, images, _find_all(mask_names, pictures, "masks", "the segmentations")


def _find_all(names: Sequence[str], pictures: Pictures, kind: str, remedy: str) -> list[str]:
    files = {name: pictures.find(name) for name in names}
    if missing := [name for name in names if files[name] is None]:
        gone = f"{len(missing)} of {len(names)} {kind} in the metadata are not on disk: {first_ten(missing)}"
        raise DataError(f"{gone}; download {remedy}")
    return [file for name in names if (file := files[name])]


def _find_metadata(folders: Sequence[Path]) -> Path | None:
    """The table nearest to the top of the first folder that has one."""
    for folder in folders:
        tables = list_files(folder, (*TABLE_SUFFIXES, ""))
        if named := [path for path in tables if path.stem.lower().startswith(METADATA)]:
            return min(named, key=lambda path: len(path.parts))
    return None
