"""Pixels for the network: evaluation and training transforms, both derived from the model's own `pretrained_cfg`."""

from collections.abc import Callable
from typing import Any

import timm.data
import torch
from PIL import Image
from timm.data.transforms import str_to_interp_mode
from torch import Tensor
from torchvision.transforms import v2

from skinvision_hf.config import AugmentConfig

__all__ = ["Transform", "crop_box", "eval_transform", "train_transform"]

Transform = Callable[[Image.Image], Tensor]


def eval_transform(pretrained_cfg: dict[str, Any]) -> Transform:
    """Build the evaluation transform: timm's own, so that transformers and timm compute the same pixels.

    Args:
        pretrained_cfg: The `pretrained_cfg` of a release's `config.json`.

    Returns:
        A callable from an RGB image of any size to a normalised float32 tensor (3, height, width).
    """
    return timm.data.create_transform(**timm.data.resolve_data_config(pretrained_cfg), is_training=False)


class RightAngleRotation(torch.nn.Module):
    """Rotate an image tensor (..., H, W) by 0, 90, 180 or 270 degrees, each equally likely."""

    def forward(self, image: Tensor) -> Tensor:
        """Return the rotated image; height and width swap for 90 and 270 degrees."""
        return torch.rot90(image, k=int(torch.randint(4, ())), dims=(-2, -1))


class Tint(torch.nn.Module):
    """Multiply each channel of a float image (3, H, W) in [0, 1] by its own factor, and clip.

    A colour cast like that of another lamp or camera, at a tenth of the cost of a change of hue.

    Args:
        strength: Largest relative change, in [0, 1).
    """

    def __init__(self, strength: float) -> None:
        super().__init__()
        self.strength = strength

    def forward(self, image: Tensor) -> Tensor:
        """Return the tinted image."""
        factors = 1.0 + self.strength * (2.0 * torch.rand(3, 1, 1) - 1.0)
        return (image * factors).clamp_(0.0, 1.0)


def train_transform(pretrained_cfg: dict[str, Any], augment: AugmentConfig) -> Transform:
    """Build the training transform: what a dermatoscope may do to a lesion.

    A lesion has no up or down, so all eight right-angle symmetries are equally likely. The crop keeps between
    `augment.min_scale` and all of the image's area. Colour changes stay mild, because colour carries diagnosis.

    Args:
        pretrained_cfg: The `pretrained_cfg` of the model (input size, interpolation, mean and standard deviation).
        augment: Strengths; see `AugmentConfig`.

    Returns:
        A callable from an RGB image to a normalised float32 tensor (3, height, width), `augment.resolution` times as
        high and wide as the model's input.
    """
    data = timm.data.resolve_data_config(pretrained_cfg)
    height, width = (round(augment.resolution * side) for side in data["input_size"][-2:])
    steps: list[Callable[..., Any]] = [
        v2.PILToTensor(),
        RightAngleRotation(),
        v2.RandomResizedCrop(
            (height, width),
            scale=(augment.min_scale, 1.0),
            ratio=(3 / 4, 4 / 3),
            interpolation=str_to_interp_mode(data["interpolation"]),
            antialias=True,
        ),
        v2.RandomHorizontalFlip(),
    ]
    if augment.colour:
        steps.append(v2.ColorJitter(augment.colour, augment.colour, augment.colour))
    if augment.blur_probability:
        steps.append(v2.RandomApply([v2.GaussianBlur(5, sigma=(0.1, 1.5))], p=augment.blur_probability))
    steps.append(v2.ToDtype(torch.float32, scale=True))
    if augment.tint:
        steps.append(Tint(augment.tint))
    steps.append(v2.Normalize(data["mean"], data["std"]))
    if augment.erase_probability:
        steps.append(v2.RandomErasing(p=augment.erase_probability, scale=(0.02, 0.15), value=0.0))
    return v2.Compose(steps)


def crop_box(pretrained_cfg: dict[str, Any], size: tuple[int, int]) -> tuple[float, float, float, float]:
    """Find the region of an image that the network sees after the evaluation transform.

    Args:
        pretrained_cfg: The `pretrained_cfg` of the model.
        size: Width and height of the original image in pixels.

    Returns:
        Left, top, right and bottom in pixels of the original image. With crop mode `border` they can lie outside
        of it, where the network sees padding.
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
