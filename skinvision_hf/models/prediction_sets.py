"""Conformal prediction sets: the most probable diagnoses, down to the rank that reaches a coverage."""

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from skinvision_hf.errors import ModelError
from skinvision_hf.labels import CODES
from skinvision_hf.models.release import CONFORMAL_FILE

COVERAGE = 0.9
"""Default coverage of prediction sets: the share of images whose set contains the ground truth."""


@dataclass(frozen=True)
class ConformalPredictor:
    """Split conformal prediction with `lac_scores`.

    Images of one lesion are not exchangeable, so each lesion counts once, shared between its images (Lee, Barber and
    Willett 2023, arXiv:2306.06342). The set of an image of a new lesion then has at least the coverage asked for, under
    two assumptions: new lesions are drawn as those of validation were, and the network does not depend on these. The
    second holds only nearly, since the temperature was fitted on them, so the coverage is measured on test.

    Attributes:
        scores: The scores of the validation images of each diagnosis, ascending, in the order of `CODES`.
        images_of_lesion: For each score, how many images of its lesion are among them.
    """

    scores: tuple[np.ndarray, ...]
    images_of_lesion: tuple[np.ndarray, ...]

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
            scores, images = (
                tuple(np.asarray(content[name][code], dtype=np.float64) for code in CODES)
                for name in ("scores", "images_of_lesion")
            )
            predictor = cls(scores, images)
            predictor.thresholds(COVERAGE)
            return predictor
        except (ValueError, KeyError, TypeError) as error:
            raise ModelError(f"the {CONFORMAL_FILE} of {folder} is damaged; download the release again") from error

    def thresholds(self, coverage: float, *, class_conditional: bool = True) -> np.ndarray:
        """Largest score with which each diagnosis enters a set.

        Args:
            coverage: Share of the images whose set is to contain the ground truth, between 0 and 1.
            class_conditional: Whether each diagnosis gets this coverage, or only all images together, where the
                frequent benign ones may hide that the rare malignant ones are missed.

        Returns:
            Thresholds (7,). A diagnosis with too few validation lesions for the coverage gets an infinite one and is in
            every set.

        Raises:
            ModelError: If the coverage is not between 0 and 1.
        """
        if not 0 < coverage < 1:
            raise ModelError(f"the coverage {coverage} is not between 0 and 1; 0.9 is a common choice")
        shares = tuple(1 / images for images in self.images_of_lesion)
        if class_conditional:
            return np.array([_quantile(s, w, coverage) for s, w in zip(self.scores, shares, strict=True)])
        scores = np.concatenate(self.scores)
        order = np.argsort(scores, kind="stable")
        return np.full(len(CODES), _quantile(scores[order], np.concatenate(shares)[order], coverage))


def lac_scores(probabilities: np.ndarray) -> np.ndarray:
    """Nonconformity score of each diagnosis (n, 7): 1 - its probability (LAC, Sadinle et al. 2019)."""
    return 1 - probabilities


def prediction_sets(probabilities: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Make the prediction sets of probabilities (n, 7) with thresholds (7,) from `ConformalPredictor.thresholds`.

    A set contains the most probable diagnoses down to the least probable one that its threshold admits. Whatever is
    more probable than a member is a member too, which can only raise the coverage.

    Returns:
        Whether each diagnosis is in the set of each image (n, 7). The most probable one always is.
    """
    admitted = np.where(lac_scores(probabilities) <= thresholds, probabilities, np.inf)
    least = np.minimum(admitted.min(axis=1), probabilities.max(axis=1))
    return probabilities >= least[:, None]


def _quantile(scores: np.ndarray, shares: np.ndarray, coverage: float) -> float:
    """The weighted quantile of ascending scores, with one more lesion, the new one, whose score may be anything."""
    reached = np.cumsum(shares)
    needed = coverage * (shares.sum() + 1) - 1e-9
    position = int(np.searchsorted(reached, needed))
    return float(scores[position]) if position < len(scores) else math.inf
