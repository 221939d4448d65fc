"""Images of a split to batches of tensors."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from datasets import Dataset
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader

from skinvision_hf.data.schema import decode_image, undecoded
from skinvision_hf.errors import DataError


class DecodedImages:
    """Decodes the images of a data set, and keeps the first ones for which `room` bytes of memory suffice."""

    def __init__(self, room: float = 0.0) -> None:
        self._room = self._all_room = room
        self._kept: dict[str, tuple[Image.Image, ...]] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies start empty: what hashes or pickles a data set that uses this would carry all pixels with it."""
        return DecodedImages, (self._all_room,)

    def __call__(self, image_id: str, image: dict[str, Any], *masks: dict[str, Any]) -> tuple[Image.Image, ...]:
        """Return an RGB image and its lesion mask, if there is one, in grey, from `undecoded` rows."""
        if image_id in self._kept:
            return self._kept[image_id]
        decoded = (decode_image(image, image_id), *(decode_image(mask, image_id).convert("L") for mask in masks))
        # What Pillow spends on a pixel of an RGB image, and of a grey one.
        size = sum((4 if picture.mode == "RGB" else 1) * picture.width * picture.height for picture in decoded)
        if size <= self._room:
            self._room -= size
            self._kept[image_id] = decoded
        return decoded


def _to_tensors(
    decode: DecodedImages, transform: Callable[..., Tensor], pictures: Sequence[str], rows: dict[str, list[Any]]
) -> dict[str, list[Any]]:
    decoded = map(decode, rows["image_id"], *(rows[name] for name in pictures))
    return {"pixel_values": [transform(*images) for images in decoded], "labels": rows["label"]}


def make_loader(
    dataset: Dataset,
    transform: Callable[..., Tensor],
    *,
    batch_size: int,
    shuffle: bool = False,
    masks: bool = False,
    num_workers: int = 0,
    cache_gb: float = 0.0,
) -> DataLoader:
    """Make a loader of batches `{"pixel_values": (n, c, H, W), "labels": (n,)}` that decodes images as it goes.

    Args:
        dataset: A split with the columns `image`, `label` and `image_id`.
        transform: From an RGB image, and its mask in grey where there are masks, to a tensor (c, H, W).
        batch_size: Images a batch.
        shuffle: New order every epoch, without the last incomplete batch; for training.
        masks: Load the column `mask`, too.
        num_workers: Processes that decode; 0 decodes in this one.
        cache_gb: Memory for decoded images, in gigabytes. Processes that decode end with the epoch, and keep none.
    """
    pictures = ("image", "mask") if masks else ("image",)
    columns = undecoded(dataset.select_columns(["label", "image_id", *pictures]))
    decode = DecodedImages(0.0 if num_workers else 1e9 * cache_gb)
    return DataLoader(
        columns.with_transform(partial(_to_tensors, decode, transform, pictures)),
        batch_size=batch_size,
        shuffle=shuffle,
        drop_last=shuffle and len(dataset) >= batch_size,
        num_workers=num_workers,
        pin_memory=torch.cuda.is_available(),
    )


def iterate(loader: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Iterate over the batches of a loader; a DataError loses the traceback that torch adds in other processes."""
    try:
        yield from loader
    except DataError as error:
        raise DataError(str(error).rstrip().rpartition("DataError: ")[2]) from error
