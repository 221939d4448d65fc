"""Thresholds on the probability of malignancy or of melanoma: what `suspicious` means."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from skinvision_hf.errors import DataError, ModelError
from skinvision_hf.labels import MALIGNANT_CODES
from skinvision_hf.models.release import METRICS_FILE
from skinvision_hf.records import Estimate, Record

__all__ = ["TASKS", "Kind", "OperatingPoint", "load_operating_point", "stored_points"]

TASKS: dict[str, tuple[str, ...]] = {"malignant": MALIGNANT_CODES, "melanoma": ("mel",)}
"""The codes that each yes-or-no question is about."""

Kind = Literal["sensitivity", "specificity"]


@dataclass(frozen=True)
class OperatingPoint(Record):
    """A threshold on the probability of a task's codes, chosen on validation and measured on test.

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


def stored_points(folder: str | Path, task: str = "malignant") -> tuple[OperatingPoint, ...]:
    """Read the operating points of a release for a task; none where it has none."""
    try:
        metrics = json.loads((Path(folder) / METRICS_FILE).read_text(encoding="utf-8"))
        return tuple(OperatingPoint.from_dict(point) for point in metrics["operating_points"][task]["points"])
    except (OSError, ValueError, KeyError, TypeError, DataError):
        return ()


def load_operating_point(folder: str | Path, *, min_sensitivity: float, task: str = "malignant") -> OperatingPoint:
    """Read from a release the operating point with the lowest sensitivity that is high enough.

    Args:
        folder: The release.
        min_sensitivity: Sensitivity that the threshold must have reached on validation.
        task: A key of `TASKS`.

    Raises:
        ModelError: If the release has no operating points, or none so sensitive.
    """
    points = sorted((p for p in stored_points(folder, task) if p.fixed == "sensitivity"), key=lambda p: p.level)
    if not points:
        raise ModelError(f"{folder} has no operating points; take a release that `skinvision train` finished")
    for point in points:
        if point.level >= min_sensitivity:
            return point
    raise ModelError(
        f"no operating point reaches a sensitivity of {min_sensitivity:g}; the highest one is {points[-1].level:g}"
    )
