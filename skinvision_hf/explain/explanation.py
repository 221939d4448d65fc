"""The heat map of one image, and how to look at it."""

from dataclasses import dataclass

import numpy as np
from PIL import Image
from torch import Tensor

from skinvision_hf.config import CAM_METHOD, CAM_METHODS
from skinvision_hf.data.transforms import crop_box
from skinvision_hf.errors import ModelError
from skinvision_hf.explain.cam import heat_maps
from skinvision_hf.explain.cells import cell_centres
from skinvision_hf.explain.geometry import place_maps, relative, shrink
from skinvision_hf.labels import CODES
from skinvision_hf.models.modeling import SkinVisionForImageClassification
from skinvision_hf.models.prediction import Prediction

__all__ = ["Explanation", "check_choice", "explain_maps"]


@dataclass(frozen=True, eq=False)
class Explanation:
    """Which parts of an image speak for a diagnosis. Educational; it explains the network, not the skin.

    Attributes:
        heatmap: How much each pixel speaks for the target, float32 (height, width) in [0, 1], relative to the pixel
            that does most; read-only. Zero outside of what the network saw, and all zeros where nothing speaks for the
            target.
        target: Code of the diagnosis that is explained.
        method: How; one of `skinvision_hf.config.CAM_METHODS`.
        prediction: What the model says about the image.
        image: The image, upright and in RGB, of the heat map's size.
        cells: Rows and columns of the network's own map, between which the heat map is interpolated.
    """

    heatmap: np.ndarray
    target: str
    method: str
    prediction: Prediction
    image: Image.Image
    cells: tuple[int, int]

    def overlay(self, opacity: float = 0.5) -> Image.Image:
        """Lay the heat map over the image; this does not run the network again.

        Args:
            opacity: Of the hottest pixel, in [0, 1]; colder ones show more of the image.
        """
        from skinvision_hf.figures.explain import blend

        return blend(self.image, self.heatmap, opacity)

    def figure(self) -> Image.Image:
        """Draw the image, the heat map and the overlay side by side, with the prediction and the disclaimer."""
        from skinvision_hf.figures.explain import draw_explanation

        return draw_explanation(self)


def check_choice(target: str | None, method: str = CAM_METHOD) -> None:
    """Reject a diagnosis or a method that does not exist.

    Raises:
        ModelError: If there is none of that name.
    """
    if target is not None and target not in CODES:
        raise ModelError(f"there is no diagnosis {target!r}; choose one of {', '.join(CODES)}")
    if method not in CAM_METHODS:
        raise ModelError(f"there is no method {method!r}; choose one of {', '.join(CAM_METHODS)}")


def explain_maps(
    model: SkinVisionForImageClassification,
    maps: Tensor,
    image: Image.Image,
    prediction: Prediction,
    *,
    target: str | None,
    method: str,
    max_side: int | None = None,
) -> Explanation:
    """Explain the prediction of one image.

    Args:
        model: The network that made it.
        maps: The network's last feature maps for the image, (1, channels, h, w).
        image: The image, upright and in RGB.
        prediction: The prediction.
        target: Code of the diagnosis to explain; the predicted one when None.
        method: One of `skinvision_hf.config.CAM_METHODS`.
        max_side: Longest side of the result in pixels; a larger image is made smaller. None keeps its size.

    Raises:
        ModelError: If the network has no feature maps to look at.
    """
    target = target or prediction.label
    heat = heat_maps(model.timm_model, maps, [CODES.index(target)], method)
    box = crop_box(model.config.pretrained_cfg, image.size)
    shown = shrink(image, max_side) if max_side else image
    heatmap = relative(place_maps(heat, box, image.size, target=shown.size, centres=cell_centres(model)))[0]
    heatmap.setflags(write=False)
    rows, columns = heat.shape[-2:]
    return Explanation(heatmap, target, method, prediction, shown, (rows, columns))
