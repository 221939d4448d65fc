"""One prediction against the bare network."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image

from skinvision_hf.vision import SkinVision

__all__ = ["InferenceTiming", "measure_inference", "median_milliseconds"]


@dataclass(frozen=True)
class InferenceTiming:
    """Median times for one image that is already decoded.

    Attributes:
        image_size: Width and height of the image in pixels.
        input_size: Channels, height and width of the network's input.
        threads: CPU threads that torch used.
        network_ms: The timm network alone, on the prepared tensor, in milliseconds.
        transform_ms: Image to tensor, in milliseconds.
        predict_ms: `SkinVision.predict`, in milliseconds.
        ratio: `predict_ms / network_ms`.
    """

    image_size: tuple[int, int]
    input_size: tuple[int, ...]
    threads: int
    network_ms: float
    transform_ms: float
    predict_ms: float
    ratio: float


def median_milliseconds(functions: dict[str, Callable[[], Any]], *, repeats: int) -> dict[str, float]:
    """Time functions in turns, so that a change in the machine's load meets all of them alike.

    Args:
        functions: What to time, by name.
        repeats: Timed calls of each, after a tenth as many untimed ones.

    Returns:
        The median time of each in milliseconds.
    """
    times: dict[str, list[float]] = {name: [] for name in functions}
    warm_up = max(1, repeats // 10)
    for number in range(warm_up + repeats):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            if number >= warm_up:
                times[name].append((time.perf_counter() - start) * 1000)
    return {name: statistics.median(values) for name, values in times.items()}


def measure_inference(
    vision: SkinVision, *, image_size: tuple[int, int] = (600, 450), repeats: int = 200
) -> InferenceTiming:
    """Compare `predict` on one decoded image with the bare timm network on the same tensor.

    Args:
        vision: The release to measure, on the CPU; other devices compute behind the clock's back.
        image_size: Width and height in pixels; 600 x 450 is the original size of HAM10000.
        repeats: Timed calls.
    """
    width, height = image_size
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    pixels = vision.transform(image).unsqueeze(0).contiguous(memory_format=torch.channels_last)
    network = vision.model.timm_model
    with torch.inference_mode():
        medians = median_milliseconds(
            {
                "network": lambda: network(pixels),
                "transform": lambda: vision.transform(image),
                "predict": lambda: vision.predict(image),
            },
            repeats=repeats,
        )
    return InferenceTiming(
        image_size=image_size,
        input_size=tuple(pixels.shape[1:]),
        threads=torch.get_num_threads(),
        network_ms=medians["network"],
        transform_ms=medians["transform"],
        predict_ms=medians["predict"],
        ratio=medians["predict"] / medians["network"],
    )
