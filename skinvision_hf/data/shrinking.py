"""Smaller images, for trials on small machines."""

import io
from typing import Any

from datasets import Dataset, DatasetDict
from datasets import Image as ImageFeature
from PIL import Image

from skinvision_hf.data.images import to_rgb
from skinvision_hf.data.table import decode_image

__all__ = ["shrink_images"]

JPEG: dict[str, Any] = {"format": "JPEG", "quality": 95}
PNG: dict[str, Any] = {"format": "PNG"}


def shrink_images(data: DatasetDict, max_side: int) -> DatasetDict:
    """Scale images and masks down; images become JPEG files of quality 95.

    Args:
        data: The parts, with the column `image` and perhaps `mask`.
        max_side: Longest side that is left, in pixels; images that are no larger stay as they are.
    """

    def shrink_part(split: Dataset) -> Dataset:
        masked = "mask" in split.column_names

        def shrink(row: dict[str, Any]) -> dict[str, Any]:
            shrunk = {"image": _shrunk(row["image"], row["image_id"], max_side)}
            return shrunk | ({"mask": _shrunk(row["mask"], row["image_id"], max_side, mask=True)} if masked else {})

        # Files and not pixels, so that images which stay as they are keep their bytes.
        files = split.cast_column("image", ImageFeature(decode=False))
        files = files.cast_column("mask", ImageFeature(decode=False)) if masked else files
        return files.map(shrink, features=split.features, desc="make images smaller")

    return DatasetDict({name: shrink_part(split) for name, split in data.items()})


def _shrunk(file: dict[str, Any], name: str, max_side: int, *, mask: bool = False) -> dict[str, Any]:
    image = decode_image(file, name)
    if max(image.size) <= max_side:
        return file
    image = image if mask else to_rgb(image, name)
    image.thumbnail((max_side, max_side), Image.Resampling.NEAREST if mask else Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, **(PNG if mask else JPEG))
    return {"bytes": buffer.getvalue(), "path": None}
