"""Starts Accelerate: processes, precision and trackers, from the configuration or from `accelerate launch`."""

import contextlib
import ctypes
import importlib.util
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, DataLoaderConfiguration

from skinvision_hf.config import TrainConfig
from skinvision_hf.errors import DataError, RunError

PRECISIONS = ("no", "bf16", "fp16")
# Names and numbers of glibc's malloc.h; see mallopt(3).
M_TRIM_THRESHOLD, M_MMAP_MAX, LARGEST = -1, -4, 2**31 - 1


def start_accelerator(config: TrainConfig) -> Accelerator:
    """Start Accelerate in this process; what `accelerate launch` chose wins over the configuration.

    Raises:
        DataError: If the tracker is not installed, or Accelerate cannot start with its launch options.
        RunError: If fewer processes were started than asked for.
    """
    if config.report_to != "none" and importlib.util.find_spec(config.report_to) is None:
        raise DataError(f"--report_to {config.report_to} needs: pip install {config.report_to}")
    try:
        accelerator = Accelerator(
            # None leaves the choice to `accelerate launch`.
            mixed_precision=None if config.mixed_precision == "no" else config.mixed_precision,
            gradient_accumulation_steps=config.gradient_accumulation_steps,
            log_with=None if config.report_to == "none" else config.report_to,
            project_dir=str(Path(config.output_dir) / "logs"),
            dataloader_config=DataLoaderConfiguration(use_seedable_sampler=True, data_seed=config.seed),
            # Without this, Accelerate takes several processes without accelerators for a mistake.
            cpu=None if torch.accelerator.is_available() else True,
        )
    except (ImportError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise DataError(f"Accelerate cannot start with these launch options ({reason}); change them") from error
    _assert_supported(accelerator)
    if accelerator.device.type == "cpu":
        keep_freed_memory()
    return accelerator


def as_launched(config: TrainConfig, accelerator: Accelerator) -> TrainConfig:
    """The configuration with which training really runs, where `accelerate launch` chose otherwise."""
    steps = accelerator.gradient_accumulation_steps
    return replace(config, mixed_precision=accelerator.mixed_precision, gradient_accumulation_steps=steps)


def launch_settings(accelerator: Accelerator) -> dict[str, Any]:
    """What only the launcher chooses and a resumed run must repeat: number of processes and compiler."""
    return {"processes": accelerator.num_processes, "dynamo": accelerator.state.dynamo_plugin.backend.value.lower()}


def _assert_supported(accelerator: Accelerator) -> None:
    kind = accelerator.distributed_type.value
    # Others, such as FSDP, keep no whole network in each process, which weight averages and the release need.
    if kind != "NO" and not kind.startswith("MULTI_"):
        raise DataError(f"training does not work with {kind}; launch it on several GPUs or CPUs without it")
    precision = accelerator.mixed_precision
    if precision not in PRECISIONS:
        raise DataError(f"training does not work in {precision}; launch it with one of {', '.join(PRECISIONS)}")
    if precision == "fp16" and accelerator.device.type == "cpu":
        # Accelerate would run it without a warning, and without the scaling of the loss that fp16 needs.
        raise DataError("fp16 trains on GPUs only; use --mixed_precision bf16 or no")
    backend = launch_settings(accelerator)["dynamo"]
    if backend != "no":
        try:
            torch.compile(torch.nn.Linear(1, 1), backend=backend)(torch.zeros(1, 1))
        except RuntimeError as error:  # what all errors of torch's compiler are
            problem = f"torch cannot compile with {backend} on this machine"
            raise DataError(f"{problem}; launch with --dynamo_backend no") from error
    asked = "MASTER_ADDR" in os.environ and os.environ.get("ACCELERATE_USE_CPU", "").lower() == "true"
    if asked and accelerator.num_processes == 1 and "WORLD_SIZE" not in os.environ:
        # `accelerate launch --cpu --num_processes N` starts one process without a warning when MPI is not set up.
        raise RunError(
            "several CPU processes were asked for, but accelerate starts only one without MPI; start them with "
            "'torchrun --nproc_per_node N scripts/train.py ...', or give accelerate an --mpirun_hostfile"
        )


def keep_freed_memory() -> None:
    """Let this process keep the memory that it frees, for the next step, which needs blocks of the same sizes.

    By default, glibc returns large blocks to the system, which clears every page when it hands them out again.
    """
    with contextlib.suppress(AttributeError, OSError, TypeError):  # other C libraries do not have it
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, LARGEST)
