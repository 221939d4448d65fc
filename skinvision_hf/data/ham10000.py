"""Load HAM10000 from any source, in the splits of a split scheme. To add a kind of source, add a row to `READERS`."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset, DatasetDict

from skinvision_hf.config import DEFAULT_SCHEME, SPLIT_SCHEMES, SPLITS
from skinvision_hf.data.folders import TABLE_SUFFIXES, Pictures, list_files, places, read_places
from skinvision_hf.data.hub_source import is_copy, is_hub_id, read_copy, read_hub
from skinvision_hf.data.labelled import holds_labels, load_labelled
from skinvision_hf.data.prepared import is_prepared, read_prepared, read_record
from skinvision_hf.data.schema import FEATURES, make_dataset, verify_images
from skinvision_hf.data.split_schemes import assign_splits
from skinvision_hf.data.synthetic import is_drawn, is_synthetic, read_synthetic
from skinvision_hf.data.tables import Table, is_table
from skinvision_hf.errors import DataError, first_ten

METADATA = "ham10000_metadata"


def is_official(source: str) -> bool:
    """Whether a folder or zip file holds the metadata of HAM10000, as it is downloaded from Dataverse or Kaggle."""
    path = Path(source)
    if not path.is_dir() and not (path.is_file() and path.suffix.lower() == ".zip"):
        return False
    for folders in places(path):
        if _find_metadata(folders):
            return True
        if holds_labels(folders):
            return False
    return False


def read_official(source: str, *, masks: bool, **_: Any) -> Dataset:
    """Read HAM10000, perhaps with its lesion masks, from metadata and images anywhere in a folder or zip file."""
    records, images, mask_files = read_places(Path(source), lambda folders: _locate(folders, masks=masks))
    return make_dataset(records, images, mask_files if masks else None)


def _locate(folders: list[Path], *, masks: bool) -> tuple[list[dict[str, str]], list[str], list[str]]:
    """The records, and the files of their images and, if wanted, masks."""
    metadata = _find_metadata(folders)
    if metadata is None:
        raise DataError("the metadata of HAM10000 is gone")  # since `is_official` found it
    records, pictures = Table.read(metadata).records(required=("image_id", "lesion_id")), Pictures(folders)
    names = [record["image_id"] for record in records]
    images = _find_all(names, pictures, "images", "both parts of the images")
    mask_names = [f"{name}_segmentation" for name in names] if masks else []
    return records, images, _find_all(mask_names, pictures, "masks", "the segmentations")


def _find_all(names: Sequence[str], pictures: Pictures, kind: str, remedy: str) -> list[str]:
    files = [pictures.find(name) or "" for name in names]
    if missing := [name for name, file in zip(names, files, strict=True) if not file]:
        gone = f"{len(missing)} of {len(names)} {kind} in the metadata are not on disk: {first_ten(missing)}"
        raise DataError(f"{gone}; download {remedy}")
    return files


def _find_metadata(folders: Sequence[Path]) -> Path | None:
    """The table nearest to the top of the first folder that has one."""
    for folder in folders:
        tables = list_files(folder, (*TABLE_SUFFIXES, ""))
        if named := [path for path in tables if path.stem.lower().startswith(METADATA)]:
            return min(named, key=lambda path: len(path.parts))
    return None


# To add a kind of source, write two functions and add them here. `recognises(source)` says whether a source is of this
# kind. `read(source, masks=..., revision=...)` returns all rows, in the order of image_id, with the columns `FEATURES`,
# `dx_type` and, if `masks` is true, `mask`; `make_dataset` makes such a data set from records and files. It raises
# DataError if something is missing or wrong. The first row that recognises a source reads it.
READERS: tuple[tuple[Callable[[str], bool], Callable[..., Dataset]], ...] = (
    (is_synthetic, read_synthetic),
    (is_prepared, read_prepared),
    (is_official, read_official),
    (is_copy, read_copy),
    (is_hub_id, read_hub),
)


def load_ham10000(
    source: str | Path,
    *,
    split_scheme: str | None = None,
    masks: bool = False,
    dx_type: bool = False,
    verify: bool = False,
    revision: str | None = None,
) -> DatasetDict:
    """Load HAM10000 from any source.

    Args:
        source: A folder in the layout of the Dataverse or Kaggle downloads, a folder of its zip files or one zip file;
            a data set that `save_prepared` wrote; a Hub data set id with the columns of `marmal88/skin_cancer` or of a
            data set that this package published, or a folder with such a data set downloaded or written by
            `save_to_disk`; or `synthetic` (or `synthetic[:N]`), lesion-like images drawn in code.
        split_scheme: `ham10000-v1`, leak-free by lesion, or `image-level-leaky`, for comparison with older work only.
            None for the scheme that `save_prepared` wrote, and `ham10000-v1` for other sources. Drawn images, which are
            in no manifest, are split by lesion in the same way.
        masks: Add the column `mask`, an image that is white on the lesion.
        dx_type: Add the column `dx_type`, how the diagnosis was confirmed. It leaks the label (`follow_up` means nv),
            so it is for reports only.
        verify: Decode every image once and name all that cannot be read.
        revision: Branch, tag or commit of a Hub data set.

    Returns:
        The splits train, validation and test, rows in the order of image_id, with the columns `image` (decoded when it
        is read), `label` (in the order of `skinvision_hf.labels.CODES`), `image_id`, `lesion_id`, `age` (years, may be
        missing), `sex` and `localization`.

    Raises:
        DataError: If the source cannot be found or used, was prepared in another split scheme, or there is no such
            scheme; counts all offenders and names the first ten.
    """
    split_scheme = resolve_scheme(source, split_scheme)
    dataset = _find_reader(source)(str(source), masks=masks, revision=revision)
    if verify:
        verify_images(dataset)
    labels, image_ids, lesion_ids = (dataset[column][:] for column in ("label", "image_id", "lesion_id"))
    splits = assign_splits(labels, image_ids, lesion_ids, split_scheme=split_scheme, drawn=is_drawn(image_ids))
    dataset = dataset.select_columns([*FEATURES, *(["mask"] if masks else []), *(["dx_type"] if dx_type else [])])
    return DatasetDict({name: dataset.select([k for k, s in enumerate(splits) if s == name]) for name in SPLITS})


def load_split(
    source: str | Path, *, split: str, split_scheme: str | None, skip_unknown: bool = False
) -> tuple[Dataset, str, str]:
    """Load what a model is to be measured on.

    Args:
        source: Any source of `load_ham10000` or of `load_labelled`; labelled images are always used whole.
        split: train, validation or test.
        split_scheme: See `load_ham10000`.
        skip_unknown: Of labelled images, leave out those with other diagnoses than the seven.

    Returns:
        The images, for HAM10000 with the column `dx_type`; the name of the split scheme or of the labelled data; and
        the split, "all" for labelled images.

    Raises:
        DataError: If the source cannot be found or used.
    """
    path = Path(source)
    if is_table(path) or (path.exists() and not any(recognises(str(source)) for recognises, _ in READERS)):
        return load_labelled(path, skip_unknown=skip_unknown), path.stem, "all"
    split_scheme = resolve_scheme(source, split_scheme)
    data = load_ham10000(source, split_scheme=split_scheme, dx_type=True)
    if not len(data[split]):
        raise DataError(f"{source} has no images of the split {split} of {split_scheme}; choose another --split")
    return data[split], scheme_name(data, split_scheme), split


def resolve_scheme(source: str | Path, split_scheme: str | None = None) -> str:
    """The split scheme in which `load_ham10000` loads a source when it is asked for `split_scheme`.

    Raises:
        DataError: If there is no such split scheme, or the source was prepared in another one.
    """
    if split_scheme is not None and split_scheme not in SPLIT_SCHEMES:
        raise DataError(f"there is no split scheme named {split_scheme!r}; use {' or '.join(map(repr, SPLIT_SCHEMES))}")
    recorded = read_record(Path(source))[0] if is_prepared(source) else None
    if split_scheme and recorded and split_scheme != recorded:
        remedy = f"ask for {recorded}, or prepare the data again from its source"
        raise DataError(f"{source} was prepared in the split scheme {recorded}, not in {split_scheme}; {remedy}")
    return split_scheme or recorded or DEFAULT_SCHEME


def scheme_name(data: DatasetDict, split_scheme: str = DEFAULT_SCHEME) -> str:
    """The name under which results on these splits are reported: drawn images are not HAM10000."""
    return f"synthetic, {split_scheme}" if is_drawn(data["test"]["image_id"][:]) else split_scheme


def limit_images(data: DatasetDict, limit: int, *, seed: int) -> DatasetDict:
    """Draw at most `limit` images of each split at random, since data may be sorted by diagnosis; 0 keeps all."""
    if not limit:
        return data
    draws = {name: np.random.default_rng(seed).permutation(len(split))[:limit] for name, split in data.items()}
    return DatasetDict({name: data[name].select(rows) for name, rows in draws.items()})


def _find_reader(source: str | Path) -> Callable[..., Dataset]:
    for recognises, read in READERS:
        if recognises(str(source)):
            return read
    path, wanted = Path(source), "give the folder with HAM10000's metadata and images"
    if path.is_dir() or (path.is_file() and path.suffix.lower() == ".zip"):
        raise DataError(f"{path} holds no HAM10000_metadata.csv or .tab; {wanted}")
    if path.is_file():
        raise DataError(f"{path} is a file; {wanted}, or a zip file")
    raise DataError(f"there is no folder {source}; give a folder, a zip file, a Hub data set id, or 'synthetic'")
