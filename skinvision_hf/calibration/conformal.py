"""Prediction sets: as many diagnoses as it takes to hold the truth as often as asked."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from skinvision_hf.errors import ModelError
from skinvision_hf.files import write_json
from skinvision_hf.labels import CODES

if TYPE_CHECKING:
    from skinvision_hf.metrics import Predictions

__all__ = [
    "CONFORMAL_FILE",
    "COVERAGE",
    "ConformalPredictor",
    "prediction_sets",
]

CONFORMAL_FILE = "conformal.json"
COVERAGE = 0.9
"""How often prediction sets hold the truth unless asked otherwise."""

DIGITS = 6


@dataclass(frozen=True)
class ConformalPredictor:
    """Split conformal prediction with the score of Sadinle et al. (2019, arXiv:1609.00451), 1 - p(truth).

    A set holds every diagnosis whose score is no stranger than those that the truth had on validation images. If new
    images are like those, the set holds the truth at least as often as asked, however good or bad the network is.

    Attributes:
        scores: The scores of the validation images of each diagnosis, ascending, in the order of `CODES`.
    """

    scores: tuple[np.ndarray, ...]

    @classmethod
    def fit(cls, validation: "Predictions") -> "ConformalPredictor":
        """Collect the scores of the validation images."""
        score = 1 - validation.probabilities[np.arange(len(validation.labels)), validation.labels]
        # Rounded up, so that rounding can only make sets larger.
        score = np.ceil(score * 10**DIGITS) / 10**DIGITS
        return cls(tuple(np.sort(score[validation.labels == k]) for k in range(len(CODES))))

    @classmethod
    def load(cls, folder: str | Path) -> "ConformalPredictor | None":
        """Read the scores of a release; None when it carries none.

        Raises:
            ModelError: If the file is damaged.
        """
        path = Path(folder) / CONFORMAL_FILE
        if not path.is_file():
            return None
        try:
            scores = json.loads(path.read_text(encoding="utf-8"))["scores"]
            return cls(tuple(np.asarray(scores[code], dtype=np.float64) for code in CODES))
        except (ValueError, KeyError, TypeError) as error:
            raise ModelError(f"the {CONFORMAL_FILE} of {folder} is damaged; download the release again") from error

    def save(self, folder: str | Path) -> Path:
        """Write the scores into a release."""
        scores = {code: np.round(s, DIGITS).tolist() for code, s in zip(CODES, self.scores, strict=True)}
        return write_json(Path(folder) / CONFORMAL_FILE, {"schema_version": 1, "score": "lac", "scores": scores})

    def thresholds(self, coverage: float, *, class_conditional: bool = True) -> np.ndarray:
        """Largest score with which each diagnosis enters a set.

        Args:
            coverage: How often sets shall hold the truth, between 0 and 1.
            class_conditional: Whether they shall do so for each diagnosis, or only over all images, where the common
                harmless ones may hide that the rare dangerous ones are missed.

        Returns:
            Thresholds (7,). A diagnosis with too few validation images to promise the coverage gets an infinite one
            and is in every set.

        Raises:
            ModelError: If the coverage is not between 0 and 1.
        """
        if not 0 < coverage < 1:
            raise ModelError(f"the coverage {coverage} is not between 0 and 1; 0.9 is a common choice")
        if class_conditional:
            return np.array([_quantile(scores, coverage) for scores in self.scores])
        return np.full(len(CODES), _quantile(np.sort(np.concatenate(self.scores)), coverage))


def prediction_sets(probabilities: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Make the prediction sets of probabilities (n, 7) with thresholds (7,) from `ConformalPredictor.thresholds`.

    Returns:
        Whether each diagnosis is in the set of each image (n, 7). The most probable one always is, so that no set is
        empty.
    """
    inside = 1 - probabilities <= thresholds
    inside[np.arange(len(inside)), probabilities.argmax(axis=1)] = True
    return inside


def _quantile(scores: np.ndarray, coverage: float) -> float:
    """The score at the rank that corrects for the finite number of validation images."""
    rank = math.ceil((len(scores) + 1) * coverage - 1e-9)
    return float(scores[rank - 1]) if rank <= len(scores) else math.inf
