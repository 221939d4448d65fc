"""One threshold, chosen on validation and measured on test: what `suspicious` means."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np

from skinvision_hf.errors import ModelError
from skinvision_hf.evaluation.bootstrap import Estimate, Mean, bootstrap
from skinvision_hf.evaluation.predictions import Predictions
from skinvision_hf.labels import CODES, MALIGNANT_CODES
from skinvision_hf.models.release import METRICS_FILE

__all__ = [
    "LEVELS",
    "TASKS",
    "OperatingPoint",
    "choose_threshold",
    "load_operating_point",
    "measure_point",
    "measure_stored_points",
    "task_scores",
]

TASKS: dict[str, tuple[str, ...]] = {"malignant": MALIGNANT_CODES, "melanoma": ("mel",)}
"""The codes that each yes-or-no question is about."""

LEVELS = (0.8, 0.9, 0.95, 0.98)
"""Sensitivities, and specificities, for which a threshold is chosen."""

Kind = Literal["sensitivity", "specificity"]


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold on the probability of a task's codes and what it does on test.

    Attributes:
        task: A key of `TASKS`.
        fixed: Which of the two rates was fixed on validation.
        level: The rate that it reached at least there.
        threshold: Probability from which on an image counts as positive.
        sensitivity: Share of positive test images that are found.
        specificity: Share of negative test images that are cleared.
        precision: Share of truly positive ones among the test images that count as positive.
        negative_predictive_value: Share of truly negative ones among those that are cleared.
    """

    task: str
    fixed: Kind
    level: float
    threshold: float
    sensitivity: Estimate
    specificity: Estimate
    precision: Estimate
    negative_predictive_value: Estimate

    def is_positive(self, probabilities: Mapping[str, float]) -> bool:
        """Decide about one image from the probability of each code."""
        return sum(probabilities[code] for code in TASKS[self.task]) >= self.threshold

    def judge(self, probabilities: Mapping[str, float]) -> dict[str, Any]:
        """Return the decision about one image, and how far to trust it, as a dictionary that JSON can hold."""
        return {"positive": self.is_positive(probabilities), **self.to_dict()}

    def explain(self, probabilities: Mapping[str, float]) -> str:
        """Say the decision about one image, and how far to trust it, in one sentence."""
        decision = "SUSPECTED" if self.is_positive(probabilities) else "not suspected"
        return (
            f"{self.task.capitalize()}: {decision}, by a threshold of {self.threshold:.1%} that found "
            f"{self.sensitivity.percent()} of such test images and cleared {self.specificity.percent()} of the others."
        )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "OperatingPoint":
        """Read what `to_dict` wrote."""
        return cls(**{k: cast(Any, Estimate(**v) if isinstance(v, dict) else v) for k, v in values.items()})

    def to_dict(self) -> dict[str, Any]:
        """Return all attributes as a dictionary that JSON can hold."""
        return asdict(self)


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
        positive: Their truth (n,) bool, with both values present.
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


def measure_point(
    task: str,
    fixed: Kind,
    level: float,
    threshold: float,
    *,
    scores: np.ndarray,
    positive: np.ndarray,
    weights: np.ndarray,
) -> OperatingPoint:
    """Measure a threshold on test scores (n,) and truth (n,) with resamples (R, n)."""
    flagged = scores >= threshold

    def share(of: np.ndarray, among: np.ndarray) -> Estimate:
        return bootstrap(Mean(of[among]), weights[:, among])

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


def load_operating_point(folder: str | Path, *, min_sensitivity: float, task: str = "malignant") -> OperatingPoint:
    """Read from a release the operating point with the lowest sensitivity that is high enough.

    Args:
        folder: The release.
        min_sensitivity: Sensitivity that the threshold must have reached on validation.
        task: A key of `TASKS`.

    Raises:
        ModelError: If the release has no operating points, or none so sensitive.
    """
    stored = _stored_points(folder, task)
    if not stored:
        raise ModelError(
            f"{folder} holds no operating points; take a release that scripts/train.py finished, or leave the minimum "
            "sensitivity out"
        )
    points = sorted((p for p in stored if p.fixed == "sensitivity"), key=lambda point: point.level)
    for point in points:
        if point.level >= min_sensitivity:
            return point
    highest = f"{points[-1].level:g}" if points else "none"
    raise ModelError(
        f"no operating point reaches a sensitivity of {min_sensitivity:g}; the highest one stored is {highest}"
    )


def measure_stored_points(
    folder: str | Path, predictions: Predictions, weights: np.ndarray
) -> dict[str, list[OperatingPoint]]:
    """Measure the thresholds that a release carries, chosen on its validation images, on other data.

    Args:
        folder: The release.
        predictions: Of the data.
        weights: Resamples from `lesion_weights` (R, n).

    Returns:
        The points by task; none for a release without operating points.
    """
    return {
        task: [
            measure_point(
                task,
                point.fixed,
                point.level,
                point.threshold,
                scores=task_scores(task, predictions.probabilities),
                positive=task_positives(task, predictions.labels),
                weights=weights,
            )
            for point in stored
        ]
        for task in TASKS
        if (stored := _stored_points(folder, task))
    }


def _stored_points(folder: str | Path, task: str) -> list[OperatingPoint]:
    try:
        metrics = json.loads((Path(folder) / METRICS_FILE).read_text(encoding="utf-8"))
        return [OperatingPoint.from_dict(point) for point in metrics["operating_points"][task]["points"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []
