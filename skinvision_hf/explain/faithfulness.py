"""Whether the network itself cares about the pixels that a heat map calls important."""

from collections.abc import Sequence

import numpy as np
import torch
from pytorch_grad_cam.metrics.road import ROADCombined
from pytorch_grad_cam.utils.model_targets import ClassifierOutputSoftmaxTarget
from torch import Tensor

__all__ = ["KEPT_PERCENTAGES", "road_scores"]

KEPT_PERCENTAGES = (50, 70, 90)
"""Shares of the pixels that stay, in percent, over which the score is averaged."""


def road_scores(
    network: torch.nn.Module, pixels: Tensor, maps: np.ndarray, targets: Sequence[int], *, seed: int = 0
) -> np.ndarray:
    """Remove the most and the least important pixels and compare (ROAD, Rong et al. 2022, arXiv:2202.00449).

    Removed pixels are filled in from their neighbours, so that the network sees no holes.

    Args:
        network: A timm network in evaluation mode.
        pixels: Normalised images (n, 3, height, width).
        maps: Heat (n, height, width); only the order of the pixels counts.
        targets: Class of each image whose probability is watched.
        seed: Seed of the noise in what is filled in, and of the order of equally hot pixels.

    Returns:
        For each image, half of how much more probability it loses when the most important pixels go than when the least
        important ones go, in [-0.5, 0.5]; 0 for a map that knows nothing.
    """
    generator = np.random.default_rng(seed)
    ranks = np.stack([_ranks(heat, generator) for heat in maps])
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return ROADCombined(percentiles=list(KEPT_PERCENTAGES))(
            pixels, ranks, [ClassifierOutputSoftmaxTarget(k) for k in targets], network
        )


def _ranks(heat: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Every pixel's place in the order of heat, in (0, 1].

    Heat maps hold many exact zeros, and a share of pixels cannot be cut off among equals.
    """
    order = np.lexsort((generator.random(heat.size), heat.ravel()))
    ranks = np.empty(heat.size, np.float32)
    ranks[order] = np.arange(1, heat.size + 1, dtype=np.float32) / heat.size
    return ranks.reshape(heat.shape)
