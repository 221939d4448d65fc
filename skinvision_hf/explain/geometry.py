"""From the network's view of an image back to the image."""

import numpy as np

__all__ = ["place_maps"]


def place_maps(
    maps: np.ndarray, box: tuple[float, float, float, float], size: tuple[int, int], *, target: tuple[int, int]
) -> np.ndarray:
    """Lay maps of what the network saw over the image, with bilinear interpolation.

    Args:
        maps: Maps (..., h, w) that cover the box.
        box: The region that the network saw, as `skinvision_hf.transforms.crop_box` returns it.
        size: Width and height of the image in which the box is measured.
        target: Width and height of the result.

    Returns:
        Maps (..., target height, target width) float32; zero where the network did not look.
    """
    left, top, right, bottom = box
    (width, height), (columns, rows) = size, target
    across = _weights(maps.shape[-1], left / width, right / width, columns)
    down = _weights(maps.shape[-2], top / height, bottom / height, rows)
    return down @ maps.astype(np.float32) @ across.T


def _weights(cells: int, low: float, high: float, pixels: int) -> np.ndarray:
    """How much each cell of an axis counts in each pixel (pixels, cells), when the cells fill [low, high] of [0, 1]."""
    position = ((np.arange(pixels) + 0.5) / pixels - low) / (high - low)
    between = np.clip(position * cells - 0.5, 0, cells - 1)
    weights = np.clip(1 - np.abs(between[:, None] - np.arange(cells)), 0, 1)
    weights[(position < 0) | (position > 1)] = 0
    return weights.astype(np.float32)
