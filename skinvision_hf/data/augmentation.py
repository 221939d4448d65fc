"""Training pixels: geometry for each image where it is loaded, light and colour for the batch where it is trained.

Changing colours batch by batch costs a tenth of changing them image by image, and runs on the GPU where there is one.
"""

import random
from typing import Any

import timm.data
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2.functional import pil_to_tensor

from skinvision_hf.config import AugmentConfig
from skinvision_hf.data.acquisition import Acquisition

# Weights of red, green and blue in the grey of an image, as torchvision and Pillow have them (ITU-R BT.601).
GREY = (0.299, 0.587, 0.114)


class TrainTransform:
    """Where a training crop lies, how it was taken, and how it is turned; the other half is `BatchAugmentation`.

    A lesion has no up or down, so all eight right-angle symmetries are equally likely. The crop keeps between
    `augment.min_scale` and all of the image's area; the model's `pretrained_cfg` gives its size.
    """

    def __init__(self, pretrained_cfg: dict[str, Any], augment: AugmentConfig) -> None:
        data = timm.data.resolve_data_config(pretrained_cfg)
        self._input_size = data["input_size"][-2:]
        self._augment = augment
        resample = Image.Resampling[data["interpolation"].upper()]
        self._acquire = Acquisition(augment.degrade_probability, augment.artifact_probability, resample)
        self.set_progress(1.0)

    def set_progress(self, share: float) -> None:
        """Set the size of the crops for a share of the phase, from 0 in its first epoch to 1 in its last."""
        last = self._augment.resolution
        first = self._augment.first_resolution or last
        resolution = first + share * (last - first)
        height, width = (round(resolution * side) for side in self._input_size)
        self._size = (width, height)

    def __call__(self, image: Image.Image, mask: Image.Image | None = None) -> Tensor:
        """Crop an RGB image, and its mask in grey, of any size, to uint8 (3, height, width), or 4 with the mask's."""
        scale = (self._augment.min_scale, 1.0)
        top, left, height, width = v2.RandomResizedCrop.get_params(image, scale, (3 / 4, 4 / 3))
        box = (left, top, left + width, top + height)
        crop = pil_to_tensor(self._acquire(image, box, self._size))
        if mask is not None:
            x, y = mask.width / image.width, mask.height / image.height
            box_in_mask = (box[0] * x, box[1] * y, box[2] * x, box[3] * y)
            crop = torch.cat([crop, pil_to_tensor(mask.resize(self._size, Image.Resampling.BILINEAR, box_in_mask))])
        crop = torch.rot90(crop, k=random.randrange(4), dims=(-2, -1))
        return crop.flip(-1) if random.random() < 0.5 else crop


class BatchAugmentation(torch.nn.Module):
    """What lamps and cameras do to the colours of an image, then the model's normalisation.

    Colour changes stay mild, because colour carries diagnosis: saturation, brightness and contrast (each as torchvision
    defines it), then each channel by its own factor, like the cast of another lamp. All four are one affine map of the
    colours of an image, clipped to the range of pixels once, at its end.
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
        self.erase = v2.RandomErasing(p=augment.erase_probability, scale=(0.02, 0.15), value=0.0, inplace=True)

    @torch.no_grad()
    def forward(self, crops: Tensor) -> Tensor:
        """Normalise uint8 crops (n, 3, H, W), or with masks (n, 4, H, W), to float32 with masks in [0, 1]."""
        pixels, masks = crops[:, :3], crops[:, 3:].float().div_(255)
        pixels = self._change_colours(pixels.flatten(2).float().div_(255)).view(pixels.shape)
        pixels.sub_(self.mean).div_(self.std)
        for image in pixels:
            self.erase(image)  # To 0, which is the mean colour now.
        return torch.cat([pixels, masks], dim=1)

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
