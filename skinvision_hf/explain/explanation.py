"""The heat map of one image, and how to show it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from PIL import Image

from skinvision_hf.config import CAM_METHOD, CAM_METHODS
from skinvision_hf.errors import ModelError
from skinvision_hf.explain.placement import place_maps, shrink
from skinvision_hf.labels import CODES
from skinvision_hf.models.prediction import Prediction

OPACITY = 0.5
VIRIDIS = (
    "440154 471669 472a79 433c84 3c4d8a 355d8c 2e6c8e 287a8e 23898d 1e978a 20a585 2eb27c 45bf6f 64cb5d 88d547 "
    "afdc2e d7e219 fde724"
)
"""Every fifteenth of the 256 colours of matplotlib's viridis, in hexadecimal."""


class View(NamedTuple):
    """What of an image a network sees: the region in pixels (left, top, right, bottom), and where its cells look."""

    box: tuple[float, float, float, float]
    cell_centres: tuple[Sequence[float], Sequence[float]] | None


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
        """Lay the heat map over the image, with this opacity in [0, 1] at the hottest pixel and less at colder ones."""
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


def explain_heat(
    heat: np.ndarray,
    image: Image.Image,
    prediction: Prediction,
    view: View,
    *,
    target: str,
    method: str,
    max_side: int | None = None,
) -> Explanation:
    """Explain the prediction of one image, upright and in RGB, by a heat map (h, w) of what the network saw.

    The options are those of `SkinVision.explain`.
    """
    shown = shrink(image, max_side) if max_side else image
    heatmap = place_maps(heat, view.box, image.size, target=shown.size, centres=view.cell_centres)
    heatmap /= heatmap.max() or 1
    heatmap.setflags(write=False)
    rows, columns = heat.shape
    row, column = divmod(int(heat.argmax()), columns)
    at_border = bool(heat.any()) and (row in (0, rows - 1) or column in (0, columns - 1))
    return Explanation(heatmap, target, method, prediction, shown, (rows, columns), at_border)


def _viridis() -> np.ndarray:
    """The colours of heat (256, 3) uint8."""
    anchors = np.frombuffer(bytes.fromhex(VIRIDIS), np.uint8).reshape(-1, 3)
    channels = [np.interp(np.arange(256), np.arange(0, 256, 15), channel) for channel in anchors.T]
    return np.stack(channels, axis=1).round().astype(np.uint8)
