"""The training loss and its weights against class imbalance."""

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot
from torchvision.transforms import v2

from skinvision_hf.config import LossConfig

__all__ = ["ClassificationLoss", "class_weights"]

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


class ClassificationLoss(torch.nn.Module):
    """Weighted cross-entropy with label smoothing, and mixup of the batch.

    The weights multiply the target distribution, and the batch mean divides by the number of images, so that the
    loss means the same with and without mixup and on any number of processes.

    Args:
        weights: Class weights (num_classes,).
        config: Label smoothing and mixup.
        mixup: Whether this phase mixes images.
    """

    weights: Tensor

    def __init__(self, weights: np.ndarray, config: LossConfig, *, mixup: bool) -> None:
        super().__init__()
        self.register_buffer("weights", torch.tensor(weights, dtype=torch.float32))
        self.label_smoothing = config.label_smoothing
        self.num_classes = len(weights)
        self.mixup = (
            v2.MixUp(alpha=config.mixup_alpha, num_classes=self.num_classes) if mixup and config.mixup_alpha else None
        )

    def mix(self, pixels: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Turn a batch of images and class indices into images and target distributions (n, num_classes)."""
        if self.mixup is not None and len(labels) > 1:
            return self.mixup(pixels, labels)
        return pixels, one_hot(labels, self.num_classes).to(pixels.dtype)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss of logits (n, num_classes) against target distributions of the same shape."""
        return cross_entropy(logits.float(), targets, weight=self.weights, label_smoothing=self.label_smoothing)
