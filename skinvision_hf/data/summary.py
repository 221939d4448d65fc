"""What a data set holds, in numbers: counts by diagnosis and split, and the colours of its images."""

from itertools import zip_longest
from typing import TYPE_CHECKING

import numpy as np
from tqdm.auto import tqdm

from skinvision_hf.labels import CODES, DIAGNOSES

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

THUMBNAIL = (64, 64)  # Colours are averages, for which it serves as well as the image.


def count_lesions(dataset: "Dataset") -> dict[str, tuple[int, int]]:
    """Count images and different lesion_ids of each diagnosis, by code."""
    labels, lesions = np.array(dataset["label"][:]), np.array(dataset["lesion_id"][:])
    return {code: (int((labels == k).sum()), len(set(lesions[labels == k]))) for k, code in enumerate(CODES)}


def rows_in_turn(dataset: "Dataset") -> list[int]:
    """The rows of a split in turn from each diagnosis: the first one of each, then the second one of each."""
    labels = np.array(dataset["label"][:])
    turns = zip_longest(*(np.flatnonzero(labels == k).tolist() for k in range(len(CODES))))
    return [row for turn in turns for row in turn if row is not None]


def count_table(data: "DatasetDict") -> str:
    """Lay out a table of images, with lesions in brackets, by diagnosis and split."""
    # By diagnosis, split and kind of count; the last diagnosis and the last split are the totals.
    counts = np.array([list(count_lesions(dataset).values()) for dataset in data.values()]).swapaxes(0, 1)
    for axis in (0, 1):
        counts = np.concatenate([counts, counts.sum(axis, keepdims=True)], axis)
    names = [*(f"{d.name} ({d.code})" for d in DIAGNOSES), "all"]
    rows = [("images (lesions)", *data, "all")]
    rows += [(name, *(f"{n:,} ({m:,})" for n, m in row)) for name, row in zip(names, counts, strict=True)]
    return "\n".join(f"{name:<43}" + "".join(f"{cell:>16}" for cell in cells) for name, *cells in rows)


def colour_statistics(data: "DatasetDict") -> dict[str, np.ndarray]:
    """The mean red, green and blue, in [0, 255], of every image of all splits: by code, an array (n, 3)."""
    means: dict[str, list[np.ndarray]] = {code: [] for code in CODES}
    with tqdm(total=sum(map(len, data.values())), desc="colours", unit="image") as bar:
        for dataset in data.values():
            for record in dataset.select_columns(["image", "label"]):
                pixels = np.asarray(record["image"].convert("RGB").resize(THUMBNAIL), dtype=np.float32)
                means[CODES[record["label"]]].append(pixels.mean(axis=(0, 1)))
                bar.update()
    return {code: np.array(values).reshape(-1, 3) for code, values in means.items()}
