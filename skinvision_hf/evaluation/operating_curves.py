"""Curves with 95 % bands: ROC, net benefit, and risk against coverage; each for all resamples at once."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from skinvision_hf.evaluation.bootstrap import LEVEL, Statistic
from skinvision_hf.evaluation.metrics import roc_rates

__all__ = ["Curve", "area_under_risk", "net_benefit_curve", "risk_curve", "roc_curve"]

FALSE_POSITIVE_RATES = np.linspace(0, 1, 101)
COVERAGES = np.linspace(0.05, 1, 96)
DIGITS = 4


@dataclass(frozen=True)
class Curve:
    """A curve and its pointwise 95 % bootstrap band.

    Attributes:
        x: Positions.
        y: Values on the images as they are.
        low: Lower end of the band.
        high: Upper end.
    """

    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    def at(self, x: float) -> float:
        """Return the value at a position, interpolated."""
        return float(np.interp(x, self.x, self.y))

    def to_dict(self) -> dict[str, Any]:
        """Return all attributes as a dictionary that JSON can hold."""
        return {key: list(values) for key, values in asdict(self).items()}


def roc_curve(scores: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> Curve:
    """Sensitivity against the false positive rate.

    Args:
        scores: Higher means more likely positive (n,).
        positive: The truth (n,) bool.
        weights: Resamples (R, n).
    """

    def statistic(weights: np.ndarray) -> np.ndarray:
        rates = zip(*roc_rates(scores, positive, weights), strict=True)
        return np.stack([np.interp(FALSE_POSITIVE_RATES, false, true) for false, true in rates])

    return _with_band(FALSE_POSITIVE_RATES, statistic, weights)


def net_benefit_curve(scores: np.ndarray, positive: np.ndarray, thresholds: np.ndarray, weights: np.ndarray) -> Curve:
    """Net benefit per image of acting on every score from a threshold on (Vickers and Elkin 2006).

    Net benefit is the share of true positives, less the share of false positives times the odds of the threshold: the
    number of false alarms that someone accepts for one find.

    Args:
        scores: Probabilities (n,).
        positive: The truth (n,) bool.
        thresholds: Probabilities in (0, 1) (m,).
        weights: Resamples (R, n).
    """
    gain = np.where(positive[:, None], 1.0, -thresholds / (1 - thresholds)) * (scores[:, None] >= thresholds)

    def statistic(weights: np.ndarray) -> np.ndarray:
        return (weights @ gain) / weights.sum(axis=1, keepdims=True)

    return _with_band(thresholds, statistic, weights)


def risk_curve(confidence: np.ndarray, wrong: np.ndarray, weights: np.ndarray) -> Curve:
    """Error rate among the most confident images against the share of images that are answered.

    Args:
        confidence: Higher means answered earlier (n,).
        wrong: Whether the answer is wrong (n,) bool.
        weights: Resamples (R, n).
    """

    def statistic(weights: np.ndarray) -> np.ndarray:
        rows = zip(*_risks(confidence, wrong, weights), strict=True)
        return np.stack([np.interp(COVERAGES, coverage, risk) for coverage, risk in rows])

    return _with_band(COVERAGES, statistic, weights)


def area_under_risk(confidence: np.ndarray, wrong: np.ndarray) -> Statistic:
    """Make the statistic that is the mean risk over all coverages, AURC (Geifman et al. 2019, arXiv:1805.08206)."""

    def statistic(weights: np.ndarray) -> np.ndarray:
        coverage, risk = _risks(confidence, wrong, weights)
        return (np.diff(coverage, axis=1, prepend=0) * risk).sum(axis=1)

    return statistic


def _risks(confidence: np.ndarray, wrong: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coverage and error rate (R, n) as images are added, the most confident first."""
    order = np.argsort(-confidence, kind="stable")
    answered = np.cumsum(weights[:, order], axis=1)
    errors = np.cumsum(weights[:, order] * wrong[order], axis=1)
    return answered / answered[:, -1:], errors / np.maximum(answered, 1)


def _with_band(x: np.ndarray, statistic: Callable[[np.ndarray], np.ndarray], weights: np.ndarray) -> Curve:
    value = statistic(np.ones((1, weights.shape[1]), dtype=weights.dtype))[0]
    low, high = np.nanquantile(statistic(weights), [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return Curve(*(tuple(np.round(row.astype(np.float64), DIGITS).tolist()) for row in (x, value, low, high)))
