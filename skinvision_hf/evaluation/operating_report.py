"""Everything about acting on a probability: thresholds, ROC, net benefit, and when to abstain."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from skinvision_hf.errors import DataError
from skinvision_hf.evaluation.bootstrap import Estimate, bootstrap, lesion_weights
from skinvision_hf.evaluation.metrics import area_under_roc
from skinvision_hf.evaluation.operating_curves import (
    Curve,
    area_under_risk,
    net_benefit_curve,
    risk_curve,
    roc_curve,
)
from skinvision_hf.evaluation.operating_points import (
    LEVELS,
    TASKS,
    OperatingPoint,
    choose_threshold,
    measure_point,
    task_positives,
    task_scores,
)
from skinvision_hf.evaluation.predictions import Predictions

__all__ = ["Abstention", "OperatingPointsReport", "TaskReport", "measure_operating_points"]

DECISION_THRESHOLDS = np.linspace(0.01, 0.6, 60)


@dataclass(frozen=True)
class TaskReport:
    """One yes-or-no question on a split.

    Attributes:
        task: A key of `TASKS`.
        prevalence: Share of positive images, as they are in the data set; in a practice it is far lower.
        auc: Area under the ROC curve.
        points: Thresholds chosen on validation and measured on test.
        roc: Sensitivity against the false positive rate.
        net_benefit: Net benefit of acting on the model, against the threshold probability.
        net_benefit_of_all: Net benefit of acting on every image, at the same thresholds; that of acting on none is 0.
    """

    task: str
    prevalence: float
    auc: Estimate
    points: tuple[OperatingPoint, ...]
    roc: Curve
    net_benefit: Curve
    net_benefit_of_all: tuple[float, ...]

    def point(self, fixed: str, level: float) -> OperatingPoint:
        """Return the point at which a rate was fixed at a level."""
        return next(p for p in self.points if (p.fixed, p.level) == (fixed, level))

    def to_dict(self) -> dict[str, Any]:
        """Return all attributes as a dictionary that JSON can hold."""
        return {
            "codes": list(TASKS[self.task]),
            "prevalence": self.prevalence,
            "auc": self.auc.to_dict(),
            "points": [point.to_dict() for point in self.points],
            "roc": self.roc.to_dict(),
            "net_benefit": self.net_benefit.to_dict(),
            "net_benefit_of_all": list(self.net_benefit_of_all),
        }


@dataclass(frozen=True)
class Abstention:
    """What is gained when the least confident images are left to a human.

    Attributes:
        aurc: Mean error rate over all coverages; lower is better.
        risk: Error rate among the answered images, against the share of images that are answered.
    """

    aurc: Estimate
    risk: Curve

    def to_dict(self) -> dict[str, Any]:
        """Return all attributes as a dictionary that JSON can hold."""
        return {"aurc": self.aurc.to_dict(), "risk": self.risk.to_dict()}


@dataclass(frozen=True)
class OperatingPointsReport:
    """Both questions and abstention.

    Attributes:
        tasks: By the keys of `TASKS`.
        abstention: Risk against coverage of the seven-way answer.
    """

    tasks: dict[str, TaskReport]
    abstention: Abstention

    @property
    def summary(self) -> str:
        """The finding in one paragraph of plain English."""
        point = self.tasks["malignant"].point("sensitivity", 0.95)
        melanoma = self.tasks["melanoma"].point("sensitivity", 0.95)
        risk = self.abstention.risk
        return (
            "How often the model raises an alarm is a choice: a lower threshold finds more cancers and alarms more "
            "healthy people. With the threshold that found 95% of malignant lesions on validation images (an alarm "
            f"from a malignant probability of {point.threshold:.1%} on), it found {point.sensitivity.percent()} of "
            f"those in the test set and rightly cleared {point.specificity.percent()} of the benign ones. For melanoma "
            f"alone, the same choice found {melanoma.sensitivity.percent()} and cleared "
            f"{melanoma.specificity.percent()} of all others. Left to answer everything the model is wrong on "
            f"{risk.at(1.0):.0%} of the images; if it may pass the least certain fifth to a human, it is wrong on "
            f"{risk.at(0.8):.0%} of the rest. In this data set {self.tasks['malignant'].prevalence:.0%} of the images "
            "are malignant, far more than a practice sees, so an alarm means less there."
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the section `operating_points` of metrics.json."""
        tasks = {name: task.to_dict() for name, task in self.tasks.items()}
        return {"summary": self.summary, **tasks, "abstention": self.abstention.to_dict()}


def measure_operating_points(
    validation: Predictions, test: Predictions, *, weights: np.ndarray | None = None
) -> OperatingPointsReport:
    """Choose thresholds on validation and measure them, and the curves, on test.

    Args:
        validation: Calibrated predictions of the validation split.
        test: Calibrated predictions of the test split.
        weights: Resamples of the test split from `lesion_weights`; the default ones when None.

    Raises:
        DataError: If a split has no positive or no negative image for a task.
    """
    weights = lesion_weights(test.lesion_ids) if weights is None else weights
    probabilities = test.probabilities
    confidence, wrong = probabilities.max(axis=1), probabilities.argmax(axis=1) != test.labels
    return OperatingPointsReport(
        tasks={task: _measure_task(task, validation, test, weights) for task in TASKS},
        abstention=Abstention(
            bootstrap(area_under_risk(confidence, wrong), weights), risk_curve(confidence, wrong, weights)
        ),
    )


def _measure_task(task: str, validation: Predictions, test: Predictions, weights: np.ndarray) -> TaskReport:
    tuning, tuning_truth = task_scores(task, validation.probabilities), task_positives(task, validation.labels)
    scores, positive = task_scores(task, test.probabilities), task_positives(task, test.labels)
    for name, truth in (("validation", tuning_truth), ("test", positive)):
        if truth.all() or not truth.any():
            raise DataError(
                f"the {name} split needs images with and without {' or '.join(TASKS[task])}; use more images"
            )
    prevalence = float(positive.mean())
    odds = DECISION_THRESHOLDS / (1 - DECISION_THRESHOLDS)
    points = []
    for fixed in ("sensitivity", "specificity"):
        for level in LEVELS:
            threshold = choose_threshold(tuning, tuning_truth, fixed=fixed, level=level)
            points.append(
                measure_point(task, fixed, level, threshold, scores=scores, positive=positive, weights=weights)
            )
    return TaskReport(
        task=task,
        prevalence=prevalence,
        auc=bootstrap(area_under_roc(scores, positive), weights),
        points=tuple(points),
        roc=roc_curve(scores, positive, weights),
        net_benefit=net_benefit_curve(scores, positive, DECISION_THRESHOLDS, weights),
        net_benefit_of_all=tuple(np.round(prevalence - (1 - prevalence) * odds, 4).tolist()),
    )
