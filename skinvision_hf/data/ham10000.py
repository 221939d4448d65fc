"""Any source of HAM10000, checked, in the splits of a split scheme. A new kind of source is a row of `READERS`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset, DatasetDict

from skinvision_hf.config import DEFAULT_SCHEME, LEAKY_SCHEME, SPLIT_SCHEMES, SPLITS
from skinvision_hf.data.hub_source import is_copy, is_hub_id, read_copy, read_hub
from skinvision_hf.data.labelled import load_labelled
from skinvision_hf.data.official import is_official, read_official
from skinvision_hf.data.prepared import is_prepared, read_prepared, recorded_scheme
from skinvision_hf.data.schema import FEATURES, verify_images
from skinvision_hf.data.split_schemes import (
    assert_leak_free,
    duplicate_pairs,
    grouped_split,
    image_level_split,
    load_manifest,
    merge_duplicates,
)
from skinvision_hf.data.synthetic import is_drawn, is_synthetic, read_synthetic
from skinvision_hf.data.tables import is_table
from skinvision_hf.errors import DataError, first_ten
from skinvision_hf.labels import CODES

__all__ = ["limit_images", "load_ham10000", "load_split", "resolve_scheme", "scheme_name"]

# The kinds of sources: what recognises one, and what reads all its rows in the order of image_id, with the columns of
# `FEATURES`, `dx_type` and, if asked for, `mask`. A reader gets the source, `masks` and `revision`. The first that
# recognises a source reads it.
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
    """Load HAM10000 from wherever it is.

    Args:
        source: A folder in the layout of the Dataverse or Kaggle downloads, a folder of its zip files or one zip file,
            a data set that `save_prepared` wrote, a Hub data set id with the columns of `marmal88/skin_cancer` or of a
            data set that this package published, a folder with such a data set downloaded or written by
            `save_to_disk`, or `synthetic` (or `synthetic[:N]`), lesion-like images drawn in code.
        split_scheme: `ham10000-v1`, leak-free by lesion, or `image-level-leaky`, for comparison with older work only.
            None means the scheme that `save_prepared` wrote, and `ham10000-v1` for every other source. Drawn images
            are split by lesion in the same way, since they are in no manifest.
        masks: Add the column `mask`, an image that is white on the lesion.
        dx_type: Add the column `dx_type`, how the diagnosis was confirmed. It leaks the label (`follow_up` means nv),
            so it is for reports only.
        verify: Decode every image once and name all that cannot be read.
        revision: Branch, tag or commit of a Hub data set.

    Returns:
        The splits train, validation and test, rows in the order of their image_id, with the columns `image`, `label`
        (in the order of `skinvision_hf.labels.CODES`), `image_id`, `lesion_id`, `age` (years, may be missing), `sex`
        and `localization`. Images are decoded when they are read.

    Raises:
        DataError: If the source cannot be found or used; the message counts all offenders and names the first ten.
            Also if there is no such split scheme, or the source was prepared in another one.
    """
    split_scheme = resolve_scheme(source, split_scheme)
    dataset = _find_reader(source)(str(source), masks=masks, revision=revision)
    if verify:
        verify_images(dataset)
    rows: dict[str, list[int]] = {name: [] for name in SPLITS}
    for row, split in enumerate(_assign(dataset, split_scheme)):
        rows[split].append(row)
    dataset = dataset.select_columns([*FEATURES, *(["mask"] if masks else []), *(["dx_type"] if dx_type else [])])
    return DatasetDict({name: dataset.select(rows[name]) for name in SPLITS})


def load_split(
    source: str | Path, *, split: str, split_scheme: str | None, skip_unknown: bool = False
) -> tuple[Dataset, str, str]:
    """Load what a model is to be measured on.

    Args:
        source: Any source of `load_ham10000` or of `load_labelled`.
        split: train, validation or test; labelled images are always used whole.
        split_scheme: Split scheme of HAM10000; None for the source's own, see `load_ham10000`.
        skip_unknown: Of labelled images, leave out those with other diagnoses than the seven.

    Returns:
        The images, for HAM10000 with the column `dx_type`; the name of the split scheme or of the labelled data; and
        the split.

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
    """The name of the split scheme in which `load_ham10000` loads a source.

    Args:
        source: As for `load_ham10000`.
        split_scheme: The split scheme that is asked for; None for the source's own.

    Raises:
        DataError: If there is no such split scheme, or the source was prepared in another one.
    """
    if split_scheme is not None and split_scheme not in SPLIT_SCHEMES:
        raise DataError(f"there is no split scheme named {split_scheme!r}; use {' or '.join(map(repr, SPLIT_SCHEMES))}")
    recorded = recorded_scheme(Path(source)) if is_prepared(source) else None
    if split_scheme and recorded and split_scheme != recorded:
        raise DataError(
            f"{source} was prepared in the split scheme {recorded}, not in {split_scheme}; "
            f"ask for {recorded}, or prepare the data again from its source"
        )
    return split_scheme or recorded or DEFAULT_SCHEME


def scheme_name(data: DatasetDict, split_scheme: str = DEFAULT_SCHEME) -> str:
    """The name under which results on these splits are reported: drawn images are not HAM10000."""
    return f"synthetic, {split_scheme}" if is_drawn(data["test"]["image_id"][:]) else split_scheme


def limit_images(data: DatasetDict, limit: int, *, seed: int) -> DatasetDict:
    """Draw images of each split at random, since a data set may be sorted by diagnosis.

    Args:
        data: The splits.
        limit: Largest number of images of each; 0 keeps all, in their order.
        seed: Seed of the draw.
    """
    if not limit:
        return data
    return DatasetDict(
        {
            name: split.select(np.random.default_rng(seed).permutation(len(split))[:limit])
            for name, split in data.items()
        }
    )


def _find_reader(source: str | Path) -> Callable[..., Dataset]:
    for recognises, read in READERS:
        if recognises(str(source)):
            return read
    path, wanted = Path(source), "give the folder with HAM10000's metadata and images"
    if path.is_dir() and not any(path.iterdir()):
        raise DataError(f"the folder {path} is empty; {wanted}")
    if path.is_dir() or path.suffix.lower() == ".zip":
        raise DataError(f"{path} holds no HAM10000_metadata.csv or .tab; {wanted}")
    if path.is_file():
        raise DataError(f"{path} is a file; {wanted}, or a zip file")
    raise DataError(f"there is no folder {source}; give a folder, a zip file, a Hub data set id, or 'synthetic'")


def _assign(dataset: Dataset, split_scheme: str) -> list[str]:
    """The split of each row."""
    labels: list[Any] = [CODES[k] for k in dataset["label"][:]]
    image_ids, lesion_ids = dataset["image_id"][:], dataset["lesion_id"][:]
    if split_scheme == LEAKY_SCHEME:
        return _possible(image_level_split, labels)
    groups = merge_duplicates(image_ids, lesion_ids, duplicate_pairs())
    if is_drawn(image_ids):
        splits = _possible(grouped_split, labels, groups)
    else:
        manifest = load_manifest(split_scheme)
        if unknown := [name for name in image_ids if name not in manifest]:
            raise DataError(
                f"{len(unknown)} images are not in the split scheme {split_scheme}: {first_ten(unknown)}; "
                "use HAM10000's own images"
            )
        splits = [manifest[name] for name in image_ids]
    assert_leak_free(image_ids, groups, splits)
    return splits


def _possible(split: Callable[..., list[str]], *arguments: list[Any]) -> list[str]:
    try:
        return split(*arguments)
    except ValueError as error:
        raise DataError(f"these images cannot be split ({error}); use more images") from error
