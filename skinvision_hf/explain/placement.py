"""Lays heat maps, which cover what the network saw, over the image."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

FLAT = 1e-6
"""Contrast of a map, as a share of its largest value, below which it is rounding."""


def stretch(heat: np.ndarray) -> np.ndarray:
    """Stretch the positive part of maps (n, h, w) to [0, 1], as float32.

    A map without any positive part, or without any contrast, says nothing about where to look and becomes all zeros.
    """
    heat = heat.clip(min=0)
    low, high = heat.min(axis=(1, 2), keepdims=True), heat.max(axis=(1, 2), keepdims=True)
    flat = high - low <= FLAT * np.abs(high)
    return np.where(flat, 0, (heat - low) / np.where(flat, 1, high - low)).astype(np.float32)


def place_maps(
    maps: np.ndarray,
    box: tuple[float, float, float, float],
    size: tuple[int, int],
    *,
    target: tuple[int, int],
    centres: tuple[Sequence[float], Sequence[float]] | None = None,
) -> np.ndarray:
    """Lay maps of what the network saw over the image, with bicubic interpolation (Keys 1981).

    Args:
        maps: Maps (..., h, w) that cover the box.
        box: The region that the network saw, as `skinvision_hf.data.transforms.crop_box` returns it.
        size: Width and height of the image in which the box is measured.
        target: Width and height of the result.
        centres: Middle of each row and of each column of the maps, as a share of the box; evenly spread when None.

    Returns:
        Maps (..., target height, target width) float32, not negative; zero where the network did not look.
    """
    left, top, right, bottom = box
    (width, height), (columns, rows) = size, target
    middle = centres or tuple((np.arange(cells) + 0.5) / cells for cells in maps.shape[-2:])
    down = _weights(middle[0], top / height, bottom / height, rows)
    across = _weights(middle[1], left / width, right / width, columns)
    # Cubic curves swing past the values that they join.
    return (down @ maps.astype(np.float32) @ across.T).clip(min=0)


def shrink(image: Image.Image, side: int) -> Image.Image:
    """Make an image smaller, so that no side is longer than this; one that is small enough is returned itself."""
    scale = side / max(image.size)
    if scale >= 1:
        return image
    width, height = (max(1, round(length * scale)) for length in image.size)
    return image.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=2)


def _weights(centres: Sequence[float], low: float, high: float, pixels: int) -> np.ndarray:
    """How much each cell of an axis counts in each pixel (pixels, cells), when the view fills [low, high] of [0, 1].

    Beyond the first and the last centre the map stays as it is there.
    """
    cells = len(centres)
    position = ((np.arange(pixels) + 0.5) / pixels - low) / (high - low)
    steps = np.interp(position, centres, np.arange(cells))
    first = np.floor(steps).astype(int)
    weights = np.zeros((pixels, cells), np.float32)
    for cell in (first - 1, first, first + 1, first + 2):
        np.add.at(weights, (np.arange(pixels), cell.clip(0, cells - 1)), _cubic(np.abs(steps - cell)))
    weights[(position < 0) | (position > 1)] = 0
    return weights


def _cubic(distance: np.ndarray) -> np.ndarray:
    """The kernel of cubic convolution with a = -0.5, as Pillow has it."""
    near = (1.5 * distance - 2.5) * distance**2 + 1
    far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    return np.where(distance < 1, near, np.where(distance < 2, far, 0))
