"""The training loss and its weights against class imbalance."""

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot
from torchvision.transforms import v2

from skinvision_hf.config import LossConfig

__all__ = ["ClassificationLoss", "class_weights", "log_frequencies"]

# The beta of Cui et al. 2019 (arXiv:1901.05555) that suits classes of some hundred to some thousand images.
EFFECTIVE_NUMBER_BETA = 0.999


def class_weights(labels: np.ndarray, num_classes: int, scheme: str) -> np.ndarray:
    """Weigh classes by how rare they are.

    Args:
        labels: Class indices of the training images, (n,).
        num_classes: Number of classes.
        scheme: `none`, `inverse`, `sqrt` or `effective`; see `LossConfig`.

    Returns:
        Weights (num_classes,) float64, scaled so that their mean over the training images is 1. A class without
        images gets weight 0.

    Raises:
        ValueError: If the scheme is unknown.
    """
    counts = np.bincount(labels, minlength=num_classes).astype(float)
    present = counts > 0
    safe = np.where(present, counts, 1.0)
    if scheme == "none":
        weights = np.ones(num_classes)
    elif scheme == "inverse":
        weights = 1.0 / safe
    elif scheme == "sqrt":
        weights = 1.0 / np.sqrt(safe)
    elif scheme == "effective":
        weights = (1.0 - EFFECTIVE_NUMBER_BETA) / (1.0 - EFFECTIVE_NUMBER_BETA**safe)
    else:
        raise ValueError(f"unknown class weights {scheme!r}; use none, inverse, sqrt or effective")
    weights = np.where(present, weights, 0.0)
    return weights * counts.sum() / (weights * counts).sum()


def log_frequencies(labels: np.ndarray, num_classes: int) -> Tensor:
    """Logarithms of the class frequencies in `labels` (n,), as (num_classes,) float32.

    A class without images counts as one image, so that its logarithm stays finite.
    """
    counts = torch.from_numpy(np.bincount(labels, minlength=num_classes))
    return (counts.clamp(min=1).float() / len(labels)).log()


class ClassificationLoss(torch.nn.Module):
    """Cross-entropy with label smoothing, means against class imbalance, and mixing of the batch.

    The weights multiply the target distribution, and the batch mean divides by the number of images, so that the
    loss means the same with and without mixing and on any number of processes.

    Args:
        labels: Class indices of the training images, (n,), from which class weights and frequencies come.
        num_classes: Number of classes.
        config: The settings.
        mix: Whether this phase mixes images.
    """

    weights: Tensor
    adjustment: Tensor

    def __init__(self, labels: np.ndarray, num_classes: int, config: LossConfig, *, mix: bool) -> None:
        super().__init__()
        weights = class_weights(labels, num_classes, config.class_weights)
        self.register_buffer("weights", torch.tensor(weights, dtype=torch.float32))
        self.register_buffer("adjustment", config.logit_adjustment * log_frequencies(labels, num_classes))
        self.label_smoothing = config.label_smoothing
        self.num_classes = num_classes
        mixers = [(v2.MixUp, config.mixup_alpha), (v2.CutMix, config.cutmix_alpha)]
        chosen = [mixer(alpha=alpha, num_classes=num_classes) for mixer, alpha in mixers if mix and alpha]
        self.mixer = v2.RandomChoice(chosen) if chosen else None

    def mix(self, pixels: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Turn a batch of images and class indices into images and target distributions (n, num_classes)."""
        if self.mixer is not None and len(labels) > 1:
            return self.mixer(pixels, labels)
        return pixels, one_hot(labels, self.num_classes).to(pixels.dtype)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss of logits (n, num_classes) against target distributions of the same shape."""
        adjusted = logits.float() + self.adjustment
        return cross_entropy(adjusted, targets, weight=self.weights, label_smoothing=self.label_smoothing)
