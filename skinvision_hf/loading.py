"""Images of a split to batches of tensors."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from datasets import Dataset
from datasets import Image as ImageFeature
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision.transforms.v2.functional import pil_to_tensor

from skinvision_hf.data import decode_image
from skinvision_hf.errors import DataError

__all__ = ["iterate", "make_loader"]


def make_loader(
    dataset: Dataset,
    transform: Callable[[Any], Tensor],
    *,
    batch_size: int,
    shuffle: bool = False,
    num_workers: int = 0,
    cache_bytes: float = 0,
) -> DataLoader:
    """Make a loader of batches `{"pixel_values": (n, 3, H, W), "labels": (n,)}` that decodes images as it goes.

    Args:
        dataset: A split with the columns `image`, `label` and `image_id`.
        transform: From an RGB image to a tensor.
        batch_size: Images a batch.
        shuffle: New order every epoch, without the last incomplete batch; for training.
        num_workers: Processes that decode; 0 decodes in this one.
        cache_bytes: Memory for decoded images, which the next epoch need not decode again; then the transform must take
            tensors (3, H, W) uint8 as well as images. Unused with `num_workers`, whose processes end with the epoch.
    """
    columns = dataset.select_columns(["image", "label", "image_id"]).cast_column("image", ImageFeature(decode=False))
    return DataLoader(
        columns.with_transform(_Decoder(transform, 0 if num_workers else cache_bytes)),
        batch_size=batch_size,
        shuffle=shuffle,
        drop_last=shuffle and len(dataset) >= batch_size,
        num_workers=num_workers,
        pin_memory=torch.cuda.is_available(),
    )


class _Decoder:
    """From rows of a split to tensors; keeps the first decoded images that there is room for."""

    def __init__(self, transform: Callable[[Any], Tensor], cache_bytes: float) -> None:
        self.transform = transform
        self.room = cache_bytes
        self.kept: dict[str, Tensor] = {}

    def __call__(self, rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
        images = map(self._decode, rows["image"], rows["image_id"])
        return {"pixel_values": [self.transform(image) for image in images], "labels": rows["label"]}

    def _decode(self, source: Any, image_id: str) -> Image.Image | Tensor:
        if image_id in self.kept:
            return self.kept[image_id]
        image: Image.Image = decode_image(source, image_id).convert("RGB")
        size = 3 * image.width * image.height
        if size <= self.room:
            self.room -= size
            self.kept[image_id] = pil_to_tensor(image)
        return image


def iterate(loader: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Iterate over the batches of a loader.

    Raises:
        DataError: If an image cannot be read; in one line, also when a process that loads images met it, whose
            traceback torch would add.
    """
    try:
        yield from loader
    except DataError as error:
        raise DataError(str(error).rstrip().rpartition("DataError: ")[2]) from error
