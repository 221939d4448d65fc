"""95 % confidence intervals from resampling lesions with replacement."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from skinvision_hf.records import Estimate

RESAMPLES = 2000
LEVEL = 0.95

ROUNDING = 1e-12
INVERSION_STEPS = 20
LARGEST_FACTOR = 4.0

Statistic = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class AbsoluteSum:
    """The statistic that is a sum of absolute differences, such as a calibration error.

    Chance alone makes every term larger than it is, so `bootstrap` gives such a statistic an interval of its own.

    Attributes:
        gaps: From counts (R, n) to the differences with their signs (R, terms).
    """

    gaps: Statistic

    def __call__(self, counts: np.ndarray) -> np.ndarray:
        """From counts (R, n) to values (R,)."""
        return np.abs(self.gaps(counts)).sum(axis=1)


@dataclass(frozen=True)
class Mean:
    """The statistic that is the mean of a value over images, such as accuracy; NaN in resamples without any of them.

    A share of 0 or 1 is the same in every resample, so `bootstrap` gives it an interval of its own.

    Attributes:
        values: One for each image (n,); bool for a share.
        among: Which images count (n,) bool; all of them when None.
    """

    values: np.ndarray
    among: np.ndarray | None = None

    def __call__(self, counts: np.ndarray) -> np.ndarray:
        """From counts (R, n) to values (R,)."""
        values = self.values if self.among is None else self.values[self.among]
        counts = self.counts_among(counts)
        with np.errstate(invalid="ignore", divide="ignore"):
            return (counts @ values) / counts.sum(axis=1)

    def counts_among(self, counts: np.ndarray) -> np.ndarray:
        """The columns of counts (R, n) of the images that count."""
        return counts if self.among is None else counts[:, self.among]


@dataclass(frozen=True)
class ClassMean:
    """The statistic that is the mean over the diagnoses of one value each, such as balanced accuracy.

    A diagnosis whose value is 0 or 1, because a small group has few of its lesions, has the same value in every
    resample. `bootstrap` widens the interval by the exact one of each such diagnosis.

    Attributes:
        values: From counts (R, n) to the value of each diagnosis (R, 7); NaN where it is not defined.
        member: Which images have which diagnosis (n, 7) bool.
    """

    values: Statistic
    member: np.ndarray

    def __call__(self, counts: np.ndarray) -> np.ndarray:
        """From counts (R, n) to values (R,): means over the diagnoses that are defined; NaN where none is."""
        values = self.values(counts)
        defined = np.isfinite(values)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(defined, values, 0).sum(axis=1) / defined.sum(axis=1)

    def widen(self, value: float, ends: tuple[float, float], counts: np.ndarray) -> tuple[float, float]:
        """Add the exact intervals of values 0 and 1 to an interval, as MOVER does (Zou and Donner 2008)."""
        values = self.values(np.ones((1, counts.shape[1])))[0]
        below, above = (value - ends[0]) ** 2, (ends[1] - value) ** 2
        for k, found in enumerate(values):
            if found in (0.0, 1.0) and self.member[:, k].any():
                low, high = _clopper_pearson(found, counts[:, self.member[:, k]])
                below += ((found - low) / np.isfinite(values).sum()) ** 2
                above += ((high - found) / np.isfinite(values).sum()) ** 2
        return max(0.0, float(value - below**0.5)), min(1.0, float(value + above**0.5))


def lesion_counts(lesion_ids: Sequence[str], *, resamples: int = RESAMPLES, seed: int = 0) -> np.ndarray:
    """How often each image counts in each resample, when whole lesions are drawn with replacement.

    Photographs of one lesion are not independent; drawing images one by one would make intervals too narrow.

    Returns:
        Counts (resamples, images) float64; the same for the same seed.
    """
    _, lesion = np.unique(np.asarray(lesion_ids), return_inverse=True)
    count = int(lesion.max()) + 1 if len(lesion) else 0
    generator = np.random.default_rng(seed)
    draws = generator.multinomial(count, np.full(count, 1.0 / count), size=resamples)
    return draws[:, lesion].astype(np.float64)


def bootstrap(statistic: Statistic, counts: np.ndarray) -> Estimate:
    """Estimate a statistic and its percentile interval.

    Three kinds of statistics get another interval. The resamples of an `AbsoluteSum` lie above its value, which lies
    above the true one. Its interval therefore contains every multiple of the differences, from 0 to 4 times those that
    were found, with which a sum as large or as small as the value is likely; the value is always inside. A `Mean` that
    is a share of 0 or 1 has the exact interval over lesions, and such shares widen the interval of a `ClassMean`.

    There is no interval where more than half of the resamples are not defined, where all of them have the same value,
    or where an `AbsoluteSum` is smaller than chance alone would make it in 39 of 40 cases.

    Args:
        statistic: From counts (resamples, images) to values (resamples,), NaN where undefined.
        counts: From `lesion_counts`.
    """
    value = float(statistic(np.ones((1, counts.shape[1]), dtype=counts.dtype))[0])
    n = images_of(statistic, counts)
    if not np.isfinite(value):
        return Estimate(None, None, None, n)
    if isinstance(statistic, AbsoluteSum):
        low, high = _invert(statistic.gaps, counts)
        return Estimate(value, low, high, n)
    if isinstance(statistic, Mean) and statistic.values.dtype == bool and value in (0.0, 1.0):
        return Estimate(value, *_clopper_pearson(value, statistic.counts_among(counts)), n)
    values = np.asarray(statistic(counts), dtype=np.float64)
    values = values[np.isfinite(values)]
    if 2 * len(values) < len(counts):
        return Estimate(value, None, None, n)
    low, high = (float(end) for end in np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]))
    if isinstance(statistic, ClassMean):
        low, high = statistic.widen(value, (low, high), counts)
    return Estimate(value, low, high, n) if high - low >= ROUNDING else Estimate(value, None, None, n)


def estimate_all(statistics: Mapping[str, Statistic], counts: np.ndarray) -> dict[str, Estimate]:
    """Estimate each of several statistics; see `bootstrap`."""
    return {name: bootstrap(statistic, counts) for name, statistic in statistics.items()}


def images_of(statistic: Statistic, counts: np.ndarray) -> int:
    """Number of the images of counts (R, n) that a statistic is about."""
    return statistic.counts_among(counts).shape[1] if isinstance(statistic, Mean) else counts.shape[1]


def _clopper_pearson(share: float, counts: np.ndarray) -> tuple[float, float]:
    """The interval of Clopper and Pearson (1934) for a share that is 0 or 1, over the lesions of counts (R, n)."""
    from scipy.stats import binomtest

    # Images of one lesion are drawn together, and no two lesions are drawn equally often in all resamples.
    lesions = np.unique(counts, axis=1).shape[1]
    interval = binomtest(round(share) * lesions, lesions).proportion_ci(LEVEL, method="exact")
    return float(interval.low), float(interval.high)


def _invert(gaps: Statistic, counts: np.ndarray) -> tuple[float, float] | tuple[None, None]:
    """The smallest and the largest true sum of absolute gaps, in proportion to those found, that the data allow."""
    found = gaps(np.ones((1, counts.shape[1])))
    noise = gaps(counts) - found
    value = float(np.abs(found).sum())

    def largest_below(quantile: float) -> float:
        """The largest factor of the gaps with which that quantile of the sum stays below the value."""
        low, high = 0.0, LARGEST_FACTOR
        for _ in range(INVERSION_STEPS):
            middle = (low + high) / 2
            sums = np.abs(middle * found + noise).sum(axis=1)
            low, high = (middle, high) if np.nanquantile(sums, quantile) < value else (low, middle)
        return low

    largest = largest_below((1 - LEVEL) / 2)
    return (value * largest_below((1 + LEVEL) / 2), value * max(1.0, largest)) if largest > 0 else (None, None)
