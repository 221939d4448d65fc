"""The training loop against bare forward, backward and optimiser steps on tensors in memory."""

import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import psutil
import torch
from datasets import DatasetDict

from skinvision_hf.config import TrainConfig
from skinvision_hf.training.loop import Phase
from skinvision_hf.training.trainer import Trainer

__all__ = ["TrainingTiming", "measure_training"]


@dataclass(frozen=True)
class TrainingTiming:
    """Rates of one run, in images per second, medians over the rounds.

    Attributes:
        input_size: Channels, height and width of the network's input.
        batch_size: Images a step.
        threads: CPU threads that torch used.
        bare_rate: Forward, backward and optimiser step of all layers on tensors in memory.
        loop_rate: The training loop of phase 2, on decoded images: augmentation, loss, averaging, progress bar.
        share: Median over the rounds of `loop_rate / bare_rate`, the two measured one after the other.
        head_rate: The training loop of phase 1, with a frozen backbone.
        head_share_of_epoch: Time of a phase 1 epoch over that of a phase 2 epoch.
        peak_memory_gb: Largest memory, in gigabytes, of this process and those that load images; pages that they share
            are counted once.
    """

    input_size: tuple[int, ...]
    batch_size: int
    threads: int
    bare_rate: float
    loop_rate: float
    share: float
    head_rate: float
    head_share_of_epoch: float
    peak_memory_gb: float


def measure_training(config: TrainConfig, data: DatasetDict, *, steps: int = 20, rounds: int = 5) -> TrainingTiming:
    """Measure both phases of training on real images; nothing is kept.

    Args:
        config: Settings of the run; its output folder is not used.
        data: The splits; `steps` batches of training images are used.
        steps: Batches a measurement.
        rounds: How often bare steps and loop are measured in turn, so that the machine's other load meets both.
    """
    steps = min(steps, len(data["train"]) // config.batch_size)
    timed = DatasetDict(data | {"train": data["train"].select(range(steps * config.batch_size))})
    with tempfile.TemporaryDirectory() as folder, PeakMemory() as memory:
        trainer = Trainer(replace(config, output_dir=folder), timed)
        trainer.start_network()
        head = _phase(trainer, "head")
        head.train_epoch("warm up")
        head_rate = statistics.median(head.train_epoch("phase 1")["images_per_second"] for _ in range(rounds))
        head.end()
        phase = _phase(trainer, "finetune")
        phase.train_epoch("warm up")
        size = tuple(trainer.network.config.pretrained_cfg["input_size"])
        bare = _bare_step(phase, config, size)
        bare()
        bare_rates, loop_rates = [], []
        for _ in range(rounds):
            bare_rates.append(steps * config.batch_size / _seconds(bare, steps))
            loop_rates.append(phase.train_epoch("phase 2")["images_per_second"])
    loop_rate = statistics.median(loop_rates)
    return TrainingTiming(
        input_size=size,
        batch_size=config.batch_size,
        threads=torch.get_num_threads(),
        bare_rate=statistics.median(bare_rates),
        loop_rate=loop_rate,
        share=statistics.median(loop / bare for loop, bare in zip(loop_rates, bare_rates, strict=True)),
        head_rate=head_rate,
        head_share_of_epoch=loop_rate / head_rate,
        peak_memory_gb=memory.peak / 1e9,
    )


def _phase(trainer: Trainer, name: str) -> Phase:
    return Phase(trainer.config, name, trainer.network, trainer.loaders, trainer.loss, trainer.accelerator)


def _bare_step(phase: Phase, config: TrainConfig, size: tuple[int, ...]) -> Callable[[], Any]:
    """A step on random tensors with the loop's own network and optimiser, and plain cross-entropy."""
    device = phase.accelerator.device
    pixels = torch.randn(config.batch_size, *size, device=device).contiguous(memory_format=torch.channels_last)
    labels = torch.arange(config.batch_size, device=device) % 7
    phase.model.train()

    def step() -> None:
        torch.nn.functional.cross_entropy(phase.model(pixels)[0], labels).backward()
        phase.optimizer.step()
        phase.optimizer.zero_grad()

    return step


def _seconds(step: Callable[[], Any], steps: int) -> float:
    start = time.perf_counter()
    for _ in range(steps):
        step()
    return time.perf_counter() - start


class PeakMemory:
    """Watches the memory of this process and its children while it is open.

    Attributes:
        peak: The largest sum seen so far, in bytes.
    """

    PAUSE = 0.1  # seconds between two looks

    def __init__(self) -> None:
        self.peak = 0
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "PeakMemory":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._thread.join()

    def _watch(self) -> None:
        this = psutil.Process()
        while True:
            self.peak = max(self.peak, sum(map(_memory, [this, *this.children(recursive=True)])))
            if self._closed.wait(self.PAUSE):
                return


def _memory(process: psutil.Process) -> int:
    """Bytes that a process holds; of pages that several hold, its share where the system tells it."""
    try:
        full = process.memory_full_info()
    except psutil.Error:  # It has just ended.
        return 0
    return getattr(full, "pss", full.uss)
