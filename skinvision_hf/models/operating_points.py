"""Thresholds on the probability of malignancy or of melanoma: what `suspicious` means."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from skinvision_hf.errors import DataError, ModelError
from skinvision_hf.labels import MALIGNANT_CODES
from skinvision_hf.models.release import METRICS_FILE
from skinvision_hf.records import Estimate, Record

__all__ = ["MIN_SENSITIVITY", "TASKS", "Kind", "OperatingPoint", "load_operating_point", "stored_points"]

TASKS: dict[str, tuple[str, ...]] = {"malignant": MALIGNANT_CODES, "melanoma": ("mel",)}
"""The codes that each yes-or-no question is about."""

MIN_SENSITIVITY = 0.95
"""Sensitivity, on validation images, of the threshold that decides what is suspicious."""

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

    def explain(self, probabilities: Mapping[str, float]) -> str:
        """Say the decision about one image, and how far to trust it, in one sentence."""
        decision = "SUSPECTED" if self.is_positive(probabilities) else "not suspected"
        return (
            f"{self.task.capitalize()}: {decision}, by a threshold of {self.threshold:.1%} that found "
            f"{self.sensitivity.percent()} of such test images and cleared {self.specificity.percent()} of the others."
        )


def stored_points(folder: str | Path, task: str = "malignant") -> tuple[OperatingPoint, ...]:
    """Read the operating points of a release for a task; none where it has none.

    Raises:
        ModelError: If its `metrics.json` is damaged.
    """
    path = Path(folder) / METRICS_FILE
    if not path.is_file():
        return ()
    try:
        section = json.loads(path.read_text(encoding="utf-8")).get("operating_points") or {}
        return tuple(OperatingPoint.from_dict(point) for point in section[task]["points"]) if task in section else ()
    except (ValueError, KeyError, TypeError, AttributeError, DataError) as error:
        raise ModelError(f"{path} is not a valid {METRICS_FILE}; download the release again") from error


def load_operating_point(
    folder: str | Path, *, min_sensitivity: float = MIN_SENSITIVITY, task: str = "malignant"
) -> OperatingPoint | None:
    """Read from a release the operating point with the lowest sensitivity that is high enough.

    Args:
        folder: The release.
        min_sensitivity: Sensitivity that the threshold must have reached on validation.
        task: A key of `TASKS`.

    Returns:
        The point; None if the release has no operating points for the task.

    Raises:
        ModelError: If none of them is so sensitive, or `metrics.json` is damaged.
    """
    points = [point for point in stored_points(folder, task) if point.fixed == "sensitivity"]
    enough = [point for point in points if point.level >= min_sensitivity]
    if points and not enough:
        highest = max(point.level for point in points)
        raise ModelError(
            f"no operating point reaches a sensitivity of {min_sensitivity:g}; the highest one is {highest:g}"
        )
    return min(enough, key=lambda point: point.level, default=None)
