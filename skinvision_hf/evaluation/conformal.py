"""Prediction sets: as many diagnoses as it takes to hold the truth about as often as asked."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from skinvision_hf.errors import ModelError
from skinvision_hf.files import write_json
from skinvision_hf.labels import CODES
from skinvision_hf.models.release import CONFORMAL_FILE

if TYPE_CHECKING:
    from skinvision_hf.evaluation.predictions import Predictions

__all__ = [
    "COVERAGE",
    "ConformalPredictor",
    "prediction_sets",
]

COVERAGE = 0.9
"""How often prediction sets aim to hold the truth unless asked otherwise."""

DIGITS = 6


@dataclass(frozen=True)
class ConformalPredictor:
    """Split conformal prediction with the score of Sadinle et al. (2019, arXiv:1609.00451), 1 - p(truth).

    A set holds every diagnosis whose score is no stranger than those that the truth had on validation images. Images of
    one lesion are not exchangeable, so each lesion counts once, its images sharing its weight (Lee, Barber and Willett
    2023, arXiv:2306.06342). Then the set of an image of a new lesion holds the truth at least as often as asked, under
    two assumptions: new lesions are drawn as those of validation were, and the network does not depend on these. The
    second holds only nearly, since validation also chose the epoch and the temperature. What is reached is measured on
    test.

    Attributes:
        scores: The scores of the validation images of each diagnosis, ascending, in the order of `CODES`.
        images_of_lesion: For each score, how many images of its lesion are among them; None where each is its own.
    """

    scores: tuple[np.ndarray, ...]
    images_of_lesion: tuple[np.ndarray, ...] | None = None

    @classmethod
    def fit(cls, validation: "Predictions") -> "ConformalPredictor":
        """Collect the scores of the validation images."""
        score = 1 - validation.probabilities[np.arange(len(validation.labels)), validation.labels]
        # Rounded up, so that rounding can only make sets larger.
        score = np.ceil(score * 10**DIGITS) / 10**DIGITS
        scores, images = [], []
        for k in range(len(CODES)):
            rows = np.flatnonzero(validation.labels == k)
            rows = rows[np.argsort(score[rows], kind="stable")]
            lesions = np.asarray(validation.lesion_ids)[rows]
            _, lesion, count = np.unique(lesions, return_inverse=True, return_counts=True)
            scores.append(score[rows])
            images.append(count[lesion])
        return cls(tuple(scores), tuple(images))

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
            content = json.loads(path.read_text(encoding="utf-8"))
            scores = tuple(np.asarray(content["scores"][code], dtype=np.float64) for code in CODES)
            # Files of version 1 do not know which images share a lesion.
            images = content["images_of_lesion"] if content.get("schema_version", 1) > 1 else None
            predictor = cls(scores, images and tuple(np.asarray(images[code], dtype=np.int64) for code in CODES))
            predictor.thresholds(COVERAGE)
            return predictor
        except (ValueError, KeyError, TypeError) as error:
            raise ModelError(f"the {CONFORMAL_FILE} of {folder} is damaged; download the release again") from error

    def save(self, folder: str | Path) -> Path:
        """Write the scores into a release."""
        scores = {code: np.round(s, DIGITS).tolist() for code, s in zip(CODES, self.scores, strict=True)}
        images = {code: n.tolist() for code, n in zip(CODES, self._images(), strict=True)}
        content = {"schema_version": 2, "score": "lac", "scores": scores, "images_of_lesion": images}
        return write_json(Path(folder) / CONFORMAL_FILE, content)

    def thresholds(self, coverage: float, *, class_conditional: bool = True) -> np.ndarray:
        """Largest score with which each diagnosis enters a set.

        Args:
            coverage: How often sets aim to hold the truth, between 0 and 1.
            class_conditional: Whether they shall do so for each diagnosis, or only over all images, where the common
                harmless ones may hide that the rare dangerous ones are missed.

        Returns:
            Thresholds (7,). A diagnosis with too few validation lesions for the coverage gets an infinite one and is in
            every set.

        Raises:
            ModelError: If the coverage is not between 0 and 1.
        """
        if not 0 < coverage < 1:
            raise ModelError(f"the coverage {coverage} is not between 0 and 1; 0.9 is a common choice")
        weights = tuple(1 / images for images in self._images())
        if class_conditional:
            return np.array([_quantile(s, w, coverage) for s, w in zip(self.scores, weights, strict=True)])
        scores = np.concatenate(self.scores)
        order = np.argsort(scores, kind="stable")
        return np.full(len(CODES), _quantile(scores[order], np.concatenate(weights)[order], coverage))

    def _images(self) -> tuple[np.ndarray, ...]:
        return self.images_of_lesion or tuple(np.ones(len(scores), dtype=np.int64) for scores in self.scores)


def prediction_sets(probabilities: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Make the prediction sets of probabilities (n, 7) with thresholds (7,) from `ConformalPredictor.thresholds`.

    Returns:
        Whether each diagnosis is in the set of each image (n, 7). The most probable one always is, so that no set is
        empty.
    """
    inside = 1 - probabilities <= thresholds
    inside[np.arange(len(inside)), probabilities.argmax(axis=1)] = True
    return inside


def _quantile(scores: np.ndarray, weights: np.ndarray, coverage: float) -> float:
    """The weighted quantile of ascending scores, with one more lesion, the new one, whose score may be anything."""
    reached = np.cumsum(weights)
    needed = coverage * (weights.sum() + 1) - 1e-9
    position = int(np.searchsorted(reached, needed))
    return float(scores[position]) if position < len(scores) else math.inf
