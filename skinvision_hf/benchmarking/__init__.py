"""How fast the package is, measured against the bare parts that it stands on, in one run on one machine."""

from skinvision_hf.benchmarking.inference import InferenceTiming, measure_inference, median_milliseconds
from skinvision_hf.benchmarking.training import TrainingTiming, measure_training

__all__ = ["InferenceTiming", "TrainingTiming", "measure_inference", "measure_training", "median_milliseconds"]
