"""Chooses and starts the runtime that computes a release's answers."""

import importlib.util
import logging
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard

from skinvision_hf.errors import ModelError, extras
from skinvision_hf.models.release import ONNX_FILE

if TYPE_CHECKING:
    import torch

    from skinvision_hf.models.onnx_runtime import OnnxRuntime
    from skinvision_hf.models.torch_runtime import TorchRuntime

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
"""How many of the machine's cores this process may use."""

# Programs that come with the driver of an accelerator; asking torch would take seconds.
DRIVERS = ("nvidia-smi", "rocm-smi", "xpu-smi")
TORCH_LIBRARIES = ("torch", "torchvision", "timm", "transformers")

logger = logging.getLogger(__name__)


def start_runtime(
    release: Path, runtime: str | None, device: "str | torch.device | None"
) -> "OnnxRuntime | TorchRuntime":
    """Load a release on the runtime that was asked for, or else on the usual one; see `SkinVision.from_pretrained`.

    Raises:
        ModelError: If the release cannot be loaded, or the runtime cannot use the device.
        SkinVisionError: If the runtime is not installed.
    """
    has_torch = all(importlib.util.find_spec(library) for library in TORCH_LIBRARIES)
    if runtime is None and not _prefers_torch(release, device, has_torch=has_torch):
        try:
            return start_runtime(release, "onnx", None)
        except ModelError as error:
            if not has_torch:
                raise
            logger.warning("%s; torch is used instead", error)
    with extras():
        if runtime == "onnx":
            from skinvision_hf.models.onnx_runtime import OnnxRuntime

            assert_cpu(device or "cpu")
            return OnnxRuntime(release)
        from skinvision_hf.models.torch_runtime import TorchRuntime

        return TorchRuntime.load(release, device)


def is_torch(runtime: "OnnxRuntime | TorchRuntime") -> TypeGuard["TorchRuntime"]:
    """Tell the runtimes apart without importing torch."""
    return hasattr(runtime, "model")


def assert_cpu(device: "str | torch.device") -> None:
    """Check that ONNX Runtime can use a device; ModelError if not."""
    if str(device) != "cpu":
        raise ModelError(f"ONNX Runtime runs on the CPU, not on {str(device)!r}; load the release with runtime='torch'")


def _prefers_torch(release: Path, device: "str | torch.device | None", *, has_torch: bool) -> bool:
    """Whether the release has nothing for ONNX Runtime, or an accelerator was asked for or is there."""
    if not (release / ONNX_FILE).is_file():
        return True
    if device is not None:
        return str(device) != "cpu"
    return has_torch and any(map(shutil.which, DRIVERS))
