"""A release on torch, on any of its devices."""

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from skinvision_hf.data.transforms import crop_box, eval_transform
from skinvision_hf.errors import ModelError
from skinvision_hf.models.modeling import EvaluationMode, SkinVisionForImageClassification, best_device
from skinvision_hf.models.outputs import NetworkOutputs


class TorchRuntime:
    """A network in evaluation mode on a device.

    Attributes:
        model: The network.
        stage: Whose features OOD detection reads; see `SkinVisionForImageClassification.feature_maps`.
        device: Where it runs.
    """

    stage: int | None = None

    def __init__(self, model: SkinVisionForImageClassification, device: str | torch.device | None = None) -> None:
        self.model = model
        self._transform = eval_transform(model.config.pretrained_cfg)
        self._evaluation_mode = EvaluationMode(model)
        self.to(device if device is not None else best_device())

    @classmethod
    def load(cls, release: Path, device: str | torch.device | None = None) -> "TorchRuntime":
        """Load the network of a release."""
        return cls(SkinVisionForImageClassification.from_pretrained(release), device)

    @property
    def cell_centres(self) -> tuple[list[float], list[float]] | None:
        """Where each row and column of the last feature maps looks, as a share of the input; or None."""
        return self.model.cell_centres

    def to(self, device: str | torch.device) -> None:
        """Move the network to a device.

        Raises:
            ModelError: If the device does not exist or cannot compute.
        """
        try:
            torch.zeros(1, device=device).item()
        except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:
            raise ModelError(f"this machine has no device {str(device)!r} that torch can use; try 'cpu'") from error
        self.device = torch.device(device)
        # Convolutions are faster when a pixel's channels lie side by side.
        self.model.to(device=self.device, memory_format=torch.channels_last)

    def feature_size(self, stage: int | None) -> int:
        """Length of the pooled features of a stage."""
        return self.model.feature_size(stage)

    def view(self, size: tuple[int, int]) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of what the network sees of an image of a size (width, height)."""
        return crop_box(self.model.config.pretrained_cfg, size)

    def prepare(self, image: Image.Image) -> Tensor:
        """From an RGB image to normalised pixels (3, height, width) float32, in any thread."""
        return self._transform(image)

    def compute(self, prepared: Sequence[Tensor]) -> NetworkOutputs:
        """Compute the outputs for the pixels of several images, in one batch."""
        batch = torch.stack(list(prepared)).to(self.device).contiguous(memory_format=torch.channels_last)
        with torch.inference_mode(), self._evaluation_mode:
            maps, features = self.model.feature_maps(batch, stage=self.stage)
            logits = self.model.timm_model.forward_head(maps)
        return NetworkOutputs(logits.float().cpu().numpy(), features.float().cpu().numpy(), maps)
