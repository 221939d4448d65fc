"""Split schemes: train, validation and test by lesion, stratified by diagnosis; and the leaking split of older work."""

import csv
import warnings
from collections import defaultdict
from collections.abc import Iterable, Sequence
from importlib.resources import files

import numpy as np

from skinvision_hf.config import DEFAULT_SCHEME, LEAKY_SCHEME, SPLITS
from skinvision_hf.errors import DataError, first_ten
from skinvision_hf.labels import CODES


def assign_splits(
    labels: Sequence[int], image_ids: Sequence[str], lesion_ids: Sequence[str], *, split_scheme: str, drawn: bool
) -> list[str]:
    """The split of each row in a split scheme; drawn images, which are in no manifest, are split anew.

    DataError is raised if images are not in the scheme or are too few, or if a lesion would be in two splits.
    """
    codes = [CODES[label] for label in labels]
    groups = merge_duplicates(image_ids, lesion_ids, duplicate_pairs())
    try:
        if split_scheme == LEAKY_SCHEME:
            return image_level_split(codes)
        manifest = dict(zip(image_ids, grouped_split(codes, groups), strict=True)) if drawn else load_manifest()
    except ValueError as error:
        raise DataError(f"these images cannot be split ({error}); use more images") from error
    if unknown := [name for name in image_ids if name not in manifest]:
        problem = f"{len(unknown)} images are not in the split scheme {split_scheme}: {first_ten(unknown)}"
        raise DataError(f"{problem}; use HAM10000's own images")
    splits = [manifest[name] for name in image_ids]
    assert_leak_free(image_ids, groups, splits)
    return splits


def load_manifest() -> dict[str, str]:
    """The split of each image by image_id, from the committed manifest of `ham10000-v1`, in the order of the file."""
    return {row["image_id"]: row["split"] for row in read_manifest(DEFAULT_SCHEME)}


def duplicate_pairs() -> list[tuple[str, str]]:
    """The 18 pairs of images that show one lesion under two lesion_ids.

    Found by Abhishek, Jain and Hamarneh, Scientific Data 2025, doi:10.1038/s41597-025-04382-5.
    """
    return [(row["image_id_a"], row["image_id_b"]) for row in read_manifest("ham10000-duplicates")]


def read_manifest(name: str) -> "csv.DictReader[str]":
    """The rows of a table in the folder `manifests`, without its comments."""
    lines = (files("skinvision_hf.data") / "manifests" / f"{name}.csv").read_text().splitlines()
    return csv.DictReader(line for line in lines if not line.startswith("#"))


def merge_duplicates(
    image_ids: Sequence[str], lesion_ids: Sequence[str], pairs: Iterable[tuple[str, str]]
) -> list[str]:
    """The group of each row: the first, in alphabetical order, of the lesion_ids that duplicate pairs join.

    Pairs of image_ids that show one lesion are ignored where an image is not among the rows.
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
    The split of each row depends on the order of the rows.
    """
    folds = grouped_folds(labels, groups, count=20, seed=seed)
    return [SPLITS[(number >= 14) + (number >= 17)] for number in folds.tolist()]


def grouped_folds(labels: Sequence[str | int], groups: Sequence[str], *, count: int, seed: int = 0) -> np.ndarray:
    """The fold of each row (n,), from 0: as many rows in each, stratified by diagnosis, with no group in two folds."""
    from sklearn.model_selection import StratifiedGroupKFold

    splitter = StratifiedGroupKFold(n_splits=count, shuffle=True, random_state=seed)
    folds = np.zeros(len(labels), dtype=int)
    with warnings.catch_warnings():
        # A diagnosis with fewer images than folds still gets its share of the three splits.
        warnings.filterwarnings("ignore", message="The least populated class")
        for number, (_, rows) in enumerate(splitter.split(np.zeros(len(labels)), labels, groups)):
            folds[rows] = number
    return folds


def image_level_split(labels: Sequence[str]) -> list[str]:
    """Split rows of these labels at random by image, as older work does: one lesion lands on both sides.

    15 % of the images become test, then 17.6 % of the rest validation, both stratified. For comparison only.
    """
    from sklearn.model_selection import train_test_split

    names = np.asarray(labels)
    rest, test = train_test_split(np.arange(len(names)), test_size=0.15, random_state=42, stratify=names)
    _, validation = train_test_split(rest, test_size=0.176, random_state=42, stratify=names[rest])
    splits = np.full(len(names), SPLITS[0], dtype=object)
    splits[validation], splits[test] = SPLITS[1], SPLITS[2]
    return splits.tolist()


def assert_leak_free(image_ids: Sequence[str], groups: Sequence[str], splits: Sequence[str]) -> None:
    """Raise DataError if an image or a lesion (or group, from `merge_duplicates`) is in two splits; names ten."""
    for kind, names in (("image", image_ids), ("lesion", groups)):
        seen: dict[str, set[str]] = defaultdict(set)
        for name, split in zip(names, splits, strict=True):
            seen[name].add(split)
        if offenders := {name: found for name, found in seen.items() if len(found) > 1}:
            named = first_ten(f"{name} ({' and '.join(sorted(found))})" for name, found in offenders.items())
            raise DataError(f"{len(offenders)} {kind}s are in more than one split: {named}")
