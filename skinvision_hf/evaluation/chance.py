"""How large calibration errors are by chance alone, so that a measured one can be judged."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from skinvision_hf.evaluation.metrics import equal_bins
from skinvision_hf.evaluation.predictions import Predictions
from skinvision_hf.labels import CODES

__all__ = ["ChanceErrors", "ErrorRange", "chance_errors"]

DRAWS = 1000


@dataclass(frozen=True)
class ErrorRange:
    """A calibration error of a perfectly calibrated model.

    Attributes:
        mean: On average over the draws.
        high: The 95th percentile of them.
    """

    mean: float
    high: float


@dataclass(frozen=True)
class ChanceErrors:
    """What a perfectly calibrated model with the same probabilities would show on the same number of images.

    Attributes:
        ece: Expected calibration error of the answer.
        classwise_ece: The same for the probability of each diagnosis, averaged over the seven.
        draws: How often the truth was drawn.
    """

    ece: ErrorRange
    classwise_ece: ErrorRange
    draws: int

    def to_dict(self) -> dict[str, Any]:
        """Return all attributes as a dictionary that JSON can hold."""
        return asdict(self)


def chance_errors(predictions: Predictions, *, draws: int = DRAWS, seed: int = 0) -> ChanceErrors:
    """Draw the truth from the stated probabilities and measure the errors that remain (Broecker and Smith 2007).

    Images of one lesion share the draw, because they share the diagnosis.

    Args:
        predictions: Their labels are not used.
        draws: How often the truth is drawn.
        seed: Seed of the draws.
    """
    probabilities = predictions.probabilities
    _, lesion = np.unique(np.asarray(predictions.lesion_ids), return_inverse=True)
    luck = np.random.default_rng(seed).uniform(size=(draws, int(lesion.max()) + 1))[:, lesion]
    upper = probabilities.cumsum(axis=1)
    upper[:, -1] = 1.0
    lower = upper - probabilities
    answer, rows = probabilities.argmax(axis=1), np.arange(len(lesion))

    def errors(confidence: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        happened = (luck >= low) & (luck < high)
        return np.abs((confidence - happened) @ equal_bins(confidence)).sum(axis=1) / len(lesion)

    ece = errors(probabilities.max(axis=1), lower[rows, answer], upper[rows, answer])
    by_class = [errors(probabilities[:, k], lower[:, k], upper[:, k]) for k in range(len(CODES))]
    return ChanceErrors(_range(ece), _range(np.mean(by_class, axis=0)), draws)


def _range(values: np.ndarray) -> ErrorRange:
    return ErrorRange(float(values.mean()), float(np.quantile(values, 0.95)))
