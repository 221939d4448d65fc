"""The training loss: cross-entropy, means against class imbalance, mixing of the batch, and attention to the lesion."""

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, interpolate, one_hot
from torchvision.transforms import v2

from skinvision_hf.config import LossConfig

# Above how much of a mask a mixed pixel counts as lesion.
MASK_THRESHOLD = 0.1
# Below how much lesion in its fullest cell an image shows no lesion; crops may miss it.
SMALLEST_LESION = 0.2
# Below which share the term grows no further, so that single images do not rule the batch.
SMALLEST_SHARE = 0.02
# Exponent of the class frequencies by which each scheme divides.
SCHEMES = {"none": 0.0, "sqrt": 0.5, "inverse": 1.0}


def class_weights(labels: np.ndarray, num_classes: int, scheme: str) -> np.ndarray:
    """Weigh classes by how rare they are among the labels (n,) of the training images; see `LossConfig` for schemes.

    Returns:
        Weights (num_classes,) float64, scaled so that their mean over the training images is 1. A class without
        images gets weight 0.
    """
    counts = np.bincount(labels, minlength=num_classes).astype(float)
    weights = np.where(counts > 0, np.maximum(counts, 1.0) ** -SCHEMES[scheme], 0.0)
    return weights * counts.sum() / (weights * counts).sum()


def lesion_focus_loss(maps: Tensor, targets: Tensor, masks: Tensor) -> Tensor:
    """-log of the share of the true diagnosis's positive class activation map that lies inside the lesion.

    Args:
        maps: Class activation maps (n, num_classes, height, width): the last feature maps, weighted by the classifier.
        targets: Target distributions (n, num_classes); where images are mixed, the maps of their classes are.
        masks: Lesion masks (n, 1, H, W) in [0, 1], of any size.

    Returns:
        The mean over the batch, in which an image counts as 0 whose crop shows no lesion.
    """
    positive = torch.einsum("nc,nchw->nhw", targets, maps.float()).relu()
    inside = (masks > MASK_THRESHOLD).float()
    inside = interpolate(inside, size=maps.shape[-2:], mode="bilinear", antialias=True)[:, 0]
    visible = inside.amax(dim=(1, 2)) > SMALLEST_LESION
    share = (positive * inside).sum(dim=(1, 2)) / positive.sum(dim=(1, 2)).clamp(min=1e-4)
    return (-share.clamp(min=SMALLEST_SHARE).log() * visible).mean()


class ClassificationLoss(torch.nn.Module):
    """Cross-entropy with label smoothing and means against class imbalance, and the mixing of a batch before it.

    The class weights multiply the target distribution, and the batch mean divides by the number of images, so that the
    loss means the same with and without mixing and on any number of processes.

    Args:
        labels: Class indices of the training images, (n,), from which class weights and frequencies come.
        num_classes: Number of classes.
        config: The settings.
    """

    weights: Tensor
    adjustment: Tensor

    def __init__(self, labels: np.ndarray, num_classes: int, config: LossConfig) -> None:
        super().__init__()
        weights = class_weights(labels, num_classes, config.class_weights)
        self.register_buffer("weights", torch.tensor(weights, dtype=torch.float32))
        # A class without images counts as one image, so that its logarithm stays finite.
        counts = torch.from_numpy(np.bincount(labels, minlength=num_classes)).clamp(min=1)
        self.register_buffer("adjustment", config.logit_adjustment * (counts.float() / len(labels)).log())
        self.label_smoothing = config.label_smoothing
        self.num_classes = num_classes
        mixers = [(v2.MixUp, config.mixup_alpha), (v2.CutMix, config.cutmix_alpha)]
        chosen = [mixer(alpha=alpha, num_classes=num_classes) for mixer, alpha in mixers if alpha]
        self.mixer = v2.RandomChoice(chosen) if chosen else None

    def targets(self, pixels: Tensor, labels: Tensor, *, mix: bool) -> tuple[Tensor, Tensor]:
        """Turn images (n, c, H, W) and class indices (n,) into images, mixed or not, and target distributions."""
        if mix and self.mixer is not None and len(labels) > 1:
            return self.mixer(pixels, labels)
        return pixels, one_hot(labels, self.num_classes).to(pixels.dtype)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss of logits (n, num_classes) against target distributions of the same shape."""
        adjusted = logits.float() + self.adjustment
        return cross_entropy(adjusted, targets, weight=self.weights, label_smoothing=self.label_smoothing)
