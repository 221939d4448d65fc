"""Acting on a probability: thresholds chosen on validation and measured on test, net benefit, and abstention.

Curves have 95 % bootstrap bands; each is computed for all resamples at once.
"""

from dataclasses import dataclass
from itertools import product
from typing import get_args

import numpy as np

from skinvision_hf.errors import DataError
from skinvision_hf.evaluation.bootstrap import LEVEL, Mean, Statistic, bootstrap
from skinvision_hf.evaluation.metrics import area_under_roc, roc_rates
from skinvision_hf.evaluation.predictions import Predictions
from skinvision_hf.labels import CODES
from skinvision_hf.models.prediction import TASKS, Kind, OperatingPoint
from skinvision_hf.records import Estimate, Record

LEVELS = (0.8, 0.9, 0.95, 0.98)
"""Sensitivities, and specificities, for which a threshold is chosen."""

DECISION_THRESHOLDS = np.linspace(0.01, 0.6, 60)
FALSE_POSITIVE_RATES = np.linspace(0, 1, 101)
COVERAGES = np.linspace(0.05, 1, 96)
DIGITS = 4


@dataclass(frozen=True)
class Curve(Record):
    """A curve, on the images as they are, and its pointwise 95 % bootstrap band."""

    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    def at(self, x: float) -> float:
        """Return the value at a position, interpolated."""
        return float(np.interp(x, self.x, self.y))


@dataclass(frozen=True)
class TaskReport(Record):
    """One yes-or-no question on a split."""

    codes: tuple[str, ...]
    prevalence: float
    auc: Estimate
    points: tuple[OperatingPoint, ...]
    roc: Curve
    net_benefit: Curve
    net_benefit_of_all: tuple[float, ...]

    def point(self, fixed: str, level: float) -> OperatingPoint:
        """Return the point at which a rate was fixed at a level."""
        return next(p for p in self.points if (p.fixed, p.level) == (fixed, level))


@dataclass(frozen=True)
class Abstention(Record):
    """What is gained when the least confident images are left to a human."""

    aurc: Estimate
    risk: Curve


@dataclass(frozen=True)
class DecisionReport(Record):
    """Both questions and abstention: the section `operating_points` of metrics.json."""

    malignant: TaskReport
    melanoma: TaskReport
    abstention: Abstention

    @property
    def tasks(self) -> dict[str, TaskReport]:
        """The questions by the keys of `TASKS`."""
        return {"malignant": self.malignant, "melanoma": self.melanoma}


def measure_decisions(validation: Predictions, test: Predictions) -> DecisionReport:
    """Choose thresholds on validation and measure them, and the curves, on test, both from calibrated predictions.

    Raises:
        DataError: If a split has no positive or no negative image for a task.
    """
    probabilities, counts = test.probabilities, test.counts
    confidence, wrong = probabilities.max(axis=1), probabilities.argmax(axis=1) != test.labels
    aurc = bootstrap(area_under_risk(confidence, wrong), counts)
    return DecisionReport(
        malignant=_measure_task("malignant", validation, test),
        melanoma=_measure_task("melanoma", validation, test),
        abstention=Abstention(aurc, risk_curve(confidence, wrong, counts)),
    )


def task_scores(task: str, predictions: Predictions) -> tuple[np.ndarray, np.ndarray]:
    """Sum the probabilities of a task's codes to scores (n,), and tell which images are positive (n,) bool."""
    positions = [CODES.index(code) for code in TASKS[task]]
    return predictions.probabilities[:, positions].sum(axis=1), np.isin(predictions.labels, positions)


def choose_threshold(scores: np.ndarray, positive: np.ndarray, *, fixed: Kind, level: float) -> float:
    """The highest threshold with which a sensitivity, or the lowest with which a specificity, reaches a level.

    Scores are those of validation images (n,), with their truth (n,) bool, in which both values are present; the level
    is in (0, 1].
    """
    values = np.sort(scores[positive == (fixed == "sensitivity")])
    needed = int(np.ceil(level * len(values) - 1e-9))
    if fixed == "sensitivity":
        return float(values[-needed])
    return float(np.nextafter(values[needed - 1], np.inf))


