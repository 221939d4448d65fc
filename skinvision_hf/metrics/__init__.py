"""Arrays to numbers: metrics with intervals over lesions; `modules` has them for the evaluate library."""

from skinvision_hf.metrics.comparison import Comparison, compare
from skinvision_hf.metrics.estimates import RESAMPLES, Estimate, Mean, bootstrap, lesion_weights
from skinvision_hf.metrics.predictions import Predictions
from skinvision_hf.metrics.report import EvalReport, evaluate_predictions
from skinvision_hf.metrics.statistics import compute, metric_title

__all__ = [
    "RESAMPLES",
    "Comparison",
    "Estimate",
    "EvalReport",
    "Mean",
    "Predictions",
    "bootstrap",
    "compare",
    "compute",
    "evaluate_predictions",
    "lesion_weights",
    "metric_title",
]
