"""From the network's view of an image back to the image: where each cell looks, and heat maps laid over the image."""

import json
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import timm
import torch
from PIL import Image
from torch import Tensor, nn

from skinvision_hf.models.modeling import SkinVisionForImageClassification


class _Axis(NamedTuple):
    """Cells along one axis, in pixels of the input: how many, where the first one looks, and how far apart they are."""

    cells: int
    first: float
    step: float


def cell_centres(model: SkinVisionForImageClassification) -> tuple[np.ndarray, np.ndarray]:
    """Find the middle of the receptive field of each row and each column of a network's last feature maps.

    A heat map is usually stretched over the image, as if the cells shared it evenly. They do not. A strided layer with
    PyTorch's padding keeps every second position, beginning with the first, so the first cell of EfficientNet-B0 looks
    at the very edge, and a stretched map lies up to half a cell too far to the right and to the bottom.

    Args:
        model: The network. Only its architecture and the size of its input count.

    Returns:
        Middle of each row (h,) and of each column (w,), as a share of the network's input. Evenly spread for a network
        that becomes smaller by other means than convolutions and pooling.
    """
    height, width = model.config.pretrained_cfg["input_size"][-2:]
    options = json.dumps(model.config.model_args or {}, sort_keys=True)
    axes = zip(_trace(model.config.architecture, options, height, width), (height, width), strict=True)
    down, across = ((axis.first + axis.step * np.arange(axis.cells)) / length for axis, length in axes)
    return down, across


@lru_cache
def _trace(architecture: str, options: str, height: int, width: int) -> tuple[_Axis, _Axis]:
    """Follow an image of this size through all layers that make it smaller; no number is computed."""
    axes = [_Axis(height, 0.5, 1.0), _Axis(width, 0.5, 1.0)]

    def follow(layer: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        before, after = tuple(inputs[0].shape[-2:]), tuple(output.shape[-2:])
        # A shortcut begins where the main path has already left.
        if before != after and before == tuple(axis.cells for axis in axes):
            axes[:] = [_shrink(axis, after[number], layer, number) for number, axis in enumerate(axes)]

    with torch.device("meta"), torch.no_grad():
        network = timm.create_model(architecture, **json.loads(options)).eval()
        for module in network.modules():
            if isinstance(module, (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)):
                module.register_forward_hook(follow)
        rows, columns = network.forward_features(torch.zeros(1, 3, height, width)).shape[-2:]
    if (axes[0].cells, axes[1].cells) != (rows, columns):
        return _Axis(rows, height / rows / 2, height / rows), _Axis(columns, width / columns / 2, width / columns)
    return axes[0], axes[1]


def _shrink(axis: _Axis, cells: int, layer: Any, number: int) -> _Axis:
    """The cells along an axis (`number`: 0 for rows, 1 for columns) after a layer."""

    def along(value: int | tuple[int, ...]) -> int:
        return value if isinstance(value, int) else value[number]

    stride, padding = along(layer.stride), along(layer.padding)
    reach = along(getattr(layer, "dilation", 1)) * (along(layer.kernel_size) - 1)
    if cells != (axis.cells + 2 * padding - reach - 1) // stride + 1:
        # The layer pads by itself, as TensorFlow does, with the odd pixel on the far side.
        padding = max((cells - 1) * stride + reach + 1 - axis.cells, 0) // 2
    return _Axis(cells, axis.first + (reach / 2 - padding) * axis.step, axis.step * stride)


def place_maps(
    maps: np.ndarray,
    box: tuple[float, float, float, float],
    size: tuple[int, int],
    *,
    target: tuple[int, int],
    centres: tuple[np.ndarray, np.ndarray] | None = None,
) -> np.ndarray:
    """Lay maps of what the network saw over the image, with bicubic interpolation (Keys 1981).

    Args:
        maps: Maps (..., h, w) that cover the box.
        box: The region that the network saw, as `skinvision_hf.data.transforms.crop_box` returns it.
        size: Width and height of the image in which the box is measured.
        target: Width and height of the result.
        centres: From `cell_centres`; evenly spread when None.

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


def _weights(centres: np.ndarray, low: float, high: float, pixels: int) -> np.ndarray:
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
