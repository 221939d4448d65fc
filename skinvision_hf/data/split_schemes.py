"""Split schemes: train, validation and test by lesion, stratified by diagnosis; and the leaking split of older work."""

import csv
import warnings
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files

import numpy as np

from skinvision_hf.config import DEFAULT_SCHEME, SPLITS
from skinvision_hf.errors import DataError, first_ten

__all__ = [
    "assert_leak_free",
    "duplicate_pairs",
    "grouped_split",
    "image_level_split",
    "load_manifest",
    "merge_duplicates",
]


def load_manifest(name: str = DEFAULT_SCHEME) -> dict[str, str]:
    """Read a committed split manifest.

    Args:
        name: Name of the split scheme.

    Returns:
        Split of each image by image_id, in the order of the file.

    Raises:
        DataError: If the package has no manifest of this name.
    """
    if name != DEFAULT_SCHEME:
        raise DataError(f"there is no manifest of a split scheme named {name!r}; use {DEFAULT_SCHEME!r}")
    text = (files("skinvision_hf.data") / "manifests" / f"{name}.csv").read_text()
    return {row["image_id"]: row["split"] for row in csv.DictReader(text.splitlines())}


def duplicate_pairs() -> list[tuple[str, str]]:
    """The 18 pairs of images that show one lesion under two lesion_ids.

    Found by Abhishek, Jain and Hamarneh, Scientific Data 2025, doi:10.1038/s41597-025-04382-5.
    """
    text = (files("skinvision_hf.data") / "manifests" / "ham10000-duplicates.csv").read_text()
    return [(row["image_id_a"], row["image_id_b"]) for row in csv.DictReader(text.splitlines())]


def merge_duplicates(
    image_ids: Sequence[str], lesion_ids: Sequence[str], pairs: Iterable[tuple[str, str]]
) -> list[str]:
    """Give lesions that share a duplicate pair one common group.

    Args:
        image_ids: Image of each row.
        lesion_ids: Lesion of each row.
        pairs: Pairs of image_ids that show one lesion; pairs with an image that is not among the rows are ignored.

    Returns:
        Group of each row: the first of its lesion_ids in alphabetical order.
    """
    group = {lesion: lesion for lesion in lesion_ids}
    lesion_of = dict(zip(image_ids, lesion_ids, strict=True))
    for image_a, image_b in pairs:
        if image_a in lesion_of and image_b in lesion_of:
            kept, merged = sorted((group[lesion_of[image_a]], group[lesion_of[image_b]]))
            group = {lesion: kept if g == merged else g for lesion, g in group.items()}
    return [group[lesion] for lesion in lesion_ids]


def grouped_split(labels: Sequence[str], groups: Sequence[str], *, seed: int = 0) -> list[str]:
    """Split 70/15/15, stratified by diagnosis, with no group in two splits.

    Twenty stratified group folds are made; the first fourteen are training, the next three validation, the rest test.

    Args:
        labels: Diagnosis of each row; rows in a fixed order, since the result depends on it.
        groups: Lesion of each row, duplicates merged.
        seed: Seed of the shuffle.

    Returns:
        Split of each row.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    folds = StratifiedGroupKFold(n_splits=20, shuffle=True, random_state=seed)
    splits = np.full(len(labels), SPLITS[0], dtype=object)
    with warnings.catch_warnings():
        # A diagnosis with fewer images than folds still gets its share of the three splits.
        warnings.filterwarnings("ignore", message="The least populated class")
        for number, (_, rows) in enumerate(folds.split(np.zeros(len(labels)), labels, groups)):
            splits[rows] = SPLITS[(number >= 14) + (number >= 17)]
    return splits.tolist()


def image_level_split(labels: Sequence[str], *, seed: int = 42) -> list[str]:
    """Split at random by image, as older work does: photographs of one lesion land on both sides.

    15 % of the images become test, then 17.6 % of the rest validation, both stratified. For comparison only.

    Args:
        labels: Diagnosis of each row.
        seed: Seed of both draws.

    Returns:
        Split of each row.
    """
    from sklearn.model_selection import train_test_split

    names = np.asarray(labels)
    rest, test = train_test_split(np.arange(len(names)), test_size=0.15, random_state=seed, stratify=names)
    _, validation = train_test_split(rest, test_size=0.176, random_state=seed, stratify=names[rest])
    splits = np.full(len(names), SPLITS[0], dtype=object)
    splits[validation], splits[test] = SPLITS[1], SPLITS[2]
    return splits.tolist()


def assert_leak_free(image_ids: Sequence[str], groups: Sequence[str], splits: Sequence[str]) -> None:
    """Check that no image and no lesion is in two splits.

    Args:
        image_ids: Image of each row.
        groups: Lesion of each row; merge duplicates first (`merge_duplicates`).
        splits: Split of each row.

    Raises:
        DataError: If one is; names the first ten offenders.
    """
    for kind, names in (("image", image_ids), ("lesion", groups)):
        offenders = _in_several_splits(zip(names, splits, strict=True))
        if offenders:
            named = first_ten(f"{name} ({' and '.join(sorted(found))})" for name, found in offenders.items())
            raise DataError(f"{len(offenders)} {kind}s are in more than one split: {named}")


def _in_several_splits(rows: Iterable[tuple[str, str]]) -> Mapping[str, set[str]]:
    seen: dict[str, set[str]] = defaultdict(set)
    for name, split in rows:
        seen[name].add(split)
    return {name: splits for name, splits in seen.items() if len(splits) > 1}
