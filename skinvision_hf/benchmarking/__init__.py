"""How fast the package is, measured against the bare parts that it stands on, in one run on one machine."""

from skinvision_hf.benchmarking.inference import InferenceTiming, measure_inference, median_milliseconds
from skinvision_hf.benchmarking.running_app import RunningApp, running_app
from skinvision_hf.benchmarking.space import SpaceTiming, Waiting, bad_uploads, measure_space
from skinvision_hf.benchmarking.training import TrainingTiming, measure_training

__all__ = [
    "InferenceTiming",
    "RunningApp",
    "SpaceTiming",
    "TrainingTiming",
    "Waiting",
    "bad_uploads",
    "measure_inference",
    "measure_space",
    "measure_training",
    "median_milliseconds",
    "running_app",
]
