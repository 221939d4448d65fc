"""Coverage and size of conformal prediction sets."""

from dataclasses import dataclass

import numpy as np

from skinvision_hf.evaluation.bootstrap import Mean, bootstrap, lesion_counts
from skinvision_hf.evaluation.predictions import Predictions
from skinvision_hf.labels import CODES
from skinvision_hf.models.prediction_sets import COVERAGE, ConformalPredictor, prediction_sets
from skinvision_hf.records import Estimate, Record

__all__ = ["ClassSets", "ConformalReport", "SetQuality", "measure_conformal"]

COVERAGES = (0.8, COVERAGE, 0.95)


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

    def worst(self) -> tuple[str, Estimate]:
        """Return the code of the diagnosis with the lowest coverage, and that coverage."""
        known = {code: sets.coverage for code, sets in self.per_class.items() if sets.coverage.value is not None}
        return min(known.items(), key=lambda item: item[1].value or 0.0)


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


def measure_conformal(
    predictor: ConformalPredictor, test: Predictions, *, counts: np.ndarray | None = None
) -> ConformalReport:
    """Measure how often prediction sets contain the ground truth, and how large they are.

    Args:
        predictor: Fitted on validation.
        test: Predictions of images that the predictor has not seen.
        counts: Bootstrap counts from `lesion_counts`; the default ones when None.
    """
    counts = lesion_counts(test.lesion_ids) if counts is None else counts
    return ConformalReport(
        tuple(
            _set_quality(predictor, test, counts, target, conditional)
            for conditional in (True, False)
            for target in COVERAGES
        )
    )


def _set_quality(
    predictor: ConformalPredictor, test: Predictions, counts: np.ndarray, target: float, conditional: bool
) -> SetQuality:
    inside = prediction_sets(test.probabilities, predictor.thresholds(target, class_conditional=conditional))
    covered, size = inside[np.arange(len(inside)), test.labels], inside.sum(axis=1)
    _, lesion, images = np.unique(np.asarray(test.lesion_ids), return_inverse=True, return_counts=True)
    return SetQuality(
        target=target,
        class_conditional=conditional,
        coverage=bootstrap(Mean(covered), counts),
        lesion_coverage=bootstrap(lambda c: Mean(covered)(c / images[lesion]), counts),
        mean_size=bootstrap(Mean(size), counts),
        per_class={
            code: ClassSets(
                bootstrap(Mean(covered[rows]), counts[:, rows]), bootstrap(Mean(size[rows]), counts[:, rows])
            )
            for k, code in enumerate(CODES)
            for rows in [test.labels == k]
        },
    )
