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
from datasets import Dataset, DatasetDict

from skinvision_hf.config import TrainConfig
from skinvision_hf.training.loop import train_epoch
from skinvision_hf.training.setup import PhaseParts, Run

__all__ = ["TrainingTiming", "measure_training"]


@dataclass(frozen=True)
class TrainingTiming:
    """Rates of one run, in images per second, medians over the rounds.

    Attributes:
        input_size: Channels, height and width of the network's input.
        batch_size: Images a step.
        threads: CPU threads that torch used.
        bare_rate: Forward, backward and optimiser step of all layers on tensors in memory.
        loop_rate: The training loop of phase 2, from JPEG files that a run decodes before its first epoch and keeps as
            far as `cache_gb` has room: augmentation, loss, averaging, progress bar.
        share: Median over the rounds of `loop_rate / bare_rate`, the two measured one after the other.
        head_rate: The training loop of phase 1, with a frozen backbone.
        head_share_of_epoch: Time of a phase 1 epoch over that of a phase 2 epoch.
        peak_memory_gb: Largest memory of the start and an untimed epoch of phase 2, in gigabytes: of this process and
            those that load images, pages that they share counted once, with as many images of the whole split kept
            decoded as `cache_gb` has room for.
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
    images = min(steps * config.batch_size, len(data["train"]))
    steps = images // config.batch_size
    split = DatasetDict(data | {"train": _first(data["train"], steps * config.batch_size)})
    with tempfile.TemporaryDirectory() as folder:
        run = Run.start(replace(config, output_dir=folder), data)
        # Keeps the whole split decoded, as in a real run, though only a part of it is timed.
        run.verify_images()
        run.data = split
        size = tuple(run.model.config.pretrained_cfg["input_size"])
        head = PhaseParts.build(run, config.head)
        train_epoch(run, head, "warm up")
        head_rate = statistics.median(train_epoch(run, head, "phase 1")["images_per_second"] for _ in range(rounds))
        del head
        run.end_phase()
        with PeakMemory() as memory:
            splits = PhaseParts.build(run, config.finetune)
            train_epoch(run, splits, "warm up")
        bare = _bare_step(splits, config, size)
        bare()
        bare_rates, loop_rates = [], []
        for _ in range(rounds):
            bare_rates.append(steps * config.batch_size / _seconds(bare, steps))
            loop_rates.append(train_epoch(run, splits, "phase 2")["images_per_second"])
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


def _first(dataset: Dataset, count: int) -> Dataset:
    return dataset.select(range(count))


def _bare_step(splits: PhaseParts, config: TrainConfig, size: tuple[int, ...]) -> Callable[[], Any]:
    """A step on random tensors with the loop's own network and optimiser, and plain cross-entropy."""
    device = next(splits.model.parameters()).device
    pixels = torch.randn(config.batch_size, *size, device=device).contiguous(memory_format=torch.channels_last)
    labels = torch.arange(config.batch_size, device=device) % 7
    splits.model.train()

    def step() -> None:
        torch.nn.functional.cross_entropy(splits.model(pixels).logits, labels).backward()
        splits.optimizer.step()
        splits.optimizer.zero_grad()

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
