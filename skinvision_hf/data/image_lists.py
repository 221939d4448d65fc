"""Lists of images, with or without splits, and the lesions that HAM10000's images show; no image is opened."""

import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

from skinvision_hf.data.folders import ZIP_SUFFIX, list_files
from skinvision_hf.data.images import IMAGE_SUFFIXES
from skinvision_hf.data.split_schemes import duplicate_pairs, merge_duplicates, read_manifest
from skinvision_hf.data.tables import Table, column_of, columns_of
from skinvision_hf.errors import DataError, first_ten

ISIC_ID = re.compile(r"isic[ _-]?(\d{7})(?!\d)", re.IGNORECASE)
# What splits are called elsewhere.
SPLIT_NAMES = {"train": "train", "training": "train", "trn": "train", "test": "test", "testing": "test", "tst": "test"}
SPLIT_NAMES |= dict.fromkeys(("validation", "valid", "val", "dev"), "validation")
UNSPLIT = "the list"


class ListedImage(NamedTuple):
    """The name of an image in a list, a path for pictures in a folder; and its split."""

    name: str
    split: str


@cache
def lesion_groups() -> dict[str, str]:
    """The lesion of each of HAM10000's images by image_id; lesion_ids that the 18 duplicate pairs join are one."""
    lesions = {row["image_id"]: row["lesion_id"] for row in read_manifest("ham10000-lesions")}
    return dict(zip(lesions, merge_duplicates([*lesions], [*lesions.values()], duplicate_pairs()), strict=True))


def image_id_of(name: str) -> str:
    """The image_id in a file name or path, such as `images/isic_0024306.JPG`; the name itself where there is none."""
    found = ISIC_ID.findall(name)
    return f"ISIC_{found[-1]}" if found else name


def is_known(name: str) -> bool:
    """Whether a file name or path has the id of an image of HAM10000."""
    return image_id_of(name) in lesion_groups()


def read_list(path: Path, *, only: str | None = None) -> list[ListedImage]:
    """Read the images that a table or a folder lists.

    The split of an image stands in a column such as `split`, or is a folder of its path, such as `data/test/a.jpg`.

    Args:
        path: A table with a column of image ids, file names or paths, or a text file with one of them in each line; or
            a folder, whose pictures count, with all folders in it.
        only: The split to read, if the list has several; all images get this split.

    Raises:
        DataError: If it cannot be read, has no images, or only some of them have an id or a split.
    """
    if path.is_dir():
        pictures = list_files(path, IMAGE_SUFFIXES)
        images = [ListedImage(str(picture), _split_in(str(picture.relative_to(path)))) for picture in pictures]
    elif path.suffix.lower() == ZIP_SUFFIX:
        raise DataError(f"{path} is a zip file; unpack it, and give the folder or a table of image ids")
    else:
        images = _read_table(Table.read(path))
    splits = {image.split for image in images}
    if not images or not all(image.name for image in images):
        raise DataError(f"{path} has no images, or rows without an image id; give a table of ids, or a folder")
    if "" in splits and len(splits) > 1:
        gaps = first_ten(image.name for image in images if not image.split)
        raise DataError(f"{path}: some images have no split: {gaps}; fill it in")
    if only and len(splits) > 1:
        images = [image for image in images if image.split == only]
        if not images:
            raise DataError(f"{path} has splits, but none is {only}; give the {only} images alone")
    return [ListedImage(image.name, only or image.split or UNSPLIT) for image in images]


def _read_table(table: Table) -> list[ListedImage]:
    heads, rows = table.columns, table.rows
    if any(is_known(head) for head in heads):  # a list without a line of column names
        rows = [{head: head for head in heads}, *rows]
    else:
        table.require_rows()
    usual = columns_of(heads, "image_id")
    known = (column for column in (*usual, *heads) if any(is_known(row[column]) for row in rows))
    column = next(known, usual[0] if usual else None)
    if column is None:
        raise DataError(f"{table.path} has no column of image ids (found: {first_ten(heads)}); add one")
    split = column_of(heads, "split")
    values = [row[split].lower() if split else _split_in(row[column]) for row in rows]
    return [ListedImage(row[column], SPLIT_NAMES.get(value, value)) for row, value in zip(rows, values, strict=True)]


def _split_in(path: str) -> str:
    """The split that the nearest folder in a path is named after; empty without one."""
    folders = re.split(r"[/\\]", path.lower())[-2::-1]
    return next((SPLIT_NAMES[folder] for folder in folders if folder in SPLIT_NAMES), "")
