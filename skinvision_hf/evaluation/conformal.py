"""Conformal prediction sets: fitted on validation, their coverage and size measured on test."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from skinvision_hf.evaluation.bootstrap import Mean, bootstrap
from skinvision_hf.evaluation.predictions import Predictions
from skinvision_hf.files import write_json
from skinvision_hf.labels import CODES
from skinvision_hf.models.prediction import COVERAGE, ConformalPredictor
from skinvision_hf.models.release import CONFORMAL_FILE
from skinvision_hf.records import Estimate, Record

COVERAGES = (0.8, COVERAGE, 0.95)
DIGITS = 6


@dataclass(frozen=True)
class ClassSets(Record):
    """The prediction sets of the images of one diagnosis."""

    coverage: Estimate
    mean_size: Estimate


@dataclass(frozen=True)
class SetQuality(Record):
    """How prediction sets of one coverage do on a split."""

    target: float
    coverage: Estimate
    lesion_coverage: Estimate
    mean_size: Estimate
    per_class: dict[str, ClassSets]


@dataclass(frozen=True)
class ConformalReport(Record):
    """Prediction sets on a split, one entry for each coverage."""

    sets: tuple[SetQuality, ...]

    def find(self, target: float) -> SetQuality:
        """Return the entry of a coverage."""
        return next(sets for sets in self.sets if sets.target == target)


def fit_conformal(validation: Predictions) -> ConformalPredictor:
    """Collect the scores of the ground truth of validation images, from their calibrated probabilities."""
    unfitted = ConformalPredictor(np.array([]), np.array([]))
    scores = unfitted.raps_scores(validation.probabilities)[np.arange(len(validation.labels)), validation.labels]
    # Rounded up, so that rounding can only make sets larger.
    scores = np.ceil(scores * 10**DIGITS) / 10**DIGITS
    order = np.argsort(scores, kind="stable")
    return replace(unfitted, scores=scores[order], images_of_lesion=_images_of_lesion(validation)[order])


def save_conformal(predictor: ConformalPredictor, folder: Path) -> None:
    """Write the scores into a release."""
    content = {
        "schema_version": 3,
        "score": "raps",
        "penalty": predictor.penalty,
        "free_ranks": predictor.free_ranks,
        "scores": np.round(predictor.scores, DIGITS).tolist(),
        "images_of_lesion": predictor.images_of_lesion.tolist(),
    }
    write_json(folder / CONFORMAL_FILE, content)


def measure_conformal(predictor: ConformalPredictor, test: Predictions) -> ConformalReport:
    """Measure how often prediction sets contain the ground truth, and how large they are, on images not fitted on."""
    return ConformalReport(tuple(_set_quality(predictor, test, target) for target in COVERAGES))


def _set_quality(predictor: ConformalPredictor, test: Predictions, target: float) -> SetQuality:
    inside = predictor.prediction_sets(test.probabilities, target)
    covered, size, counts = inside[np.arange(len(inside)), test.labels], inside.sum(axis=1), test.counts
    images = _images_of_lesion(test)
    return SetQuality(
        target=target,
        coverage=bootstrap(Mean(covered), counts),
        lesion_coverage=bootstrap(lambda c: Mean(covered)(c / images), counts),
        mean_size=bootstrap(Mean(size), counts),
        per_class={
            code: ClassSets(
                coverage=bootstrap(Mean(covered, test.labels == k), counts),
                mean_size=bootstrap(Mean(size, test.labels == k), counts),
            )
            for k, code in enumerate(CODES)
        },
    )


def _images_of_lesion(predictions: Predictions) -> np.ndarray:
    """How many images of its lesion there are, for each image (n,)."""
    _, lesion, images = np.unique(np.asarray(predictions.lesion_ids), return_inverse=True, return_counts=True)
    return images[lesion]
