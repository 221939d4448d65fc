"""The out-of-distribution (OOD) detector of a release: tells images that are like the training images from others."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from skinvision_hf.errors import ModelError
from skinvision_hf.files import atomic_write
from skinvision_hf.models.release import OOD_FILE

COMPONENTS = 64
"""Directions along which the covariance is kept in full, so that the file stays small."""


class Network(Protocol):
    """A network, on any runtime."""

    def feature_size(self, stage: int | None) -> int:
        """Length of the pooled features of a stage; None for those that the classifier reads."""


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

    means: np.ndarray
    components: np.ndarray
    variances: np.ndarray

    @classmethod
    def fit(cls, features: np.ndarray, labels: np.ndarray) -> "Mahalanobis":
        """Estimate means and covariance from features (n, d) float32 of training images and their labels (n,)."""
        present, index = np.unique(labels, return_inverse=True)
        means = np.stack([features[labels == k].mean(axis=0) for k in present])
        residual = features - means[index]
        variances, components = np.linalg.eigh(residual.T @ residual / len(residual))
        variances = variances.clip(min=1e-6 * variances[-1])
        rest = variances[:-COMPONENTS].mean() if len(variances) > COMPONENTS else variances[0]
        return cls(means, components[:, -COMPONENTS:], np.append(variances[-COMPONENTS:], rest))

    def closeness(self, features: np.ndarray) -> np.ndarray:
        """Negative distances (n,) of features (n, d) from the nearest class mean."""
        centred = features[:, None] - self.means
        projected = centred @ self.components
        along = (projected**2 / self.variances[:-1]).sum(axis=2)
        rest = ((centred - projected @ self.components.T) ** 2).sum(axis=2) / self.variances[-1]
        return -(along + rest).min(axis=1)


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
    reference: np.ndarray
    refused: float
    unusual: float | None = None
    stage: int | None = None

    def score(self, features: np.ndarray) -> np.ndarray:
        """From pooled features (n, d) float32 to in-distribution scores (n,) in [0, 1]."""
        with np.errstate(invalid="ignore", over="ignore"):
            closeness = np.nan_to_num(self.distance.closeness(features), nan=-np.inf)
        return np.searchsorted(self.reference, closeness, side="right") / len(self.reference)

    def save(self, folder: str | Path) -> Path:
        """Write `ood.safetensors` into a release."""
        tensors = {name: np.ascontiguousarray(values) for name, values in vars(self.distance).items()}
        levels = {"threshold": self.refused, "unusual": self.unusual, "stage": self.stage}
        metadata = {name: str(value) for name, value in levels.items() if value is not None}
        content = save(
            tensors | {"validation_scores": self.reference},
            metadata={"format": "pt", "method": "mahalanobis", **metadata},
        )
        return atomic_write(Path(folder) / OOD_FILE, content)

    @classmethod
    def load(cls, folder: str | Path, network: Network) -> "OODDetector | None":
        """Read the detector of a release; None when it has none.

        Raises:
            ModelError: If the file is damaged or belongs to another network.
        """
        path = Path(folder) / OOD_FILE
        if not path.is_file():
            return None
        try:
            with safe_open(path, framework="np") as file:
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
            detector.score(np.zeros((1, network.feature_size(detector.stage)), np.float32))
        except (ValueError, IndexError) as error:
            raise ModelError(
                f"the {OOD_FILE} of {folder} was fitted for another network; fit a new one, or delete it"
            ) from error
        return detector
