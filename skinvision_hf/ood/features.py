"""From images to the features that an OOD detector reads, and the logits of the same forward pass."""

from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np
import torch
from datasets import Dataset
from PIL import Image

from skinvision_hf.config import EVALUATION_BATCH
from skinvision_hf.data.images import to_rgb
from skinvision_hf.models.modeling import EvaluationMode, SkinVisionForImageClassification
from skinvision_hf.ood.image_changes import Change


def pooled_features(
    model: SkinVisionForImageClassification, images: Iterable[Image.Image], *, stage: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Run a network over images of any size in evaluation mode, and hand it back in the mode it was in.

    Returns:
        Pooled features (n, d) of a stage, or those that the classifier reads, and logits (n, 7), float32.
    """
    iterator, features, logits = iter(images), [], []
    with EvaluationMode(model), torch.inference_mode():
        while batch := list(islice(iterator, EVALUATION_BATCH)):
            pixels = model.prepare(batch).contiguous(memory_format=torch.channels_last)
            maps, pooled = model.feature_maps(pixels, stage=stage)
            features.append(pooled.float().cpu().numpy())
            logits.append(model.timm_model.forward_head(maps).float().cpu().numpy())
    return np.concatenate(features), np.concatenate(logits)


def images_of(dataset: Dataset, change: Change | None = None) -> Iterator[Image.Image]:
    """Decode the images of a split one by one, and change them where a change is given."""
    images = (row["image"] for row in dataset.select_columns(["image"]))
    return (change(to_rgb(image)) for image in images) if change else images
