"""Images to the pooled features that a guard looks at."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

import torch
from datasets import Dataset
from PIL import Image
from torch import Tensor
from tqdm.auto import tqdm

from skinvision_hf.data.images import to_rgb
from skinvision_hf.data.transforms import eval_transform
from skinvision_hf.models.evaluation_mode import EvaluationMode
from skinvision_hf.models.modeling import SkinVisionForImageClassification

__all__ = ["images_of", "layer_features", "pooled_features"]

BATCH_SIZE = 64

Item = TypeVar("Item")


def pooled_features(
    model: SkinVisionForImageClassification,
    images: Iterable[Image.Image],
    *,
    stage: int | None = None,
    total: int | None = None,
    name: str = "",
) -> tuple[Tensor, Tensor]:
    """Return the features of one stage (n, d), of the classifier's when None, and the logits; see `layer_features`."""
    layers, logits = layer_features(model, images, stages=() if stage is None else (stage,), total=total, name=name)
    return layers[stage], logits


def layer_features(
    model: SkinVisionForImageClassification,
    images: Iterable[Image.Image],
    *,
    stages: Sequence[int],
    total: int | None = None,
    name: str = "",
) -> tuple[dict[int | None, Tensor], Tensor]:
    """Run a network over images in evaluation mode and hand it back in the mode it was in.

    Args:
        model: The network; its own `pretrained_cfg` decides how images are prepared.
        images: RGB; read one batch at a time.
        stages: Stages of the network, beside the features that the classifier reads.
        total: Their number, for the progress bar.
        name: What the progress bar says.

    Returns:
        Pooled features (n, d) by stage, those that the classifier reads under None, and logits (n, 7); float32, on the
        CPU.
    """
    transform, network = eval_transform(model.config.pretrained_cfg), model.timm_model
    device = next(model.parameters()).device
    features: dict[int | None, list[Tensor]] = {stage: [] for stage in (None, *stages)}
    logits = []
    with EvaluationMode(model), torch.inference_mode(), tqdm(total=total, desc=name, unit="image", leave=False) as bar:
        for batch in _batches(images):
            pixels = torch.stack([transform(to_rgb(image)) for image in batch]).to(device)
            pixels = pixels.contiguous(memory_format=torch.channels_last)
            if stages:
                maps, outputs = network.forward_intermediates(pixels)
                for stage in stages:
                    features[stage].append(outputs[stage].mean(dim=(2, 3)).float().cpu())
            else:
                maps = network.forward_features(pixels)
            pooled = network.forward_head(maps, pre_logits=True)
            features[None].append(pooled.float().cpu())
            logits.append(network.get_classifier()(pooled).float().cpu())
            bar.update(len(batch))
    # Clones, because tensors made in inference mode may not take part in anything else.
    return {stage: torch.cat(splits).clone() for stage, splits in features.items()}, torch.cat(logits).clone()


def images_of(split_scheme: Dataset) -> Iterator[Image.Image]:
    """Decode the images of a split one by one, and nothing else of it."""
    return (row["image"] for row in split_scheme.select_columns(["image"]))


def _batches(items: Iterable[Item]) -> Iterator[list[Item]]:
    iterator = iter(items)
    while batch := list(islice(iterator, BATCH_SIZE)):
        yield batch
