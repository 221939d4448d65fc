"""Conformal prediction sets: fitted on validation, their coverage and size measured on test."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from skinvision_hf.evaluation.bootstrap import Mean, bootstrap
from skinvision_hf.evaluation.predictions import Predictions
from skinvision_hf.files import write_json
from skinvision_hf.labels import CODES
from skinvision_hf.models.prediction_sets import COVERAGE, ConformalPredictor, lac_scores, prediction_sets
from skinvision_hf.models.release import CONFORMAL_FILE
from skinvision_hf.records import Estimate, Record

COVERAGES = (0.8, COVERAGE, 0.95)
DIGITS = 6


@dataclass(frozen=True)
class ClassSets(Record):
    """The prediction sets of the images of one diagnosis.

    Attributes:
        coverage: Share of images whose set contains the ground truth.
        mean_size: Mean number of diagnoses in a set, from 1 to 7.
    """

    coverage: Estimate
    mean_size: Estimate


@dataclass(frozen=True)
class SetQuality(Record):
    """How prediction sets of one kind do on a split.

    Attributes:
        target: The coverage asked for.
        class_conditional: Whether it was asked for each diagnosis, or for all images together.
        coverage: Share of images whose set contains the ground truth.
        lesion_coverage: The same when each lesion counts once, as in the choice of the thresholds.
        mean_size: Mean number of diagnoses in a set, from 1 to 7.
        per_class: The sets of the images of each diagnosis, by code.
    """

    target: float
    class_conditional: bool
    coverage: Estimate
    lesion_coverage: Estimate
    mean_size: Estimate
    per_class: dict[str, ClassSets]


@dataclass(frozen=True)
class ConformalReport(Record):
    """Prediction sets on a split, at several coverages, asked for each diagnosis and for all images together.

    Attributes:
        sets: One entry for each coverage and kind.
    """

    sets: tuple[SetQuality, ...]

    def find(self, target: float, *, class_conditional: bool = True) -> SetQuality:
        """Return the entry of a coverage and kind."""
        return next(s for s in self.sets if (s.target, s.class_conditional) == (target, class_conditional))


def fit_conformal(validation: Predictions) -> ConformalPredictor:
    """Collect the scores of validation images, from their calibrated probabilities."""
    labels, lesion_ids = validation.labels, np.asarray(validation.lesion_ids)
    score = lac_scores(validation.probabilities)[np.arange(len(labels)), labels]
    # Rounded up, so that rounding can only make sets larger.
    score = np.ceil(score * 10**DIGITS) / 10**DIGITS
    scores, images = [], []
    for k in range(len(CODES)):
        rows = np.flatnonzero(labels == k)
        rows = rows[np.argsort(score[rows], kind="stable")]
        _, lesion, count = np.unique(lesion_ids[rows], return_inverse=True, return_counts=True)
        scores.append(score[rows])
        images.append(count[lesion])
    return ConformalPredictor(tuple(scores), tuple(images))


def save_conformal(predictor: ConformalPredictor, folder: str | Path) -> Path:
    """Write the scores into a release."""
    scores, images = (
        {code: np.round(values, DIGITS).tolist() for code, values in zip(CODES, column, strict=True)}
        for column in (predictor.scores, predictor.images_of_lesion)
    )
    content = {"schema_version": 2, "score": "lac", "scores": scores, "images_of_lesion": images}
    return write_json(Path(folder) / CONFORMAL_FILE, content)


def measure_conformal(predictor: ConformalPredictor, test: Predictions) -> ConformalReport:
    """Measure how often prediction sets contain the ground truth, and how large they are.

    Args:
        predictor: Fitted on validation.
        test: Predictions of images that the predictor has not seen.
    """
    kinds = [(target, conditional) for conditional in (True, False) for target in COVERAGES]
    return ConformalReport(tuple(_set_quality(predictor, test, *kind) for kind in kinds))


def _set_quality(predictor: ConformalPredictor, test: Predictions, target: float, conditional: bool) -> SetQuality:
    inside = prediction_sets(test.probabilities, predictor.thresholds(target, class_conditional=conditional))
    covered, size, counts = inside[np.arange(len(inside)), test.labels], inside.sum(axis=1), test.counts
    _, lesion, images = np.unique(np.asarray(test.lesion_ids), return_inverse=True, return_counts=True)
    return SetQuality(
        target=target,
        class_conditional=conditional,
        coverage=bootstrap(Mean(covered), counts),
        lesion_coverage=bootstrap(lambda c: Mean(covered)(c / images[lesion]), counts),
        mean_size=bootstrap(Mean(size), counts),
        per_class={
            code: ClassSets(
                coverage=bootstrap(Mean(covered, test.labels == k), counts),
                mean_size=bootstrap(Mean(size, test.labels == k), counts),
            )
            for k, code in enumerate(CODES)
        },
    )
