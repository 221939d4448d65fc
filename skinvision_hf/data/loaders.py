"""Images of a split to batches of tensors."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from datasets import Dataset
from datasets import Image as ImageFeature
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision.transforms.v2.functional import pil_to_tensor

from skinvision_hf.data import decode_image
from skinvision_hf.data.images import to_rgb
from skinvision_hf.errors import DataError, ImageError

__all__ = ["DecodedImages", "iterate", "make_loader"]


class DecodedImages:
    """Decodes the images of a data set, and keeps the first ones that there is room for.

    Args:
        room: Memory for decoded images, in bytes.
    """

    def __init__(self, room: float = 0.0) -> None:
        self._room = self._all_room = room
        self._kept: dict[str, Tensor] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies start empty: what hashes or pickles a data set that uses this would carry all pixels with it."""
        return DecodedImages, (self._all_room,)

    def __call__(self, source: dict[str, Any], image_id: str) -> Image.Image | Tensor:
        """Return an RGB image or, if it was kept, its tensor (3, H, W) uint8.

        Args:
            source: From a column with the feature `Image(decode=False)`.
            image_id: Its name, one for each image.

        Raises:
            DataError: If it cannot be read.
        """
        if image_id in self._kept:
            return self._kept[image_id]
        try:
            image = to_rgb(decode_image(source, image_id), image_id)
        except ImageError as error:
            raise DataError(str(error)) from error
        size = 3 * image.width * image.height
        if size <= self._room:
            self._room -= size
            self._kept[image_id] = pil_to_tensor(image)
        return image


@dataclass(frozen=True)
class _Rows:
    """From rows of a split to tensors; a class, since processes that load images must be able to pickle it."""

    decode: Callable[[dict[str, Any], str], Image.Image | Tensor]
    transform: Callable[[Any], Tensor]

    def __call__(self, rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
        images = map(self.decode, rows["image"], rows["image_id"])
        return {"pixel_values": [self.transform(image) for image in images], "labels": rows["label"]}


def make_loader(
    dataset: Dataset,
    transform: Callable[[Any], Tensor],
    *,
    batch_size: int,
    shuffle: bool = False,
    num_workers: int = 0,
    decode: Callable[[dict[str, Any], str], Image.Image | Tensor] | None = None,
) -> DataLoader:
    """Make a loader of batches `{"pixel_values": (n, 3, H, W), "labels": (n,)}` that decodes images as it goes.

    Args:
        dataset: A split with the columns `image`, `label` and `image_id`.
        transform: From an RGB image to a tensor.
        batch_size: Images a batch.
        shuffle: New order every epoch, without the last incomplete batch; for training.
        num_workers: Processes that decode; 0 decodes in this one.
        decode: `DecodedImages` that other loaders may share; the transform must take what it returns. Processes that
            decode have a copy each, which starts empty and ends with the epoch.
    """
    columns = dataset.select_columns(["image", "label", "image_id"]).cast_column("image", ImageFeature(decode=False))
    return DataLoader(
        columns.with_transform(_Rows(decode or DecodedImages(), transform)),
        batch_size=batch_size,
        shuffle=shuffle,
        drop_last=shuffle and len(dataset) >= batch_size,
        num_workers=num_workers,
        pin_memory=torch.cuda.is_available(),
    )


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
