"""How fast predictions are, against the bare parts that they stand on, in one run."""

import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnxruntime
import psutil
import torch
from PIL import Image

from skinvision_hf.data.synthetic import draw_image
from skinvision_hf.data.transforms import eval_transform
from skinvision_hf.labels import CODES
from skinvision_hf.models.release import ONNX_FILE
from skinvision_hf.vision import SkinVision

__all__ = ["InferenceTiming", "measure_inference"]

TURN = 10


@dataclass(frozen=True)
class InferenceTiming:
    """Median times on the CPU.

    Attributes:
        image_size: Width and height of the images in pixels.
        runtime: What `SkinVision.from_pretrained` chose for the CPU.
        threads: CPU threads that torch used.
        network_ms: The bare timm network on one prepared tensor, in milliseconds.
        predict_ms: `SkinVision.predict` of one decoded image, in milliseconds.
        ratio: `predict_ms / network_ms`.
        command_seconds: `skinvision predict photo.jpg`, the whole process.
        bare_rate: Images a second of ONNX Runtime's own session (of timm's network, for a release without the graph) on
            prepared images in memory, as many at a time as there are CPU cores, each in one thread.
        loop_rate: Images a second of the same session as it comes, on all cores for one image after another.
        folder_rate: Images a second of `SkinVision.stream` on JPEG files.
        share: `folder_rate / bare_rate`.
        ceiling: The share that is left to who opens and resizes the same files on the same cores by Pillow alone.
        memory_growth_mb: How much the memory of the process grew over the last nine tenths of the files.
    """

    image_size: tuple[int, int]
    runtime: str
    threads: int
    network_ms: float
    predict_ms: float
    ratio: float
    command_seconds: float
    bare_rate: float
    loop_rate: float
    folder_rate: float
    share: float
    ceiling: float
    memory_growth_mb: float


def _median_milliseconds(functions: dict[str, Callable[[], Any]], *, repeats: int) -> dict[str, float]:
    """Time functions in turns, so that a change in the machine's load meets all of them alike.

    A turn is ten calls of each: threads of one library stay busy for a moment and slow down the next one's first call.

    Args:
        functions: What to time, by name.
        repeats: Timed calls of each, after a turn of untimed ones.

    Returns:
        The median time of each in milliseconds.
    """
    times: dict[str, list[float]] = {name: [] for name in functions}
    for turn in range(1 + math.ceil(repeats / TURN)):
        for name, function in functions.items():
            for _ in range(TURN):
                start = time.perf_counter()
                function()
                if turn:
                    times[name].append((time.perf_counter() - start) * 1000)
    return {name: statistics.median(values) for name, values in times.items()}


def measure_inference(
    release: str | None, *, image_size: tuple[int, int] = (600, 450), repeats: int = 200, files: int = 1000
) -> InferenceTiming:
    """Time one prediction, the whole command, and many files.

    Args:
        release: Release folder or Hub id; the bundled release when None.
        image_size: Width and height in pixels; 600 x 450 is the original size of HAM10000.
        repeats: Timed calls of one prediction.
        files: JPEG files to classify.
    """
    vision = SkinVision.from_pretrained(release, device="cpu")
    bare = SkinVision.from_pretrained(release, runtime="torch", device="cpu")
    image = draw_image(CODES[0], 0)[0].resize(image_size, Image.Resampling.BICUBIC)
    pixels = eval_transform(bare.model.config.pretrained_cfg)(image)[None].contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        medians = _median_milliseconds(
            {"network": lambda: bare.model.timm_model(pixels), "predict": lambda: vision.predict(image)},
            repeats=repeats,
        )
    with TemporaryDirectory() as folder:
        photo = Path(folder, "photo.jpg")
        image.save(photo, quality=90)
        command = _command_seconds(photo, release)
        bare_rate = _bare_rate(_bare_network(bare, image, pixels, threads=1), files)
        loop_rate = _bare_rate(_bare_network(bare, image, pixels), files, at_once=1)
        height, width = pixels.shape[-2:]
        open_rate = _bare_rate(lambda _: Image.open(photo).resize((width, height), Image.Resampling.BICUBIC), files)
        folder_rate, growth = _folder_rate(vision, photo, files)
    return InferenceTiming(
        image_size=image_size,
        runtime=type(vision.runtime).__name__,
        threads=torch.get_num_threads(),
        network_ms=medians["network"],
        predict_ms=medians["predict"],
        ratio=medians["predict"] / medians["network"],
        command_seconds=command,
        bare_rate=bare_rate,
        loop_rate=loop_rate,
        folder_rate=folder_rate,
        share=folder_rate / bare_rate,
        ceiling=open_rate / (open_rate + bare_rate),
        memory_growth_mb=growth,
    )


def _command_seconds(photo: Path, release: str | None, *, repeats: int = 5) -> float:
    command = [sys.executable, "-m", "skinvision_hf.cli.main", "predict", str(photo)]
    command += ["--device", "cpu", *(["--model", release] if release else [])]
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def _bare_network(bare: SkinVision, image: Image.Image, pixels: torch.Tensor, threads: int = 0) -> Callable[[int], Any]:
    """What computes the logits of one prepared image, without any code of this package; 0 threads are all cores."""
    graph, (height, width) = bare.release / ONNX_FILE, pixels.shape[-2:]
    if not graph.is_file():
        return torch.inference_mode()(lambda _: bare.model.timm_model(pixels))
    options, values = onnxruntime.SessionOptions(), {"image": np.asarray(image.resize((width, height)))}
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    return lambda _: session.run(["logits"], values)


def _bare_rate(compute: Callable[[int], Any], count: int, at_once: int | None = None) -> float:
    """Images a second of a network, so many images at once; as many as there are cores when None."""
    with ThreadPoolExecutor(at_once or os.cpu_count()) as pool:
        list(pool.map(compute, range(20)))
        start = time.perf_counter()
        list(pool.map(compute, range(count)))
    return count / (time.perf_counter() - start)


def _folder_rate(vision: SkinVision, photo: Path, count: int) -> tuple[float, float]:
    """Images a second, and by how many megabytes the memory grew."""
    names, process = (photo for _ in range(count)), psutil.Process()
    start, before = time.perf_counter(), 0
    for number, _ in enumerate(vision.stream(names)):
        if number == count // 10:
            before = process.memory_info().rss
    seconds = time.perf_counter() - start
    return count / seconds, (process.memory_info().rss - before) / 1e6
