"""Folders in the layout of HAM10000, with pictures drawn in code."""

import csv
from pathlib import Path

from datasets import DatasetDict

from skinvision_hf.data import fingerprint
from skinvision_hf.data.split_schemes import load_manifest
from skinvision_hf.data.synthetic import draw_image
from skinvision_hf.labels import CODES


def some_rows(count: int = 21) -> list[dict[str, str]]:
    """Metadata of the first images of each split of the manifest, with made-up diagnoses."""
    manifest = load_manifest()
    names = [n for split in ("train", "validation", "test") for n in [k for k, v in manifest.items() if v == split][:7]]
    return [
        {
            "lesion_id": f"HAM_{number:07d}",
            "image_id": name,
            "dx": CODES[number % 7],
            "dx_type": "histo",
            "age": "" if number == 3 else "45.0",
            "sex": "female",
            "localization": "back",
        }
        for number, name in enumerate(names[:count])
    ]


def write_metadata(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter="," if path.suffix == ".csv" else "\t")
        writer.writeheader()
        writer.writerows(rows)


def write_pictures(folder: Path, rows: list[dict[str, str]], *, masks: bool) -> None:
    for number, row in enumerate(rows):
        image, mask = draw_image(row["dx"], number)
        split = folder / f"HAM10000_images_part_{1 + number % 2}"
        split.mkdir(parents=True, exist_ok=True)
        image.save(split / f"{row['image_id']}.jpg")
        if masks:
            (folder / "masks").mkdir(exist_ok=True)
            mask.save(folder / "masks" / f"{row['image_id']}_segmentation.png")


def write_ham10000(folder: Path, *, masks: bool = True) -> Path:
    """Write a small folder in the layout of the official downloads, and return it."""
    write_pictures(folder, some_rows(), masks=masks)
    write_metadata(folder / "HAM10000_metadata.csv", some_rows())
    return folder


def fingerprints(data: DatasetDict) -> list[str]:
    return [fingerprint(split) for split in data.values()]
