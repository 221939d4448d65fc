"""Test-time augmentation: one network's mean answer to several views of an image."""

import math
from collections.abc import Iterator
from itertools import product

import torch
from torch import Tensor
from transformers.modeling_outputs import ImageClassifierOutput

from skinvision_hf.models.modeling import SkinVisionForImageClassification

__all__ = ["AveragedViews", "symmetric_views"]

# Quarter turns, and whether the image is mirrored before; a square image fits the network in any of them. The first
# one, two, four or all of them belong together.
SYMMETRIES = tuple(product((0, 2, 1, 3), (False, True)))


def symmetric_views(pixels: Tensor, count: int) -> Iterator[Tensor]:
    """Yield right-angle symmetries of square images (n, 3, side, side), the images themselves first.

    Args:
        pixels: The images.
        count: How many views; one of `skinvision_hf.config.VIEWS`.
    """
    for turns, mirrored in SYMMETRIES[:count]:
        view = (pixels.flip(-1) if mirrored else pixels).rot90(turns, dims=(-2, -1))
        yield view.contiguous(memory_format=torch.channels_last)


class AveragedViews(torch.nn.Module):
    """Answers with the mean of a network's probabilities over several views of each image.

    Args:
        network: The network.
        count: How many right-angle symmetries it looks at; one of `skinvision_hf.config.VIEWS`.
    """

    def __init__(self, network: SkinVisionForImageClassification, count: int) -> None:
        super().__init__()
        self.network, self.count = network, count

    def forward(self, pixel_values: Tensor) -> ImageClassifierOutput:
        """Return an output whose `logits` (n, 7) are the logarithms of probabilities.

        Args:
            pixel_values: Normalised square images (n, 3, side, side).
        """
        views = symmetric_views(pixel_values, self.count)
        answers = torch.stack([self.network(view).logits.float().log_softmax(dim=1) for view in views])
        return ImageClassifierOutput(logits=answers.logsumexp(dim=0) - math.log(self.count))
