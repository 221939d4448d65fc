"""How well calibrated probabilities are, and the temperature and class priors that improve them."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from skinvision_hf.errors import DataError
from skinvision_hf.evaluation.bootstrap import AbsoluteSum, Mean, bootstrap
from skinvision_hf.evaluation.metrics import calibration_error, equal_bins, overall_statistics
from skinvision_hf.evaluation.predictions import Predictions
from skinvision_hf.labels import CODES
from skinvision_hf.records import Estimate, Record

if TYPE_CHECKING:
    from skinvision_hf.models.modeling import SkinVisionForImageClassification

CHANCE_DRAWS = 1000
LARGEST_TEMPERATURE = 20.0
NEGLIGIBLE = 1e-3
"""Difference of a temperature from 1 that the rounding of weights to float16 causes; it is not folded in."""

PRIOR_SPREAD = 1.0
"""Standard deviation of a bias before any image is seen: class frequencies change by a factor of e, up or down."""


@dataclass(frozen=True)
class ErrorRange(Record):
    """A calibration error of a perfectly calibrated model, over random draws."""

    mean: float
    high: float


@dataclass(frozen=True)
class ChanceErrors(Record):
    """What a perfectly calibrated model with the same probabilities would show on the same number of images."""

    ece: ErrorRange
    classwise_ece: ErrorRange
    draws: int


@dataclass(frozen=True)
class ReliabilityBin(Record):
    """One fifteenth of the images, by the probability of the most probable diagnosis."""

    confidence: float
    accuracy: Estimate


@dataclass(frozen=True)
class CalibrationErrors(Record):
    """How wrong probabilities are; 0 is best for all of them."""

    ece: Estimate
    overconfidence: Estimate
    classwise_ece: Estimate
    brier_score: Estimate
    log_loss: Estimate
    per_class: dict[str, Estimate]
    bins: tuple[ReliabilityBin, ...]


@dataclass(frozen=True)
class CalibrationReport(Record):
    """Calibration with and without the temperature, on a split that it was not fitted on."""

    temperature: float
    before: CalibrationErrors
    after: CalibrationErrors
    chance: ChanceErrors
    mean_probability: dict[str, float]
    frequency: dict[str, float]


def measure_calibration(test: Predictions, *, temperature: float) -> CalibrationReport:
    """Measure a calibrated network with and without its temperature; see `recorded_temperature`."""
    raw = replace(test, logits=test.logits.astype(np.float64) * temperature)
    shares = np.bincount(test.labels, minlength=len(CODES)) / len(test.labels)
    return CalibrationReport(
        temperature=temperature,
        before=_errors(raw),
        after=_errors(test),
        chance=chance_errors(test),
        mean_probability=dict(zip(CODES, test.probabilities.mean(axis=0).tolist(), strict=True)),
        frequency=dict(zip(CODES, shares.tolist(), strict=True)),
    )


def _errors(test: Predictions) -> CalibrationErrors:
    labels, probabilities, counts = test.labels, test.probabilities, test.counts
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    overall = overall_statistics(labels, probabilities)
    terms = [calibration_error(probabilities[:, k], labels == k) for k in range(len(CODES))]
    classwise = AbsoluteSum(lambda c: np.concatenate([term.gaps(c) for term in terms], axis=1) / len(terms))
    bins = [
        ReliabilityBin(float(confidence[members].mean()), bootstrap(Mean(right, members), counts))
        for members in equal_bins(confidence).T
        if members.any()
    ]
    return CalibrationErrors(
        ece=bootstrap(overall["ece"], counts),
        overconfidence=bootstrap(Mean(confidence - right), counts),
        classwise_ece=bootstrap(classwise, counts),
        brier_score=bootstrap(overall["brier_score"], counts),
        log_loss=bootstrap(overall["log_loss"], counts),
        per_class={code: bootstrap(term, counts) for code, term in zip(CODES, terms, strict=True)},
        bins=tuple(bins),
    )


def chance_errors(predictions: Predictions) -> ChanceErrors:
    """Draw the ground truth from the probabilities and measure the errors that remain (Broecker and Smith 2007).

    The labels of the predictions are not used. Images of one lesion share the draw, because they share the diagnosis.
    """
    probabilities = predictions.probabilities
    _, lesion = np.unique(np.asarray(predictions.lesion_ids), return_inverse=True)
    luck = np.random.default_rng(0).uniform(size=(CHANCE_DRAWS, int(lesion.max()) + 1))[:, lesion]
    upper = probabilities.cumsum(axis=1)
    upper[:, -1] = 1.0
    lower = upper - probabilities
    answer, rows = probabilities.argmax(axis=1), np.arange(len(lesion))

    def errors(confidence: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        happened = (luck >= low) & (luck < high)
        return np.abs((confidence - happened) @ equal_bins(confidence)).sum(axis=1) / len(lesion)

    ece = errors(probabilities.max(axis=1), lower[rows, answer], upper[rows, answer])
    by_class = [errors(probabilities[:, k], lower[:, k], upper[:, k]) for k in range(len(CODES))]
    return ChanceErrors(_range(ece), _range(np.mean(by_class, axis=0)), CHANCE_DRAWS)


def _range(values: np.ndarray) -> ErrorRange:
    return ErrorRange(float(values.mean()), float(np.quantile(values, 0.95)))


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Find the temperature that makes the labels (n,) of validation images most likely (Guo et al. 2017).

    The paper is arXiv:1706.04599. The temperature, between 1/20 and 20, is above 1 for an overconfident network.
    DataError is raised if there is no image, or one of the logits (n, 7) is not finite.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import logsumexp

    if not len(labels) or not np.isfinite(logits).all():
        raise DataError("a temperature needs finite logits of at least one validation image; evaluate again")
    logits, bound = logits.astype(np.float64), np.log(LARGEST_TEMPERATURE)

    def log_loss(log_temperature: float) -> float:
        scaled = logits / np.exp(log_temperature)
        return float((logsumexp(scaled, axis=1) - scaled[np.arange(len(labels)), labels]).mean())

    # The loss is convex in the inverse temperature, so it has one minimum on the logarithmic scale too.
    return float(np.exp(minimize_scalar(log_loss, bounds=(-bound, bound), options={"xatol": 1e-8}).x))


def fit_priors(logits: np.ndarray, labels: np.ndarray) -> tuple[float, np.ndarray]:
    """Find the temperature and the bias of each diagnosis that suit the labels (n,) of images from another source.

    This is bias-corrected temperature scaling (Alexandari, Kundaje and Shrikumar 2020, arXiv:1901.06852): logits (n, 7)
    are divided by the temperature, then the biases (7,) are added, which makes the mean probability of each diagnosis
    its frequency. A normal prior with `PRIOR_SPREAD` keeps the bias of a diagnosis with few images near 0. DataError is
    raised as by `fit_temperature`.
    """
    from scipy.optimize import minimize
    from scipy.special import logsumexp

    start = [1 / fit_temperature(logits, labels), *np.zeros(len(CODES))]
    logits, truth = logits.astype(np.float64), np.eye(len(CODES))[labels]

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        bias = parameters[1:]
        scaled = logits * parameters[0] + bias
        normaliser = logsumexp(scaled, axis=1, keepdims=True)
        error = np.exp(scaled - normaliser) - truth
        value = normaliser.sum() - (scaled * truth).sum() + (bias**2).sum() / (2 * PRIOR_SPREAD**2)
        return value, np.array([(error * logits).sum(), *(error.sum(axis=0) + bias / PRIOR_SPREAD**2)])

    # Convex in these parameters, so the minimum is the only one.
    bounds = [(1 / LARGEST_TEMPERATURE, LARGEST_TEMPERATURE), *[(None, None)] * len(CODES)]
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-12}).x
    return float(1 / found[0]), found[1:]


def calibrate(model: "SkinVisionForImageClassification", validation: Predictions) -> None:
    """Fit a temperature and divide the classifier by it, so that every library's loader gives calibrated probabilities.

    The network is changed in place; one that is calibrated already stays as it is. `validation` are its predictions of
    that split; if they cannot be used, DataError is raised.
    """
    temperature = fit_temperature(validation.logits, validation.labels)
    if abs(temperature - 1) >= NEGLIGIBLE:
        fold(model, temperature, np.zeros(len(CODES)))


def fold(model: "SkinVisionForImageClassification", temperature: float, bias: np.ndarray) -> None:
    """Divide the classifier by a temperature and add the bias (7,) to its own, in place; see `fit_priors`."""
    classifier = model.timm_model.get_classifier()
    classifier.weight.data /= temperature
    classifier.bias.data /= temperature
    classifier.bias.data += classifier.bias.new_tensor(bias)
    model.config.calibration_temperature = recorded_temperature(model) * temperature


def recorded_temperature(model: "SkinVisionForImageClassification") -> float:
    """Return the product of all temperatures that the classifier was divided by since training; 1 for none."""
    return float(getattr(model.config, "calibration_temperature", 1.0))
