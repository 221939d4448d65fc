"""One number that makes a network as sure as it is right, fitted on validation and folded into the classifier."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

from skinvision_hf.errors import DataError
from skinvision_hf.evaluation.predictions import Predictions
from skinvision_hf.models.modeling import SkinVisionForImageClassification

__all__ = ["CalibrationRecord", "calibrate_release", "fit_temperature", "fold_temperature", "recorded_temperature"]

LARGEST_TEMPERATURE = 20.0
NEGLIGIBLE = 1e-3
"""Difference of a temperature from 1 that the rounding of weights to float16 causes; it is not folded in."""


@dataclass(frozen=True)
class CalibrationRecord:
    """What `calibrate_release` did.

    Attributes:
        fitted: Temperature that was fitted and folded in now; 1 if the network was calibrated already.
        temperature: Product of all temperatures that the release's classifier was divided by since training.
        images: Validation images that it was fitted on.
        log_loss_before: Negative log-likelihood on them before.
        log_loss_after: The same after.
    """

    fitted: float
    temperature: float
    images: int
    log_loss_before: float
    log_loss_after: float

    def to_dict(self) -> dict[str, Any]:
        """Return all attributes as a dictionary that JSON can hold."""
        return asdict(self)


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Find the temperature that makes the labels most likely (Guo et al. 2017, arXiv:1706.04599).

    Args:
        logits: Of validation images (n, 7).
        labels: Their classes (n,).

    Returns:
        The temperature, between 1/20 and 20: above 1 when the network is too sure of itself, below 1 when too unsure.

    Raises:
        DataError: If there is no image, or a logit is not finite.
    """
    if not len(labels) or not np.isfinite(logits).all():
        raise DataError("a temperature needs finite logits of at least one validation image; evaluate again")
    bound = np.log(LARGEST_TEMPERATURE)
    # The loss is convex in the inverse temperature, so it has one minimum on the logarithmic scale too.
    result = minimize_scalar(
        lambda log_t: _log_loss(logits / np.exp(log_t), labels), bounds=(-bound, bound), options={"xatol": 1e-8}
    )
    return float(np.exp(result.x))


def fold_temperature(model: SkinVisionForImageClassification, temperature: float) -> None:
    """Divide the classifier's weight and bias by a temperature, so that every loader gives calibrated probabilities.

    The product of all temperatures stays in the configuration, as `calibration_temperature` in `config.json`.
    """
    classifier = model.timm_model.get_classifier()
    with torch.no_grad():
        classifier.weight.div_(temperature)
        classifier.bias.div_(temperature)
    model.config.calibration_temperature = recorded_temperature(model) * temperature


def recorded_temperature(model: SkinVisionForImageClassification) -> float:
    """Return the product of all temperatures that the classifier was divided by since training; 1 for none."""
    return float(getattr(model.config, "calibration_temperature", 1.0))


def calibrate_release(folder: str | Path, validation: Predictions) -> CalibrationRecord:
    """Fit a temperature on validation and fold it into the network of a release.

    Only `model.safetensors` and `config.json` change. A network that is calibrated already stays as it is.

    Args:
        folder: The release.
        validation: What its network, as it is now, says about the validation split.

    Raises:
        DataError: If the predictions cannot be used.
        ModelError: If the release cannot be loaded.
    """
    temperature = fit_temperature(validation.logits, validation.labels)
    model = SkinVisionForImageClassification.from_pretrained(folder)
    if abs(temperature - 1) < NEGLIGIBLE:
        temperature = 1.0
    else:
        fold_temperature(model, temperature)
        model.save_pretrained(folder)
    return CalibrationRecord(
        fitted=temperature,
        temperature=recorded_temperature(model),
        images=len(validation.labels),
        log_loss_before=_log_loss(validation.logits, validation.labels),
        log_loss_after=_log_loss(validation.logits / temperature, validation.labels),
    )


def _log_loss(logits: np.ndarray, labels: np.ndarray) -> float:
    logits = logits.astype(np.float64)
    return float((logsumexp(logits, axis=1) - logits[np.arange(len(labels)), labels]).mean())
