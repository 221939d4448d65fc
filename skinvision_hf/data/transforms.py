"""Pixels for the network when it is evaluated and used, derived from the model's own `pretrained_cfg`."""

from collections.abc import Callable
from typing import Any

import timm.data
from PIL import Image
from torch import Tensor


def eval_transform(pretrained_cfg: dict[str, Any]) -> Callable[[Image.Image], Tensor]:
    """Build the evaluation transform, timm's own, so that transformers and timm compute the same pixels.

    It turns an RGB image of any size into a normalised float32 tensor (3, height, width).
    """
    return timm.data.create_transform(**timm.data.resolve_data_config(pretrained_cfg), is_training=False)


def crop_box(pretrained_cfg: dict[str, Any], size: tuple[int, int]) -> tuple[float, float, float, float]:
    """Find the region of an image, `size` (width, height), that the network sees after the evaluation transform.

    Returns:
        Left, top, right and bottom in pixels of the original image. With crop mode `border` they can lie outside of it,
        where the network sees padding.
    """
    data = timm.data.resolve_data_config(pretrained_cfg)
    width, height = size
    input_height, input_width = data["input_size"][-2:]
    # The side lengths, in original pixels, that the network's input window covers.
    scale_x, scale_y = width * data["crop_pct"] / input_width, height * data["crop_pct"] / input_height
    if data["crop_mode"] == "center":
        scale_x = scale_y = min(scale_x, scale_y)
    elif data["crop_mode"] == "border":
        scale_x = scale_y = max(scale_x, scale_y)
    half_width, half_height = scale_x * input_width / 2, scale_y * input_height / 2
    return width / 2 - half_width, height / 2 - half_height, width / 2 + half_width, height / 2 + half_height
