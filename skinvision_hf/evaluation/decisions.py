"""Acting on a probability: thresholds chosen on validation and measured on test, net benefit, and abstention."""

from dataclasses import dataclass

import numpy as np

from skinvision_hf.errors import DataError
from skinvision_hf.evaluation.bootstrap import Mean, bootstrap, lesion_counts
from skinvision_hf.evaluation.curves import Curve, area_under_risk, net_benefit_curve, risk_curve, roc_curve
from skinvision_hf.evaluation.metrics import area_under_roc
from skinvision_hf.evaluation.predictions import Predictions
from skinvision_hf.labels import CODES
from skinvision_hf.models.operating_points import TASKS, Kind, OperatingPoint
from skinvision_hf.records import Estimate, Record

__all__ = [
    "LEVELS",
    "Abstention",
    "DecisionReport",
    "TaskReport",
    "choose_threshold",
    "measure_decisions",
    "measure_points",
    "task_positives",
    "task_scores",
]

LEVELS = (0.8, 0.9, 0.95, 0.98)
"""Sensitivities, and specificities, for which a threshold is chosen."""

DECISION_THRESHOLDS = np.linspace(0.01, 0.6, 60)


@dataclass(frozen=True)
class TaskReport(Record):
    """One yes-or-no question on a split.

    Attributes:
        codes: The diagnoses that count as yes.
        prevalence: Share of positive images, as they are in the data set; in a practice it is far lower.
        auc: Area under the ROC curve.
        points: Thresholds chosen on validation and measured on test.
        roc: Sensitivity against the false positive rate.
        net_benefit: Net benefit of acting on the model, against the threshold probability.
        net_benefit_of_all: Net benefit of acting on every image, at the same thresholds; that of acting on none is 0.
    """

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
    """What is gained when the least confident images are left to a human.

    Attributes:
        aurc: Mean error rate over all coverages; lower is better.
        risk: Error rate among the answered images, against the share of images that are answered.
    """

    aurc: Estimate
    risk: Curve


@dataclass(frozen=True)
class DecisionReport(Record):
    """Both questions and abstention: the section `operating_points` of metrics.json.

    Attributes:
        malignant: Whether a lesion is malignant or pre-malignant.
        melanoma: Whether it is a melanoma.
        abstention: Risk against coverage of the seven-way answer.
    """

    malignant: TaskReport
    melanoma: TaskReport
    abstention: Abstention

    @property
    def tasks(self) -> dict[str, TaskReport]:
        """The questions by the keys of `TASKS`."""
        return {"malignant": self.malignant, "melanoma": self.melanoma}


def measure_decisions(
    validation: Predictions, test: Predictions, *, counts: np.ndarray | None = None
) -> DecisionReport:
    """Choose thresholds on validation and measure them, and the curves, on test.

    Args:
        validation: Calibrated predictions of the validation split.
        test: Calibrated predictions of the test split.
        counts: Bootstrap counts of the test split from `lesion_counts`; the default ones when None.

    Raises:
        DataError: If a split has no positive or no negative image for a task.
    """
    counts = lesion_counts(test.lesion_ids) if counts is None else counts
    probabilities = test.probabilities
    confidence, wrong = probabilities.max(axis=1), probabilities.argmax(axis=1) != test.labels
    return DecisionReport(
        malignant=_measure_task("malignant", validation, test, counts),
        melanoma=_measure_task("melanoma", validation, test, counts),
        abstention=Abstention(
            bootstrap(area_under_risk(confidence, wrong), counts), risk_curve(confidence, wrong, counts)
        ),
    )


def measure_points(
    points: tuple[OperatingPoint, ...], predictions: Predictions, counts: np.ndarray
) -> tuple[OperatingPoint, ...]:
    """Measure the thresholds that a release carries, chosen on its validation images, on other data.

    Args:
        points: From `skinvision_hf.models.operating_points.stored_points`.
        predictions: Of the data.
        counts: Bootstrap counts from `lesion_counts` (R, n).
    """
    return tuple(_measure_point(p.task, p.fixed, p.level, p.threshold, predictions, counts) for p in points)


def task_scores(task: str, probabilities: np.ndarray) -> np.ndarray:
    """Sum the probabilities (n, 7) of a task's codes to scores (n,)."""
    return probabilities[:, [CODES.index(code) for code in TASKS[task]]].sum(axis=1)


def task_positives(task: str, labels: np.ndarray) -> np.ndarray:
    """Tell which labels (n,) are positive for a task (n,) bool."""
    return np.isin(labels, [CODES.index(code) for code in TASKS[task]])


def choose_threshold(scores: np.ndarray, positive: np.ndarray, *, fixed: Kind, level: float) -> float:
    """Choose the threshold that reaches one rate and serves the other rate best.

    Args:
        scores: Of validation images (n,).
        positive: Their ground truth (n,) bool, with both values present.
        fixed: The rate that must be reached.
        level: What it must reach, in (0, 1].

    Returns:
        The highest threshold that reaches a sensitivity, or the lowest that reaches a specificity.
    """
    values = np.sort(scores[positive == (fixed == "sensitivity")])
    needed = int(np.ceil(level * len(values) - 1e-9))
    if fixed == "sensitivity":
        return float(values[-needed])
    return float(np.nextafter(values[needed - 1], np.inf))


def _measure_task(task: str, validation: Predictions, test: Predictions, counts: np.ndarray) -> TaskReport:
    tuning, tuning_truth = task_scores(task, validation.probabilities), task_positives(task, validation.labels)
    scores, positive = task_scores(task, test.probabilities), task_positives(task, test.labels)
    for name, truth in (("validation", tuning_truth), ("test", positive)):
        if truth.all() or not truth.any():
            raise DataError(
                f"the {name} split needs images with and without {' or '.join(TASKS[task])}; use more images"
            )
    prevalence = float(positive.mean())
    odds = DECISION_THRESHOLDS / (1 - DECISION_THRESHOLDS)
    kinds: tuple[Kind, ...] = ("sensitivity", "specificity")
    points = []
    for fixed in kinds:
        for level in LEVELS:
            threshold = choose_threshold(tuning, tuning_truth, fixed=fixed, level=level)
            points.append(_measure_point(task, fixed, level, threshold, test, counts))
    return TaskReport(
        codes=TASKS[task],
        prevalence=prevalence,
        auc=bootstrap(area_under_roc(scores, positive), counts),
        points=tuple(points),
        roc=roc_curve(scores, positive, counts),
        net_benefit=net_benefit_curve(scores, positive, DECISION_THRESHOLDS, counts),
        net_benefit_of_all=tuple(np.round(prevalence - (1 - prevalence) * odds, 4).tolist()),
    )


def _measure_point(
    task: str, fixed: Kind, level: float, threshold: float, predictions: Predictions, counts: np.ndarray
) -> OperatingPoint:
    flagged = task_scores(task, predictions.probabilities) >= threshold
    positive = task_positives(task, predictions.labels)

    def share(of: np.ndarray, among: np.ndarray) -> Estimate:
        return bootstrap(Mean(of[among]), counts[:, among])

    return OperatingPoint(
        task=task,
        fixed=fixed,
        level=level,
        threshold=threshold,
        sensitivity=share(flagged, positive),
        specificity=share(~flagged, ~positive),
        precision=share(positive, flagged),
        negative_predictive_value=share(~positive, ~flagged),
    )
