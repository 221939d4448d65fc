"""Images to the pooled features that a guard looks at."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

import torch
from datasets import Dataset
from PIL import Image
from torch import Tensor
from tqdm.auto import tqdm

from skinvision_hf.modeling import SkinVisionForImageClassification
from skinvision_hf.transforms import eval_transform

__all__ = ["images_of", "pooled_features"]

BATCH_SIZE = 64

Item = TypeVar("Item")


def pooled_features(
    model: SkinVisionForImageClassification, images: Iterable[Image.Image], *, total: int | None = None, name: str = ""
) -> tuple[Tensor, Tensor]:
    """Run a network over images in evaluation mode and hand it back in the mode it was in.

    Args:
        model: The network; its own `pretrained_cfg` decides how images are prepared.
        images: RGB; read one batch at a time.
        total: Their number, for the progress bar.
        name: What the progress bar says.

    Returns:
        Pooled features (n, d), which the classifier reads, and logits (n, 7); float32, on the CPU.
    """
    transform, network = eval_transform(model.config.pretrained_cfg), model.timm_model
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    features, logits = [], []
    with torch.inference_mode(), tqdm(total=total, desc=name, unit="image", leave=False) as bar:
        for batch in _batches(images):
            pixels = torch.stack([transform(image.convert("RGB")) for image in batch]).to(device)
            maps = network.forward_features(pixels.contiguous(memory_format=torch.channels_last))
            features.append(network.forward_head(maps, pre_logits=True).float().cpu())
            logits.append(network.forward_head(maps).float().cpu())
            bar.update(len(batch))
    model.train(was_training)
    # Clones, because tensors made in inference mode may not take part in anything else.
    return torch.cat(features).clone(), torch.cat(logits).clone()


def images_of(split: Dataset) -> Iterator[Image.Image]:
    """Decode the images of a split one by one, and nothing else of it."""
    return (row["image"] for row in split.select_columns(["image"]))


def _batches(items: Iterable[Item]) -> Iterator[list[Item]]:
    iterator = iter(items)
    while batch := list(islice(iterator, BATCH_SIZE)):
        yield batch
