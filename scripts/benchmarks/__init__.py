"""How fast the package is, measured against the bare parts that it stands on, in one run on one machine.

`benchmarks.training` is not imported here, since only it needs the extra `train`.
"""

from benchmarks.inference import InferenceTiming, measure_inference
from benchmarks.running_app import RunningApp, running_app
from benchmarks.space import SpaceTiming, Waiting, bad_uploads, measure_space

__all__ = [
    "InferenceTiming",
    "RunningApp",
    "SpaceTiming",
    "Waiting",
    "bad_uploads",
    "measure_inference",
    "measure_space",
    "running_app",
]
