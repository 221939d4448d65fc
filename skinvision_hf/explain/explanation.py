"""The heat map of one image, and how to show it."""

from dataclasses import dataclass, field

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from skinvision_hf.config import CAM_METHOD, CAM_METHODS
from skinvision_hf.data.transforms import crop_box, eval_transform
from skinvision_hf.errors import ModelError
from skinvision_hf.explain.cam import heat_maps
from skinvision_hf.explain.placement import cell_centres, place_maps, shrink
from skinvision_hf.labels import CODES
from skinvision_hf.models.modeling import EvaluationMode, SkinVisionForImageClassification
from skinvision_hf.models.prediction import Prediction

OPACITY = 0.5
VIRIDIS = (
    "440154 471669 472a79 433c84 3c4d8a 355d8c 2e6c8e 287a8e 23898d 1e978a 20a585 2eb27c 45bf6f 64cb5d 88d547 "
    "afdc2e d7e219 fde724"
)
"""Every fifteenth of the 256 colours of matplotlib's viridis, in hexadecimal."""


@dataclass(frozen=True, eq=False)
class Explanation:
    """Which parts of an image support a diagnosis. Educational; it explains the network, not the skin.

    A notebook shows it as the image with the heat map on top.

    Attributes:
        heatmap: How much each pixel supports the target, float32 (height, width) in [0, 1], where 1 is the pixel with
            the most support; read-only. Zero outside of the network's input, and all zeros if nothing supports the
            target.
        target: Code of the diagnosis that is explained.
        method: How the heat map was computed; one of `skinvision_hf.config.CAM_METHODS`.
        prediction: The prediction for the image.
        image: The image, upright and in RGB, in the heat map's size.
        cells: Rows and columns of the network's last feature maps, from which the heat map is interpolated.
        hottest_at_border: Whether the hottest of these cells is at the border, so that the network may have used
            something other than the lesion. False if nothing supports the target.
    """

    heatmap: np.ndarray = field(repr=False)
    target: str
    method: str
    prediction: Prediction = field(repr=False)
    image: Image.Image = field(repr=False)
    cells: tuple[int, int]
    hottest_at_border: bool

    def overlay(self, opacity: float = OPACITY) -> Image.Image:
        """Lay the heat map over the image; this does not run the network again.

        Args:
            opacity: Opacity of the hottest pixel, in [0, 1]; the colder a pixel, the more transparent.
        """
        layer = heat_layer(self.heatmap)
        alpha = layer.getchannel("A").point(lambda value: round(value * opacity))
        return Image.composite(layer.convert("RGB"), self.image, alpha)

    def _repr_png_(self) -> bytes | None:
        return self.overlay()._repr_png_()


def heat_layer(heatmap: np.ndarray) -> Image.Image:
    """Colour a heat map (height, width) in [0, 1] as RGBA, the colder the more transparent.

    Laid over the image, it gives `Explanation.overlay(1.0)`.
    """
    values = (heatmap * 255).astype(np.uint8)
    return Image.fromarray(np.dstack([_viridis()[values], values]))


def check_choice(target: str | None, method: str = CAM_METHOD) -> None:
    """Raise ModelError for a diagnosis or a method that does not exist."""
    if target is not None and target not in CODES:
        raise ModelError(f"there is no diagnosis {target!r}; choose one of {', '.join(CODES)}")
    if method not in CAM_METHODS:
        raise ModelError(f"there is no method {method!r}; choose one of {', '.join(CAM_METHODS)}")


def explain_image(
    model: SkinVisionForImageClassification, image: Image.Image, *, target: str | None = None, method: str = CAM_METHOD
) -> Explanation:
    """Classify and explain an image with a network alone, in one forward pass; see `explain_maps`."""
    pixels = eval_transform(model.config.pretrained_cfg)(image)[None].to(next(model.parameters()).device)
    with EvaluationMode(model), torch.inference_mode():
        maps = model.timm_model.forward_features(pixels)
        probabilities = model.timm_model.forward_head(maps).double().softmax(dim=1)[0].tolist()
    prediction = Prediction.from_probabilities(probabilities)
    return explain_maps(model, maps, image, prediction, target=target, method=method)


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
    """Explain the prediction of one image, upright and in RGB; the options are those of `SkinVision.explain`.

    `maps` are the network's last feature maps for the image, (1, channels, h, w).

    Raises:
        ModelError: If the network has no feature maps.
    """
    target = target or prediction.label
    heat = heat_maps(model.timm_model, maps, [CODES.index(target)], method)
    box = crop_box(model.config.pretrained_cfg, image.size)
    shown = shrink(image, max_side) if max_side else image
    heatmap = place_maps(heat, box, image.size, target=shown.size, centres=cell_centres(model))[0]
    heatmap /= heatmap.max() or 1
    heatmap.setflags(write=False)
    rows, columns = heat.shape[-2:]
    row, column = divmod(int(heat[0].argmax()), columns)
    at_border = bool(heat.any()) and (row in (0, rows - 1) or column in (0, columns - 1))
    return Explanation(heatmap, target, method, prediction, shown, (rows, columns), at_border)


def _viridis() -> np.ndarray:
    """The colours of heat (256, 3) uint8."""
    anchors = np.frombuffer(bytes.fromhex(VIRIDIS), np.uint8).reshape(-1, 3)
    channels = [np.interp(np.arange(256), np.arange(0, 256, 15), channel) for channel in anchors.T]
    return np.stack(channels, axis=1).round().astype(np.uint8)
