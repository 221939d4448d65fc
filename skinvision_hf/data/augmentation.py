"""Training pixels: geometry for each image where it is loaded, light and colour for the batch where it is trained.

Changing colours batch by batch costs a tenth of changing them image by image, and runs on the GPU where there is one.
"""

from typing import Any

import timm.data
import torch
from PIL import Image
from timm.data.transforms import str_to_interp_mode
from torch import Tensor
from torchvision.transforms import v2

from skinvision_hf.config import AugmentConfig

__all__ = ["BatchAugmentation", "RightAngleRotation", "TrainTransform"]

# Weights of red, green and blue in the grey of an image, as torchvision and Pillow have them (ITU-R BT.601).
GREY = (0.299, 0.587, 0.114)


class RightAngleRotation(torch.nn.Module):
    """Rotate an image tensor (..., H, W) by 0, 90, 180 or 270 degrees, each equally likely."""

    def forward(self, image: Tensor) -> Tensor:
        """Return the rotated image; height and width swap for 90 and 270 degrees."""
        return torch.rot90(image, k=int(torch.randint(4, ())), dims=(-2, -1))


class TrainTransform:
    """Where a training crop lies, how large it becomes and how it is turned; the other half is `BatchAugmentation`.

    A lesion has no up or down, so all eight right-angle symmetries are equally likely. The crop keeps between
    `augment.min_scale` and all of the image's area.

    Args:
        pretrained_cfg: The `pretrained_cfg` of the model (input size and interpolation).
        augment: Strengths; see `AugmentConfig`.
    """

    def __init__(self, pretrained_cfg: dict[str, Any], augment: AugmentConfig) -> None:
        data = timm.data.resolve_data_config(pretrained_cfg)
        self._input_size = data["input_size"][-2:]
        self._augment = augment
        self._crop = v2.RandomResizedCrop(
            self._input_size,
            scale=(augment.min_scale, 1.0),
            ratio=(3 / 4, 4 / 3),
            interpolation=str_to_interp_mode(data["interpolation"]),
            antialias=True,
        )
        self._steps = v2.Compose([v2.PILToTensor(), RightAngleRotation(), self._crop, v2.RandomHorizontalFlip()])
        self.set_progress(1.0)

    def set_progress(self, share: float) -> None:
        """Set the size of the crops for a share of the phase, from 0 in its first epoch to 1 in its last."""
        last = self._augment.resolution
        first = self._augment.first_resolution or last
        resolution = first + share * (last - first)
        self._crop.size = [round(resolution * side) for side in self._input_size]

    def __call__(self, image: Image.Image | Tensor) -> Tensor:
        """Turn an RGB image of any size, or its uint8 tensor, into a crop (3, height, width) uint8."""
        crop: Tensor = self._steps(image)
        return crop


class BatchAugmentation(torch.nn.Module):
    """What lamps, cameras, lenses and hairs do to an image, then the model's normalisation.

    Colour changes stay mild, because colour carries diagnosis: saturation, brightness and contrast (each as torchvision
    defines it), then each channel by its own factor, like the cast of another lamp. All four are one affine map of the
    colours of an image, clipped to the range of pixels once, at its end.

    Args:
        pretrained_cfg: The `pretrained_cfg` of the model (mean and standard deviation).
        augment: Strengths; see `AugmentConfig`.
    """

    mean: Tensor
    std: Tensor
    grey: Tensor

    def __init__(self, pretrained_cfg: dict[str, Any], augment: AugmentConfig) -> None:
        super().__init__()
        data = timm.data.resolve_data_config(pretrained_cfg)
        self.register_buffer("mean", torch.tensor(data["mean"]).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(data["std"]).view(3, 1, 1))
        self.register_buffer("grey", torch.tensor(GREY))
        self.colour, self.tint = augment.colour, augment.tint
        self.blur = v2.RandomApply([v2.GaussianBlur(5, sigma=(0.1, 1.5))], p=augment.blur_probability)
        self.erase = v2.RandomErasing(p=augment.erase_probability, scale=(0.02, 0.15), value=0.0, inplace=True)

    @torch.no_grad()
    def forward(self, crops: Tensor) -> Tensor:
        """Return normalised float32 images of the shape of `crops` (n, 3, height, width) uint8."""
        pixels = self._change_colours(crops.flatten(2).float().div_(255)).view(crops.shape)
        for index, image in enumerate(pixels):
            pixels[index] = self.blur(image)
        pixels.sub_(self.mean).div_(self.std)
        for image in pixels:
            self.erase(image)  # To 0, which is the mean colour now.
        return pixels

    def _change_colours(self, pixels: Tensor) -> Tensor:
        """Pixels (n, 3, height * width) in [0, 1]."""
        n, identity = len(pixels), torch.eye(3, device=pixels.device)
        saturation, brightness, contrast = (self._factors(self.colour, n, 1, 1, like=pixels) for _ in range(3))
        tint = self._factors(self.tint, n, 3, 1, like=pixels)
        # Saturation and contrast mix a pixel with its own grey and with the mean grey of the image.
        matrix = tint * contrast * brightness * (saturation * identity + (1 - saturation) * self.grey)
        mean_grey = (pixels.mean(dim=2) @ self.grey).view(n, 1, 1)
        return torch.baddbmm(tint * (1 - contrast) * brightness * mean_grey, matrix, pixels).clamp_(0.0, 1.0)

    @staticmethod
    def _factors(strength: float, *shape: int, like: Tensor) -> Tensor:
        return 1.0 + strength * (2.0 * torch.rand(shape, device=like.device) - 1.0)
