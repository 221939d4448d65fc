"""The guard of a release: how typical an image is, as a share of validation images."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from skinvision_hf.errors import ModelError
from skinvision_hf.files import atomic_write
from skinvision_hf.models.release import GUARD_FILE
from skinvision_hf.ood.detectors import DETECTORS, Detector, detector_name

__all__ = ["FeatureGuard"]

REJECTED_SHARE = 0.05
"""Share of validation images, drawn on as `fit_guard` does, that the guard gives up so that it can tell others."""


@dataclass(frozen=True)
class FeatureGuard:
    """Tells images like the training images from others, by the features of one stage of the network.

    Typicality is the share of validation images, every second one with hairs or a ruler drawn on it, that look no more
    typical than the image: 0.5 for an ordinary photograph of a lesion, 0 for one that is stranger than all of them.

    Attributes:
        method: A key of `skinvision_hf.ood.detectors.DETECTORS`.
        detector: Fitted on training images.
        validation_scores: Scores of the validation images (m,), ascending.
        stage: Stage of the network whose pooled features the detector reads; None for those that the classifier reads.
        threshold: Typicality from which on an image counts as in distribution; it keeps 95 % of those images.
    """

    method: str
    detector: Detector
    validation_scores: Tensor
    threshold: float = REJECTED_SHARE
    stage: int | None = None

    @property
    def name(self) -> str:
        """What it is called in reports."""
        return detector_name(self.method, self.stage)

    def score(self, features: Tensor) -> Tensor:
        """From pooled features (n, d) of the network to typicality (n,), in [0, 1], on the CPU."""
        scores = torch.nan_to_num(self.detector.score(features.float().cpu()), nan=-torch.inf)
        rank = torch.searchsorted(self.validation_scores, scores, right=True)
        return rank / len(self.validation_scores)

    def save(self, folder: str | Path) -> Path:
        """Write `guard.safetensors` into a release."""
        tensors = {field.name: getattr(self.detector, field.name).contiguous() for field in fields(self.detector)}  # type: ignore[arg-type]  # every detector is a dataclass
        tensors["validation_scores"] = self.validation_scores
        metadata = {"format": "pt", "method": self.method, "threshold": str(self.threshold)}
        metadata |= {} if self.stage is None else {"stage": str(self.stage)}
        return atomic_write(Path(folder) / GUARD_FILE, save(tensors, metadata=metadata))

    @classmethod
    def load(cls, folder: str | Path, *, dimension: int, channels: Sequence[int] = ()) -> "FeatureGuard | None":
        """Read the guard of a release; None when it carries none.

        Args:
            folder: The release.
            dimension: Length of the pooled features that the network's classifier reads.
            channels: The same for each of its stages.

        Raises:
            ModelError: If the file is damaged or belongs to another network.
        """
        path = Path(folder) / GUARD_FILE
        if not path.is_file():
            return None
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata()
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a dictionary
            scores = tensors.pop("validation_scores")
            detector = DETECTORS[metadata["method"]](**tensors)
            stage = int(metadata["stage"]) if "stage" in metadata else None
            guard = cls(metadata["method"], detector, scores, float(metadata["threshold"]), stage)
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            raise ModelError(f"the {GUARD_FILE} of {folder} is damaged; download the release again") from error
        try:
            guard.score(torch.zeros(1, dimension if stage is None else channels[stage]))
        except (RuntimeError, IndexError) as error:
            raise ModelError(
                f"the {GUARD_FILE} of {folder} was fitted for another network; fit a new one, or delete it"
            ) from error
        return guard
