"""Acting on a probability: thresholds with measured sensitivity and specificity, decision curves, abstention."""

from skinvision_hf.operating_points.points import (
    LEVELS,
    TASKS,
    OperatingPoint,
    load_operating_point,
    measure_stored_points,
)
from skinvision_hf.operating_points.report import OperatingPointsReport, measure_operating_points

__all__ = [
    "LEVELS",
    "TASKS",
    "OperatingPoint",
    "OperatingPointsReport",
    "load_operating_point",
    "measure_operating_points",
    "measure_stored_points",
]
