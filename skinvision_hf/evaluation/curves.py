"""Curves with 95 % bootstrap bands: ROC, net benefit, and risk against coverage; each for all resamples at once."""

from dataclasses import dataclass

import numpy as np

from skinvision_hf.evaluation.bootstrap import LEVEL, Statistic
from skinvision_hf.evaluation.metrics import roc_rates
from skinvision_hf.records import Record

FALSE_POSITIVE_RATES = np.linspace(0, 1, 101)
COVERAGES = np.linspace(0.05, 1, 96)
DIGITS = 4


@dataclass(frozen=True)
class Curve(Record):
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


def roc_curve(scores: np.ndarray, positive: np.ndarray, counts: np.ndarray) -> Curve:
    """Sensitivity against the false positive rate.

    Args:
        scores: Higher means more likely positive (n,).
        positive: The ground truth (n,) bool.
        counts: Bootstrap counts (R, n).
    """

    def statistic(counts: np.ndarray) -> np.ndarray:
        rates = zip(*roc_rates(scores, positive, counts), strict=True)
        return np.stack([np.interp(FALSE_POSITIVE_RATES, false, true) for false, true in rates])

    return _with_band(FALSE_POSITIVE_RATES, statistic, counts)


def net_benefit_curve(scores: np.ndarray, positive: np.ndarray, thresholds: np.ndarray, counts: np.ndarray) -> Curve:
    """Net benefit per image of acting on every score from a threshold on (Vickers and Elkin 2006).

    Net benefit is the share of true positives, minus the share of false positives times the odds of the threshold: the
    number of false alarms that someone accepts for one find.

    Args:
        scores: Probabilities (n,).
        positive: The ground truth (n,) bool.
        thresholds: Probabilities in (0, 1) (m,).
        counts: Bootstrap counts (R, n).
    """
    gain = np.where(positive[:, None], 1.0, -thresholds / (1 - thresholds)) * (scores[:, None] >= thresholds)

    def statistic(counts: np.ndarray) -> np.ndarray:
        return (counts @ gain) / counts.sum(axis=1, keepdims=True)

    return _with_band(thresholds, statistic, counts)


def risk_curve(confidence: np.ndarray, wrong: np.ndarray, counts: np.ndarray) -> Curve:
    """Error rate among the most confident images against the share of images that are answered.

    Args:
        confidence: Higher means answered earlier (n,).
        wrong: Whether the answer is wrong (n,) bool.
        counts: Bootstrap counts (R, n).
    """

    def statistic(counts: np.ndarray) -> np.ndarray:
        rows = zip(*_risks(confidence, wrong, counts), strict=True)
        return np.stack([np.interp(COVERAGES, coverage, risk) for coverage, risk in rows])

    return _with_band(COVERAGES, statistic, counts)


def area_under_risk(confidence: np.ndarray, wrong: np.ndarray) -> Statistic:
    """Make the statistic that is the mean risk over all coverages, AURC (Geifman et al. 2019, arXiv:1805.08206)."""

    def statistic(counts: np.ndarray) -> np.ndarray:
        coverage, risk = _risks(confidence, wrong, counts)
        return (np.diff(coverage, axis=1, prepend=0) * risk).sum(axis=1)

    return statistic


def _risks(confidence: np.ndarray, wrong: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coverage and error rate (R, n) as images are added, the most confident first."""
    order = np.argsort(-confidence, kind="stable")
    answered = np.cumsum(counts[:, order], axis=1)
    errors = np.cumsum(counts[:, order] * wrong[order], axis=1)
    return answered / answered[:, -1:], errors / np.maximum(answered, 1)


def _with_band(x: np.ndarray, statistic: Statistic, counts: np.ndarray) -> Curve:
    value = statistic(np.ones((1, counts.shape[1]), dtype=counts.dtype))[0]
    low, high = np.nanquantile(statistic(counts), [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return Curve(*(tuple(np.round(row.astype(np.float64), DIGITS).tolist()) for row in (x, value, low, high)))
