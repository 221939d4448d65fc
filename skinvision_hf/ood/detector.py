"""The out-of-distribution (OOD) detector of a release: tells images that are like the training images from others."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from skinvision_hf.errors import ModelError
from skinvision_hf.files import atomic_write
from skinvision_hf.models.release import OOD_FILE

COMPONENTS = 64
"""Directions along which the covariance is kept in full, so that the file stays small."""


@dataclass(frozen=True)
class Mahalanobis:
    """Squared distance to the nearest class mean under a shared covariance (Lee et al. 2018, arXiv:1807.03888).

    The covariance is exact along the main directions of the features around their class means; along all others one
    variance serves, as in probabilistic principal components (Tipping and Bishop 1999).

    Attributes:
        means: Of each class (k, d).
        components: Main directions (d, c).
        variances: Along each of them, and along every other direction (c + 1,).
    """

    means: Tensor
    components: Tensor
    variances: Tensor

    @classmethod
    def fit(cls, features: Tensor, labels: Tensor) -> "Mahalanobis":
        """Estimate means and covariance from features (n, d) float32 of training images and their labels (n,) int64."""
        present, index = torch.unique(labels, return_inverse=True)
        means = torch.stack([features[labels == k].mean(dim=0) for k in present])
        residual = features - means[index]
        variances, components = torch.linalg.eigh(residual.T @ residual / len(residual))
        variances = variances.clamp_min(1e-6 * float(variances[-1]))
        rest = variances[:-COMPONENTS].mean() if len(variances) > COMPONENTS else variances[0]
        kept = torch.cat([variances[-COMPONENTS:], rest.reshape(1)])
        return cls(means, components[:, -COMPONENTS:].contiguous(), kept)

    def closeness(self, features: Tensor) -> Tensor:
        """Negative distances (n,) of features (n, d) from the nearest class mean."""
        centred = features[:, None] - self.means
        projected = centred @ self.components
        along = (projected.square() / self.variances[:-1]).sum(dim=2)
        rest = (centred - projected @ self.components.T).square().sum(dim=2) / self.variances[-1]
        return -(along + rest).amin(dim=1)


@dataclass(frozen=True)
class OODDetector:
    """Scores images by the pooled features of one stage of the network.

    The in-distribution score of an image is the share of validation images that are no closer to the training images
    than it is: about 0.5 for an ordinary dermatoscopic image, 0 for one that is stranger than all of them.

    Attributes:
        distance: Fitted on training images.
        reference: Closeness of validation images (m,), ascending.
        refused: An image with a smaller score than this is refused: it is out of distribution.
        unusual: An image with a smaller score than this, which is not refused, is answered with a notice. None in
            releases without that level.
        stage: Position of the stage among those of the timm network; None for the features that the classifier reads.
    """

    distance: Mahalanobis
    reference: Tensor
    refused: float
    unusual: float | None = None
    stage: int | None = None

    def score(self, features: Tensor) -> Tensor:
        """From pooled features (n, d) to in-distribution scores (n,) in [0, 1], on the CPU."""
        closeness = torch.nan_to_num(self.distance.closeness(features.float().cpu()), nan=-torch.inf)
        return torch.searchsorted(self.reference, closeness, right=True) / len(self.reference)

    def save(self, folder: str | Path) -> Path:
        """Write `ood.safetensors` into a release."""
        tensors = {name: tensor.contiguous() for name, tensor in vars(self.distance).items()}
        levels = {"threshold": self.refused, "unusual": self.unusual, "stage": self.stage}
        metadata = {name: str(value) for name, value in levels.items() if value is not None}
        content = save(
            tensors | {"validation_scores": self.reference},
            metadata={"format": "pt", "method": "mahalanobis", **metadata},
        )
        return atomic_write(Path(folder) / OOD_FILE, content)

    @classmethod
    def load(cls, folder: str | Path, *, dimension: int, channels: Sequence[int] = ()) -> "OODDetector | None":
        """Read the detector of a release; None when it has none.

        Args:
            folder: The release.
            dimension: Length of the pooled features that the network's classifier reads.
            channels: The same for each of its stages.

        Raises:
            ModelError: If the file is damaged or belongs to another network.
        """
        path = Path(folder) / OOD_FILE
        if not path.is_file():
            return None
        try:
            with safe_open(path, framework="pt") as file:
                levels = file.metadata()
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a dictionary
            detector = cls(
                reference=tensors.pop("validation_scores"),
                distance=Mahalanobis(**tensors),
                refused=float(levels["threshold"]),
                unusual=float(levels["unusual"]) if "unusual" in levels else None,
                stage=int(levels["stage"]) if "stage" in levels else None,
            )
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            raise ModelError(f"the {OOD_FILE} of {folder} is damaged; download the release again") from error
        try:
            detector.score(torch.zeros(1, dimension if detector.stage is None else channels[detector.stage]))
        except (RuntimeError, IndexError) as error:
            raise ModelError(
                f"the {OOD_FILE} of {folder} was fitted for another network; fit a new one, or delete it"
            ) from error
        return detector
