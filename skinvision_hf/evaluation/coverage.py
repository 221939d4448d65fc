"""How often prediction sets hold the truth, and how long they are."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from skinvision_hf.evaluation.bootstrap import Estimate, Mean, bootstrap, lesion_weights
from skinvision_hf.evaluation.conformal import COVERAGE, ConformalPredictor, prediction_sets
from skinvision_hf.evaluation.predictions import Predictions
from skinvision_hf.labels import CODES, diagnosis

__all__ = ["ConformalReport", "SetQuality", "measure_conformal"]

COVERAGES = (0.8, COVERAGE, 0.95)
ASSUMPTION = (
    "The aim assumes new lesions like those of validation, each counted once, and that validation shaped nothing else; "
    "it also chose the epoch and the temperature, so what counts is what was measured."
)


@dataclass(frozen=True)
class SetQuality:
    """How prediction sets of one kind do on a split.

    Attributes:
        target: The coverage asked for.
        class_conditional: Whether it was asked for each diagnosis.
        coverage: Share of images whose set holds the truth.
        lesion_coverage: The same when each lesion counts once, as in the choice of the thresholds.
        mean_size: Mean number of diagnoses in a set, from 1 to 7.
        per_class: The same two numbers for the images of each diagnosis.
    """

    target: float
    class_conditional: bool
    coverage: Estimate
    lesion_coverage: Estimate
    mean_size: Estimate
    per_class: dict[str, tuple[Estimate, Estimate]]

    def worst(self) -> tuple[str, Estimate]:
        """Return the code of the diagnosis whose sets hold the truth least often, and how often."""
        known = {code: coverage for code, (coverage, _) in self.per_class.items() if coverage.value is not None}
        return min(known.items(), key=lambda item: item[1].value or 0.0)

    def to_dict(self) -> dict[str, Any]:
        """Return all attributes as a dictionary that JSON can hold."""
        return {
            "target": self.target,
            "class_conditional": self.class_conditional,
            "coverage": self.coverage.to_dict(),
            "lesion_coverage": self.lesion_coverage.to_dict(),
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
        text = (
            "Instead of one answer, the model can name a short list of diagnoses that aims at holding the true one 9 "
            f"times out of 10. On the images measured here it held it for {each.coverage.percent()}, with lists of "
            f"{each.mean_size.value:.1f} diagnoses on average; a list of one is a confident answer, a long list an "
            f"honest 'I cannot tell'. The aim is set for each diagnosis. {self._by_diagnosis(each)}"
        )
        worst, hidden = overall.worst()
        if hidden.value is None or hidden.value >= (each.per_class[worst][0].value or 0):
            return f"{text} {ASSUMPTION}"
        return (
            f"{text} An aim over all images together, where the most frequent diagnosis is the majority, would give "
            f"lists of {overall.mean_size.value:.1f} diagnoses, but hold {_name(worst)} for only {hidden.value:.0%} of "
            f"its images. {ASSUMPTION}"
        )

    def _by_diagnosis(self, quality: SetQuality) -> str:
        """The diagnosis that is missed most, and all whose interval excludes the aim."""
        worst, coverage = quality.worst()
        missed = [
            f"{_name(code)} ({e.percent()})"
            for code, (e, _) in quality.per_class.items()
            if e.low is not None and e.high is not None and not e.low <= quality.target <= e.high
        ]
        beside = f"the intervals of {', '.join(missed)} exclude it" if missed else "no diagnosis's interval excludes it"
        return f"It is reached least for {_name(worst)}, {coverage.percent()}; {beside}."

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
    _, lesion, count = np.unique(np.asarray(test.lesion_ids), return_inverse=True, return_counts=True)
    images = count[lesion]
    return SetQuality(
        target=target,
        class_conditional=conditional,
        coverage=bootstrap(Mean(covered), weights),
        lesion_coverage=bootstrap(lambda w: Mean(covered)(w / images), weights),
        mean_size=bootstrap(Mean(size), weights),
        per_class={
            code: (bootstrap(Mean(covered[r]), weights[:, r]), bootstrap(Mean(size[r]), weights[:, r]))
            for code, r in rows.items()
        },
    )


def _name(code: str) -> str:
    name = diagnosis(code).name
    return name[0].lower() + name[1:]
