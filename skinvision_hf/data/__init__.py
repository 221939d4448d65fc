"""Every source of HAM10000 to one `DatasetDict` of leak-free splits."""

import csv
import hashlib
from pathlib import Path

from datasets import ClassLabel, Dataset, DatasetDict, Features, Image, Value

from skinvision_hf.labels import CODES
from skinvision_hf.splits import LEAKY_SPLIT, MANIFEST_SPLIT, SPLIT_NAMES, image_level_split, load_manifest

__all__ = ["fingerprint", "load_ham10000"]

FEATURES = Features(
    {
        "image": Image(),
        "label": ClassLabel(names=list(CODES)),
        "image_id": Value("string"),
        "lesion_id": Value("string"),
        "age": Value("float32"),
        "sex": Value("string"),
        "localization": Value("string"),
    }
)


def load_ham10000(source: str | Path, *, split: str = MANIFEST_SPLIT) -> DatasetDict:
    """Load a HAM10000 folder; rows are in the order of their image_id, and images are decoded when read."""
    folder = Path(source)
    images = {path.stem: path for path in folder.glob("HAM10000_images_part_*/*.jpg")}
    with (folder / "HAM10000_metadata.csv").open(newline="") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: row["image_id"])
    names = [row["dx"] for row in rows]
    parts = image_level_split(names) if split == LEAKY_SPLIT else [load_manifest(split)[r["image_id"]] for r in rows]
    return DatasetDict(
        {part: _dataset([r for r, p in zip(rows, parts, strict=True) if p == part], images) for part in SPLIT_NAMES}
    )


def _dataset(rows: list[dict[str, str]], images: dict[str, Path]) -> Dataset:
    columns = {
        "image": [str(images[row["image_id"]]) for row in rows],
        "label": [CODES.index(row["dx"]) for row in rows],
        "age": [float(row["age"]) if row["age"] else None for row in rows],
    }
    columns |= {key: [row[key] for row in rows] for key in ("image_id", "lesion_id", "sex", "localization")}
    return Dataset.from_dict(columns, features=FEATURES)


def fingerprint(dataset: Dataset) -> str:
    """SHA-256, in hexadecimal, of the lines `image_id,lesion_id,label` of a split in its order."""
    columns = (dataset["image_id"], dataset["lesion_id"], dataset["label"])
    lines = "".join(f"{image},{lesion},{label}\n" for image, lesion, label in zip(*columns, strict=True))
    return hashlib.sha256(lines.encode()).hexdigest()
