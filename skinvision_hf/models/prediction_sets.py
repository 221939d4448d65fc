"""Conformal prediction sets: the most probable diagnoses, down to the rank that reaches a coverage."""

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from skinvision_hf.errors import ModelError
from skinvision_hf.models.release import CONFORMAL_FILE

COVERAGE = 0.9
"""Default coverage of prediction sets: the share of images whose set contains the ground truth."""


@dataclass(frozen=True)
class ConformalPredictor:
    """Split conformal prediction with RAPS scores (Angelopoulos et al. 2021, arXiv:2009.14193), not randomised.

    The score of a diagnosis is the probability of all diagnoses down to its rank, plus a penalty for each rank after
    the first ones. It grows with the rank, so a set is always a prefix of the ranking.

    Images of one lesion are not exchangeable, so each lesion counts once, shared between its images (Lee, Barber and
    Willett 2023, arXiv:2306.06342). The set of an image of a new lesion then has at least the coverage asked for, under
    two assumptions: new lesions are drawn as those of validation were, and the network does not depend on these. The
    second holds only nearly, since the temperature was fitted on them, so the coverage is measured on test.

    Attributes:
        scores: The scores of the ground truth of validation images (n,), ascending.
        images_of_lesion: For each score, how many images of its lesion are among them (n,).
        penalty: Added to the score for each rank after `free_ranks`, at least 0.
        free_ranks: How many ranks cost nothing.
    """

    scores: np.ndarray
    images_of_lesion: np.ndarray
    penalty: float = 0.01
    free_ranks: int = 2

    @classmethod
    def load(cls, folder: str | Path) -> "ConformalPredictor | None":
        """Read the scores of a release; None when it has none.

        Raises:
            ModelError: If the file is damaged.
        """
        path = Path(folder) / CONFORMAL_FILE
        if not path.is_file():
            return None
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            scores, images = (np.asarray(content[name], dtype=np.float64) for name in ("scores", "images_of_lesion"))
            predictor = cls(scores, images, float(content["penalty"]), int(content["free_ranks"]))
            predictor.threshold(COVERAGE)
            return predictor
        except (ValueError, KeyError, TypeError) as error:
            raise ModelError(f"the {CONFORMAL_FILE} of {folder} is damaged; download the release again") from error

    def threshold(self, coverage: float) -> float:
        """Largest score with which a diagnosis enters a set.

        Args:
            coverage: Share of the images whose set is to contain the ground truth, between 0 and 1.

        Returns:
            The threshold; infinite with too few validation lesions for the coverage, so that sets have all diagnoses.

        Raises:
            ModelError: If the coverage is not between 0 and 1.
        """
        if not 0 < coverage < 1:
            raise ModelError(f"the coverage {coverage} is not between 0 and 1; 0.9 is a common choice")
        lesions = np.cumsum(1 / self.images_of_lesion)
        # One more lesion, the new one, whose score may be anything.
        position = int(np.searchsorted(lesions, coverage * (lesions[-1] + 1) - 1e-9))
        return float(self.scores[position]) if position < len(self.scores) else math.inf

    def raps_scores(self, probabilities: np.ndarray) -> np.ndarray:
        """Score (n, 7) of each diagnosis, from probabilities (n, 7)."""
        order = np.argsort(-probabilities, axis=1, kind="stable")
        penalties = self.penalty * np.arange(1 - self.free_ranks, probabilities.shape[1] + 1 - self.free_ranks).clip(0)
        ranked = np.take_along_axis(probabilities, order, axis=1).cumsum(axis=1) + penalties
        scores = np.empty_like(ranked)
        np.put_along_axis(scores, order, ranked, axis=1)
        return scores

    def prediction_sets(self, probabilities: np.ndarray, coverage: float) -> np.ndarray:
        """Make the prediction sets of probabilities (n, 7).

        Returns:
            Whether each diagnosis is in the set of each image (n, 7). The most probable one always is.
        """
        scores = self.raps_scores(probabilities)
        return scores <= np.maximum(scores.min(axis=1, keepdims=True), self.threshold(coverage))
