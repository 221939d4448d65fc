"""Averages weights over the ends of two cycles of the learning rate."""

import numpy as np
import torch

from skinvision_hf.evaluation.calibration import fold, recorded_temperature
from skinvision_hf.labels import CODES
from skinvision_hf.models.modeling import SkinVisionForImageClassification


def average_with_init(network: SkinVisionForImageClassification, init: str) -> None:
    """Make the weights of a network the mean of its own and of those of the release that it was trained from, in place.

    This is stochastic weight averaging with a cyclical rate (Izmailov et al. 2018, arXiv:1803.05407) over two cycles.
    The temperature of the release is taken out of its classifier first.
    """
    start = SkinVisionForImageClassification.from_pretrained(init)
    fold(start, 1 / recorded_temperature(start), np.zeros(len(CODES)))
    weights = network.timm_model.state_dict()
    with torch.no_grad():
        for name, value in start.timm_model.state_dict().items():
            if value.is_floating_point():
                weights[name].lerp_(value.to(weights[name]), 0.5)
