"""Where in the input each cell of a network's last feature maps looks."""

import json
from functools import lru_cache
from typing import Any, NamedTuple

import timm
import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig

# What networks raise whose features are not one tensor, or that cannot compute without numbers.
UNTRACEABLE = (AttributeError, TypeError, ValueError, LookupError, RuntimeError, AssertionError)


class _Axis(NamedTuple):
    """Cells along one axis, in pixels of the input: how many, where the first one looks, and how far apart they are."""

    cells: int
    first: float
    step: float


def cell_centres(config: PreTrainedConfig) -> tuple[list[float], list[float]] | None:
    """Find the middle of the receptive field of each row and each column of a network's last feature maps.

    A heat map is usually stretched over the image, as if the cells shared it evenly. They do not. A strided layer with
    PyTorch's padding keeps every second position, beginning with the first, so the first cell of EfficientNet-B0 looks
    at the very edge, and a stretched map lies up to half a cell too far to the right and to the bottom.

    Returns:
        Middle of each row and of each column, as a share of the network's input. Evenly spread for a network that
        becomes smaller by other means than convolutions and pooling. None for a network without feature maps, or one
        that cannot be followed.
    """
    height, width = config.pretrained_cfg["input_size"][-2:]
    options = json.dumps(config.model_args or {}, sort_keys=True)
    try:
        axes = _trace(config.architecture, options, height, width)
    except UNTRACEABLE:
        return None
    if axes is None:
        return None
    down, across = (
        [(axis.first + axis.step * cell) / length for cell in range(axis.cells)]
        for axis, length in zip(axes, (height, width), strict=True)
    )
    return down, across


@lru_cache
def _trace(architecture: str, options: str, height: int, width: int) -> tuple[_Axis, _Axis] | None:
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
        shape = network.forward_features(torch.zeros(1, 3, height, width)).shape
    if len(shape) != 4 or shape[1] != network.num_features:
        return None
    rows, columns = shape[-2:]
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
