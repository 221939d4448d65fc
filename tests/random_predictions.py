"""Predictions drawn at random: as right as a fair network is, several images a lesion, all seven classes."""

from collections.abc import Sequence

import numpy as np

from skinvision_hf.evaluation.predictions import Predictions

FREQUENCIES = np.array([0.04, 0.06, 0.12, 0.03, 0.12, 0.60, 0.03])


def draw_predictions(count: int = 300, *, seed: int = 0, temperature: float = 1.0) -> Predictions:
    """Calibrated predictions, whose logits are then multiplied by a temperature; same seed, same predictions."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 1.5, (count, 7)) + np.log(FREQUENCIES)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    # The label is drawn from the probabilities themselves, which makes them right by construction.
    labels = (probabilities.cumsum(axis=1) < generator.uniform(size=(count, 1))).sum(axis=1).clip(0, 6)
    return Predictions(
        image_ids=tuple(f"ISIC_{n:07d}" for n in range(count)),
        lesion_ids=tuple(f"HAM_{n * 3 // 4:07d}" for n in range(count)),
        labels=labels.astype(np.int64),
        logits=logits * temperature,
    )


def predictions_of(labels: np.ndarray, logits: np.ndarray, lesion_ids: Sequence[str] | None = None) -> Predictions:
    """Predictions of images that are numbered, each of a lesion of its own unless stated."""
    image_ids = tuple(map(str, range(len(labels))))
    return Predictions(image_ids, image_ids if lesion_ids is None else tuple(lesion_ids), np.asarray(labels), logits)
