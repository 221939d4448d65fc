"""The heat map as a layer of its own, for pages that blend it with the image themselves."""

import matplotlib as mpl
import numpy as np
from PIL import Image

from skinvision_hf.figures.explain import COLOUR_MAP

__all__ = ["heat_layer"]


def heat_layer(heatmap: np.ndarray) -> Image.Image:
    """Colour a heat map, the colder the more transparent: laid over the image it gives `Explanation.overlay(1.0)`.

    Args:
        heatmap: (height, width) in [0, 1].

    Returns:
        An RGBA image of the same size.
    """
    values = (heatmap * 255).astype(np.uint8)
    colours = mpl.colormaps[COLOUR_MAP](np.arange(256), bytes=True)[values]
    colours[..., 3] = values
    return Image.fromarray(colours)
