"""Arrays to numbers: metrics with intervals over lesions; `modules` has them for the evaluate library."""

from skinvision_hf.metrics.comparison import Comparison, compare
from skinvision_hf.metrics.estimates import RESAMPLES, Estimate, bootstrap, lesion_weights, mean_of
from skinvision_hf.metrics.predictions import Predictions
from skinvision_hf.metrics.report import EvalReport, evaluate_predictions
from skinvision_hf.metrics.statistics import compute, metric_title

__all__ = [
    "RESAMPLES",
    "Comparison",
    "Estimate",
    "EvalReport",
    "Predictions",
    "bootstrap",
    "compare",
    "compute",
    "evaluate_predictions",
    "lesion_weights",
    "mean_of",
    "metric_title",
]