def _measure_task(task: str, validation: Predictions, test: Predictions) -> TaskReport:
    (tuning, tuning_truth), (scores, positive) = (task_scores(task, split) for split in (validation, test))
    for name, truth in (("validation", tuning_truth), ("test", positive)):
        if truth.all() or not truth.any():
            needed = f"images with and without {' or '.join(TASKS[task])}"
            raise DataError(f"the {name} split needs {needed}; use more images")
    prevalence = float(positive.mean())
    odds = DECISION_THRESHOLDS / (1 - DECISION_THRESHOLDS)
    points = []
    for fixed, level in product(get_args(Kind), LEVELS):
        threshold = choose_threshold(tuning, tuning_truth, fixed=fixed, level=level)
        points.append(measure_point(task, fixed, level, threshold, test))
    return TaskReport(
        codes=TASKS[task],
        prevalence=prevalence,
        auc=bootstrap(area_under_roc(scores, positive), test.counts),
        points=tuple(points),
        roc=roc_curve(scores, positive, test.counts),
        net_benefit=net_benefit_curve(scores, positive, DECISION_THRESHOLDS, test.counts),
        net_benefit_of_all=tuple(np.round(prevalence - (1 - prevalence) * odds, 4).tolist()),
    )


def measure_point(task: str, fixed: Kind, level: float, threshold: float, test: Predictions) -> OperatingPoint:
    """Measure a threshold that was chosen on validation; see `OperatingPoint` for the arguments."""
    scores, positive = task_scores(task, test)
    flagged = scores >= threshold
    return OperatingPoint(
        task=task,
        fixed=fixed,
        level=level,
        threshold=threshold,
        sensitivity=bootstrap(Mean(flagged, positive), test.counts),
        specificity=bootstrap(Mean(~flagged, ~positive), test.counts),
        precision=bootstrap(Mean(positive, flagged), test.counts),
        negative_predictive_value=bootstrap(Mean(~positive, ~flagged), test.counts),
    )


def roc_curve(scores: np.ndarray, positive: np.ndarray, counts: np.ndarray) -> Curve:
    """Sensitivity against the false positive rate of scores (n,) of the truth (n,) bool, with counts (R, n)."""

    def statistic(counts: np.ndarray) -> np.ndarray:
        rates = zip(*roc_rates(scores, positive, counts), strict=True)
        return np.stack([np.interp(FALSE_POSITIVE_RATES, false, true) for false, true in rates])

    return _with_band(FALSE_POSITIVE_RATES, statistic, counts)


def net_benefit_curve(scores: np.ndarray, positive: np.ndarray, thresholds: np.ndarray, counts: np.ndarray) -> Curve:
    """Net benefit per image of acting on every score from a threshold on (Vickers and Elkin 2006).

    Net benefit is the share of true positives, minus the share of false positives times the odds of the threshold: the
    number of false alarms that someone accepts for one find. The scores are probabilities (n,) of the truth (n,) bool;
    thresholds (m,) are in (0, 1); counts are (R, n).
    """
    gain = np.where(positive[:, None], 1.0, -thresholds / (1 - thresholds)) * (scores[:, None] >= thresholds)

    def statistic(counts: np.ndarray) -> np.ndarray:
        return (counts @ gain) / counts.sum(axis=1, keepdims=True)

    return _with_band(thresholds, statistic, counts)


def risk_curve(confidence: np.ndarray, wrong: np.ndarray, counts: np.ndarray) -> Curve:
    """Error rate among the most confident images against the share of images that are answered.

    `confidence` (n,) says which are answered first, `wrong` (n,) bool which answers are wrong; counts are (R, n).
    """

    def statistic(counts: np.ndarray) -> np.ndarray:
        rows = zip(*_risks(confidence, wrong, counts), strict=True)
        return np.stack([np.interp(COVERAGES, coverage, risk) for coverage, risk in rows])

    return _with_band(COVERAGES, statistic, counts)


def area_under_risk(confidence: np.ndarray, wrong: np.ndarray) -> Statistic:
    """Make the statistic that is the mean risk over all coverages, AURC (Geifman et al. 2019, arXiv:1805.08206)."""

    def statistic(counts: np.ndarray) -> np.ndarray:
        coverage, risk = _risks(confidence, wrong, counts)
        return (np.diff(coverage, axis=1, prepend=0) * risk).sum(axis=1)

    return statistic


def _risks(confidence: np.ndarray, wrong: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coverage and error rate (R, n) as images are added, the most confident first."""
    order = np.argsort(-confidence, kind="stable")
    answered = np.cumsum(counts[:, order], axis=1)
    errors = np.cumsum(counts[:, order] * wrong[order], axis=1)
    return answered / answered[:, -1:], errors / np.maximum(answered, 1)


def _with_band(x: np.ndarray, statistic: Statistic, counts: np.ndarray) -> Curve:
    value = statistic(np.ones((1, counts.shape[1]), dtype=counts.dtype))[0]
    low, high = np.nanquantile(statistic(counts), [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return Curve(*(tuple(np.round(row.astype(np.float64), DIGITS).tolist()) for row in (x, value, low, high)))
