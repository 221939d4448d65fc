"""What heat maps must beat: the centre-bias baseline, and networks with random weights."""

import copy

import numpy as np
import torch
from torch import Tensor

from skinvision_hf.models.modeling import SkinVisionForImageClassification

SPREAD = 0.25
"""Standard deviation of the centre-bias baseline, as a share of the image's sides."""


def centre_prior(size: tuple[int, int]) -> np.ndarray:
    """The centre-bias baseline for an image of this width and height: a map (height, width) float32 in [0, 1].

    It is a Gaussian in the middle, the same for every image, since photographers centre lesions.
    """
    across, down = (np.exp(-((((np.arange(n) + 0.5) / n - 0.5) / SPREAD) ** 2) / 2) for n in size)
    return np.outer(down, across).astype(np.float32)


def randomise(
    model: SkinVisionForImageClassification, what: str, pixels: Tensor, *, seed: int = 0
) -> SkinVisionForImageClassification:
    """Copy a network with random weights, to see whether its heat maps change (Adebayo et al. 2018, arXiv:1810.03292).

    Args:
        model: The network; it is not changed.
        what: `classifier` for the last layer alone, `all` for every layer.
        pixels: Normalised images (n, 3, height, width) from which a fully random network takes the statistics of its
            batch norms; without them its signal would vanish and it would have no heat map.
        seed: Seed of the new weights.

    Returns:
        The copy, in evaluation mode.
    """
    random = copy.deepcopy(model).eval()
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        if what == "classifier":
            random.timm_model.get_classifier().reset_parameters()
            return random
        for module in random.modules():
            if callable(reset := getattr(module, "reset_parameters", None)):
                reset()
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = None
        random.train()(pixels)
    return random.eval()
