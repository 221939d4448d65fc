"""Predictions drawn at random: as right as a fair network is, several images a lesion, all seven classes."""

import numpy as np

from skinvision_hf.evaluation.predictions import Predictions
from skinvision_hf.models.prediction_sets import ConformalPredictor

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


def fit_sets(predictions: Predictions) -> ConformalPredictor:
    """The prediction sets that these predictions are the validation images of."""
    return ConformalPredictor.fit(predictions.probabilities, predictions.labels, predictions.lesion_ids)
