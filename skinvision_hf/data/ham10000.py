"""`load_ham10000`: any source, checked, in a named split."""

import re
from pathlib import Path
from typing import Any

from datasets import Dataset, DatasetDict

from skinvision_hf.config import DEFAULT_SCHEME, LEAKY_SCHEME, SPLIT_SCHEMES, SPLITS
from skinvision_hf.data.folder import read_folder, read_zips
from skinvision_hf.data.hub_source import read_hub
from skinvision_hf.data.prepared import is_prepared, read_prepared, recorded_split
from skinvision_hf.data.split_schemes import (
    assert_leak_free,
    duplicate_pairs,
    grouped_split,
    image_level_split,
    load_manifest,
    merge_duplicates,
)
from skinvision_hf.data.synthetic import DEFAULT_IMAGES, draw_dataset, is_drawn
from skinvision_hf.data.table import FEATURES, first_ten, verify_images
from skinvision_hf.errors import DataError
from skinvision_hf.labels import CODES

__all__ = ["limit_images", "load_ham10000", "resolve_scheme", "scheme_name"]

SYNTHETIC = re.compile(r"synthetic(?:\[:(\d+)\])?")


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
            data set that this package published, or `synthetic` (or `synthetic[:N]`), lesion-like images drawn in code.
        split: `ham10000-v1`, leak-free by lesion, or `image-level-leaky`, for comparison with older work only. None
            means the split that `save_prepared` wrote, and `ham10000-v1` for every other source. Drawn images are
            split by lesion in the same way, since they are in no manifest.
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
            Also if there is no such split, or the source was prepared in another one.
    """
    split_scheme = resolve_scheme(source, split_scheme)
    dataset = _read(source, masks=masks, revision=revision)
    if verify:
        verify_images(dataset)
    columns = [*FEATURES, *(["mask"] if masks else []), *(["dx_type"] if dx_type else [])]
    splits = _assign(dataset, split_scheme)
    rows: dict[str, list[int]] = {name: [] for name in SPLITS}
    for row, split in enumerate(splits):
        rows[split].append(row)
    dataset = dataset.select_columns(columns)
    return DatasetDict({name: dataset.select(rows[name]) for name in SPLITS})


def resolve_scheme(source: str | Path, split_scheme: str | None = None) -> str:
    """The name of the split in which `load_ham10000` loads a source.

    Args:
        source: As for `load_ham10000`.
        split: The split that is asked for; None for the source's own.

    Raises:
        DataError: If there is no such split, or the source was prepared in another one.
    """
    if split_scheme is not None and split_scheme not in SPLIT_SCHEMES:
        raise DataError(f"there is no split named {split_scheme!r}; use {' or '.join(map(repr, SPLIT_SCHEMES))}")
    recorded = recorded_split(Path(source)) if is_prepared(Path(source)) else None
    if split_scheme and recorded and split_scheme != recorded:
        raise DataError(
            f"{source} was prepared in the split {recorded}, not in {split_scheme}; "
            f"ask for {recorded}, or prepare the data again from its source"
        )
    return split_scheme or recorded or DEFAULT_SCHEME


def scheme_name(data: DatasetDict, split_scheme: str = DEFAULT_SCHEME) -> str:
    """The name under which numbers on these splits are reported: drawn images are no HAM10000."""
    return f"synthetic, {split_scheme}" if is_drawn(data["test"]["image_id"][:]) else split_scheme


def _read(source: str | Path, *, masks: bool, revision: str | None) -> Dataset:
    text, path = str(source), Path(source)
    if match := SYNTHETIC.fullmatch(text):
        return draw_dataset(int(match[1] or DEFAULT_IMAGES), masks=masks)
    if path.is_file() and path.suffix.lower() == ".zip":
        return read_zips([path], masks=masks)
    if path.is_file():
        raise DataError(f"{path} is a file; give the folder with HAM10000's metadata and images, or a zip file")
    if path.is_dir():
        if not any(path.iterdir()):
            raise DataError(f"the folder {path} is empty; give the folder with HAM10000's metadata and images")
        return read_prepared(path, masks=masks) if is_prepared(path) else read_folder(path, masks=masks)
    if text.count("/") == 1 and not text.startswith((".", "/", "~")):
        try:
            return read_hub(text, masks=masks, revision=revision)
        except DataError as error:
            raise DataError(f"there is no folder {text}, and {error}") from error
    raise DataError(f"there is no folder {text}; give a folder, a zip file, a Hub data set id, or 'synthetic'")


def _assign(dataset: Dataset, split_scheme: str) -> list[str]:
    """The split of each row."""
    labels: list[Any] = [CODES[k] for k in dataset["label"][:]]
    image_ids, lesion_ids = dataset["image_id"][:], dataset["lesion_id"][:]
    if split_scheme == LEAKY_SCHEME:
        return _possible(image_level_split, labels)
    manifest = load_manifest(split_scheme)
    groups = merge_duplicates(image_ids, lesion_ids, duplicate_pairs())
    if is_drawn(image_ids):
        splits = _possible(grouped_split, labels, groups)
    else:
        unknown = [name for name in image_ids if name not in manifest]
        if unknown:
            raise DataError(
                f"{len(unknown)} images are not in the split {split_scheme}: {first_ten(unknown)}; use HAM10000's own images"
            )
        splits = [manifest[name] for name in image_ids]
    assert_leak_free(image_ids, groups, splits)
    return splits


def _possible(split_scheme: Any, *arguments: list[Any]) -> list[str]:
    try:
        return split_scheme(*arguments)
    except ValueError as error:
        raise DataError(f"these images cannot be split ({error}); use more images") from error


def limit_images(data: DatasetDict, limit: int, *, seed: int) -> DatasetDict:
    """Draw images of each part by lot, since a data set may be sorted by diagnosis.

    Args:
        data: The parts.
        limit: Largest number of images of each; 0 keeps all, in their order.
        seed: Seed of the draw.
    """
    if not limit:
        return data
    return DatasetDict({k: d.shuffle(seed=seed).select(range(min(limit, len(d)))) for k, d in data.items()})
