"""What a data set holds, in numbers: counts by diagnosis and split, and the colours of its images."""

from collections.abc import Mapping

import numpy as np
from datasets import Dataset, DatasetDict
from tqdm.auto import tqdm

from skinvision_hf.labels import CODES, diagnosis

__all__ = ["colour_statistics", "count_lesions", "count_table"]

# Colours are averages, for which a thumbnail serves as well as the image.
THUMBNAIL = (64, 64)


def count_lesions(dataset: Dataset) -> dict[str, tuple[int, int]]:
    """Count images and lesions of each diagnosis.

    Returns:
        Numbers of images and of different lesion_ids by code.
    """
    labels, lesions = np.array(dataset["label"][:]), np.array(dataset["lesion_id"][:])
    return {code: (int((labels == k).sum()), len(set(lesions[labels == k]))) for k, code in enumerate(CODES)}


def count_table(data: DatasetDict) -> str:
    """Lay out a table of images, with lesions in brackets, by diagnosis and split."""
    counts = {split: count_lesions(dataset) for split, dataset in data.items()}
    rows = [("images (lesions)", *data, "all")]
    rows += [_row(f"{diagnosis(code).name} ({code})", {split: counts[split][code] for split in data}) for code in CODES]
    rows.append(_row("all", {split: _total(by_code) for split, by_code in counts.items()}))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) if column == 0 else cell.rjust(width) for column, (cell, width) in enumerate(cells))
        for cells in (zip(row, widths, strict=True) for row in rows)
    )


def _row(name: str, counts: Mapping[str, tuple[int, int]]) -> tuple[str, ...]:
    return (name, *(f"{images:,} ({lesions:,})" for images, lesions in (*counts.values(), _total(counts))))


def _total(counts: Mapping[str, tuple[int, int]]) -> tuple[int, int]:
    return sum(images for images, _ in counts.values()), sum(lesions for _, lesions in counts.values())


def colour_statistics(data: DatasetDict) -> dict[str, np.ndarray]:
    """Average the colour of every image.

    Args:
        data: The splits; images are decoded one at a time.

    Returns:
        By code, an array (n, 3) of mean red, green and blue in [0, 255] of its images, over all splits.
    """
    means: dict[str, list[np.ndarray]] = {code: [] for code in CODES}
    with tqdm(total=sum(map(len, data.values())), desc="colours", unit="image") as bar:
        for dataset in data.values():
            for record in dataset.select_columns(["image", "label"]):
                pixels = np.asarray(record["image"].convert("RGB").resize(THUMBNAIL), dtype=np.float32)
                means[CODES[record["label"]]].append(pixels.mean(axis=(0, 1)))
                bar.update()
    return {code: np.array(values).reshape(-1, 3) for code, values in means.items()}
