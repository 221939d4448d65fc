"""Several networks, and several views of an image, to one answer."""

import math
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path

import torch
from torch import Tensor
from transformers.modeling_outputs import ImageClassifierOutput

from skinvision_hf.config import VIEWS
from skinvision_hf.errors import DataError, ModelError
from skinvision_hf.files import without_folders
from skinvision_hf.models.modeling import SkinVisionForImageClassification

__all__ = ["Ensemble", "symmetric_views"]

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


class Ensemble(torch.nn.Module):
    """Answers with the mean of the probabilities of several releases, each of which looks at several views.

    Args:
        refs: Release folders or Hub ids.
        views: How many of an image's right-angle symmetries each member looks at; one of `skinvision_hf.config.VIEWS`.

    Raises:
        DataError: If there is no release, or another number of views.
        ModelError: If a release cannot be loaded, or takes images of another size or normalisation than the first one.
    """

    def __init__(self, refs: Sequence[str | Path], *, views: int = 1) -> None:
        super().__init__()
        if views not in VIEWS or not refs:
            allowed = ", ".join(map(str, VIEWS))
            raise DataError(f"there are {len(refs)} releases and {views} views; give one or more, and one of {allowed}")
        members = [SkinVisionForImageClassification.from_pretrained(ref) for ref in refs]
        for ref, member in zip(refs, members, strict=True):
            if not member.pixels_like(members[0], "input_size", "mean", "std"):
                raise ModelError(
                    f"{without_folders(str(ref))} takes other pixels than {without_folders(str(refs[0]))}; "
                    "choose releases of one input size and normalisation"
                )
        self.config = members[0].config
        self.members = torch.nn.ModuleList(members)
        self.views = views
        self.eval()

    def forward(self, pixel_values: Tensor) -> ImageClassifierOutput:
        """Return an output whose `logits` (n, 7) are the logarithms of probabilities.

        Args:
            pixel_values: Normalised square images (n, 3, side, side).
        """
        answers = []
        for view in symmetric_views(pixel_values, self.views):
            answers += [member(view).logits.float().log_softmax(dim=1) for member in self.members]
        mean = torch.stack(answers).logsumexp(dim=0) - math.log(len(answers))
        return ImageClassifierOutput(logits=mean)
