"""What a network computes for images, on any runtime."""

from dataclasses import dataclass
from typing import Any

import numpy as np

TOLERANCE = 2e-3
"""Largest difference of a probability between two runtimes or libraries that counts as equal."""


@dataclass(frozen=True)
class NetworkOutputs:
    """The outputs for n images.

    Attributes:
        logits: Float32 (n, 7), in the order of `skinvision_hf.labels.CODES`.
        features: Pooled features of the stage that OOD detection reads, float32 (n, d).
        maps: What heat maps are made of: on ONNX Runtime class activation maps, an array (n, 7, h, w); on torch the
            last feature maps, a tensor (n, channels, h, w).
    """

    logits: np.ndarray
    features: np.ndarray
    maps: Any


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities (..., 7) of logits (..., 7)."""
    shares = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shares / shares.sum(axis=-1, keepdims=True)
