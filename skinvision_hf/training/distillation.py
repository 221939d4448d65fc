"""The teachers of a distillation: finished releases whose mean answer the network learns."""

import numpy as np
import torch
from torch import Tensor

from skinvision_hf.config import DistillConfig
from skinvision_hf.errors import ModelError
from skinvision_hf.files import without_folders
from skinvision_hf.labels import CODES
from skinvision_hf.models.ensembles import symmetric_views
from skinvision_hf.models.folding import fold_batch_norm
from skinvision_hf.models.modeling import SkinVisionForImageClassification
from skinvision_hf.training.losses import log_frequencies

__all__ = ["Teachers"]


class Teachers(torch.nn.Module):
    """An ensemble that turns targets into its members' mean probabilities.

    Args:
        config: Who teaches. Finished releases have their temperature in their weights, so that an overconfident member
            does not outvote the others.
        student: The network that learns.
        labels: Class indices of the training images, (n,).

    Raises:
        ModelError: If a release cannot be loaded, or wants its pixels normalised in another way than the student.
    """

    adjustment: Tensor

    def __init__(self, config: DistillConfig, student: SkinVisionForImageClassification, labels: np.ndarray) -> None:
        super().__init__()
        self.weight, self.views = config.weight, config.views
        self.register_buffer("adjustment", config.logit_adjustment * log_frequencies(labels, len(CODES)))
        members = []
        for release in config.teachers:
            member = SkinVisionForImageClassification.from_pretrained(release)
            if not member.pixels_like(student, "mean", "std"):
                raise ModelError(
                    f"{without_folders(release)} normalises pixels in another way than the network that is to learn "
                    "from it; choose teachers that started from the same kind of weights"
                )
            fold_batch_norm(member.timm_model)
            members.append(member.requires_grad_(False))
        self.members = torch.nn.ModuleList(members)
        self.eval()

    @torch.no_grad()
    def forward(self, pixels: Tensor, targets: Tensor) -> Tensor:
        """Return the targets to learn (n, 7), for normalised images (n, 3, height, width) and their labels' targets."""
        views = symmetric_views(pixels, self.views)
        answers = [self._answer(member, view) for view in views for member in self.members]
        return torch.lerp(targets, torch.stack(answers).mean(dim=0), self.weight)

    def _answer(self, member: torch.nn.Module, pixels: Tensor) -> Tensor:
        probabilities: Tensor = (member(pixels).logits.float() + self.adjustment).softmax(dim=1)
        return probabilities
