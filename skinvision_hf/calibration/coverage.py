"""How often prediction sets hold the truth, and how long they are."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from skinvision_hf.calibration.conformal import COVERAGE, ConformalPredictor, prediction_sets
from skinvision_hf.labels import CODES
from skinvision_hf.metrics import Predictions
from skinvision_hf.metrics.estimates import Estimate, bootstrap, lesion_weights, mean_of

__all__ = ["ConformalReport", "SetQuality", "measure_conformal"]

COVERAGES = (0.8, COVERAGE, 0.95)


@dataclass(frozen=True)
class SetQuality:
    """How prediction sets of one kind do on a split.

    Attributes:
        target: The coverage asked for.
        class_conditional: Whether it was asked for each diagnosis.
        coverage: Share of images whose set holds the truth.
        mean_size: Mean number of diagnoses in a set, from 1 to 7.
        per_class: The same two numbers for the images of each diagnosis.
    """

    target: float
    class_conditional: bool
    coverage: Estimate
    mean_size: Estimate
    per_class: dict[str, tuple[Estimate, Estimate]]

    def to_dict(self) -> dict[str, Any]:
        """Return all attributes as a dictionary that JSON can hold."""
        return {
            "target": self.target,
            "class_conditional": self.class_conditional,
            "coverage": self.coverage.to_dict(),
            "mean_size": self.mean_size.to_dict(),
            "per_class": {
                code: {"coverage": coverage.to_dict(), "mean_size": size.to_dict()}
                for code, (coverage, size) in self.per_class.items()
            },
        }


@dataclass(frozen=True)
class ConformalReport:
    """Prediction sets on a split, at several coverages, for each diagnosis and over all images.

    Attributes:
        sets: One entry for each coverage and kind.
    """

    sets: tuple[SetQuality, ...]

    def find(self, target: float, *, class_conditional: bool = True) -> SetQuality:
        """Return the entry of a coverage and kind."""
        return next(s for s in self.sets if (s.target, s.class_conditional) == (target, class_conditional))

    @property
    def summary(self) -> str:
        """The finding in one paragraph of plain English."""
        each, overall = self.find(COVERAGE), self.find(COVERAGE, class_conditional=False)
        melanoma, hidden = each.per_class["mel"][0].value, overall.per_class["mel"][0].value
        text = (
            "Instead of one answer, the model can name a short list of diagnoses that holds the true one about 9 times "
            f"out of 10. On test images it did so for {each.coverage.value:.0%} of them, with lists of "
            f"{each.mean_size.value:.1f} diagnoses on average; a list of one is a confident answer, a long list an "
            "honest 'I cannot tell'."
        )
        if melanoma is None or hidden is None:
            return text
        text = f"{text} The promise is made for each diagnosis: {melanoma:.0%} of melanomas had melanoma on their list."
        if hidden >= melanoma:
            return text
        return (
            f"{text} A promise over all images together, where ordinary moles are the majority, would give lists of "
            f"{overall.mean_size.value:.1f} diagnoses, but hold melanoma for only {hidden:.0%} of melanomas."
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the section `conformal` of metrics.json."""
        return {"summary": self.summary, "score": "lac", "sets": [quality.to_dict() for quality in self.sets]}


def measure_conformal(
    predictor: ConformalPredictor, test: Predictions, *, weights: np.ndarray | None = None
) -> ConformalReport:
    """Measure how often prediction sets hold the truth, and how large they are.

    Args:
        predictor: Fitted on validation.
        test: Predictions of images that the predictor has not seen.
        weights: Resamples from `lesion_weights`; the default ones when None.
    """
    weights = lesion_weights(test.lesion_ids) if weights is None else weights
    return ConformalReport(
        tuple(
            _set_quality(predictor, test, weights, target, conditional)
            for conditional in (True, False)
            for target in COVERAGES
        )
    )


def _set_quality(
    predictor: ConformalPredictor, test: Predictions, weights: np.ndarray, target: float, conditional: bool
) -> SetQuality:
    inside = prediction_sets(test.probabilities, predictor.thresholds(target, class_conditional=conditional))
    covered, size = inside[np.arange(len(inside)), test.labels], inside.sum(axis=1)
    rows = {code: test.labels == k for k, code in enumerate(CODES)}
    return SetQuality(
        target=target,
        class_conditional=conditional,
        coverage=bootstrap(mean_of(covered), weights),
        mean_size=bootstrap(mean_of(size), weights),
        per_class={
            code: (bootstrap(mean_of(covered[r]), weights[:, r]), bootstrap(mean_of(size[r]), weights[:, r]))
            for code, r in rows.items()
        },
    )
