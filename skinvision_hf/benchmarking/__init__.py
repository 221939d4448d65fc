"""How fast the package is, measured against the bare parts that it stands on, in one run on one machine.

`skinvision_hf.benchmarking.training` is not imported here, since only it needs the extra `train`.
"""

from skinvision_hf.benchmarking.inference import InferenceTiming, measure_inference, median_milliseconds
from skinvision_hf.benchmarking.running_app import RunningApp, running_app
from skinvision_hf.benchmarking.space import SpaceTiming, Waiting, bad_uploads, measure_space

__all__ = [
    "InferenceTiming",
    "RunningApp",
    "SpaceTiming",
    "Waiting",
    "bad_uploads",
    "measure_inference",
    "measure_space",
    "median_milliseconds",
    "running_app",
]
