"""The largest differences between groups, over diagnoses that both have, judged by shuffling groups among lesions."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from skinvision_hf.evaluation.bootstrap import LEVEL, Estimate
from skinvision_hf.evaluation.metrics import SMALLEST_PROBABILITY
from skinvision_hf.evaluation.predictions import Predictions
from skinvision_hf.labels import CODES

__all__ = ["GAP_METRICS", "SHARED_LESIONS", "Gap", "find_gaps"]

SHARED_LESIONS = 10
"""Lesions of a diagnosis that both of two groups need to be compared over it."""

SHUFFLES = 2000
MELANOMA = CODES.index("mel")
OTHERS = tuple(k for k in range(len(CODES)) if k != MELANOMA)

# Whether more is better, and the diagnoses that a metric is about.
GAP_METRICS = {
    "balanced_accuracy": (True, tuple(range(len(CODES)))),
    "melanoma_sensitivity": (True, (MELANOMA,)),
    "melanoma_specificity": (True, OTHERS),
    "log_loss": (False, tuple(range(len(CODES)))),
    "brier_score": (False, tuple(range(len(CODES)))),
}
"""All are means over the images of a diagnosis, so that groups with other shares of the diagnoses can be compared."""


@dataclass(frozen=True)
class Gap:
    """The largest difference of a metric between two groups of an attribute.

    Attributes:
        metric: Name of the metric; here it is the mean over `diagnoses` of its mean over the images of each.
        best: Group that the model serves better: the larger value, or the smaller one of an error.
        worst: Group that it serves worse.
        difference: How far apart they are, from 0 up. Its interval is as wide to both sides as the gap that the largest
            one of 95 % of the shuffles stays below, so it holds for all pairs at once, as Tukey's test does.
        p_value: Share of shuffles of the groups, among the lesions of each diagnosis, with a gap at least as large.
        excludes_zero: Whether the interval does.
        diagnoses: Codes over which the two are compared.
    """

    metric: str
    best: str
    worst: str
    difference: Estimate
    p_value: float
    excludes_zero: bool
    diagnoses: tuple[str, ...]


def find_gaps(test: Predictions, names: np.ndarray, groups: Sequence[str], *, seed: int = 0) -> list[Gap]:
    """Find the largest gap of each of `GAP_METRICS`; metrics without two comparable groups are left out.

    Args:
        test: Predictions.
        names: Group of each image (n,).
        groups: Those to compare.
        seed: Seed of the shuffles.
    """
    if len(groups) < 2:
        return []
    rows = np.flatnonzero(np.isin(names, groups))
    group = np.searchsorted(np.sort(groups), names[rows])
    ordered, labels = sorted(groups), test.labels[rows]
    # A lesion moves as a whole; if its images are of several groups or labels, each such part does.
    splits = np.stack([np.unique(np.asarray(test.lesion_ids)[rows], return_inverse=True)[1], labels, group])
    units, unit, sizes = np.unique(splits, axis=1, return_inverse=True, return_counts=True)
    lesions = np.zeros((len(ordered), len(CODES)), dtype=int)
    np.add.at(lesions, (units[2], units[1]), 1)
    drawn = _shuffled(units[2], units[1], np.random.default_rng(seed))
    images = np.zeros_like(lesions)
    np.add.at(images, (group, labels), 1)
    values = _image_values(test, rows)
    totals = [np.bincount(unit.ravel(), weights=v, minlength=len(sizes)) for v in values.values()]
    means = _group_means(totals, sizes, units[1], drawn, len(ordered))
    found = [_largest(metric, ordered, m, lesions, images) for metric, m in zip(values, means, strict=True)]
    return [gap for gap in found if gap is not None]


def _image_values(test: Predictions, rows: np.ndarray) -> dict[str, np.ndarray]:
    """What each metric averages, for each image."""
    probabilities, labels = test.probabilities[rows], test.labels[rows]
    answer, truth = probabilities.argmax(axis=1), np.eye(len(CODES))[labels]
    likelihood = np.maximum((probabilities * truth).sum(axis=1), SMALLEST_PROBABILITY)
    return {
        "balanced_accuracy": (answer == labels).astype(float),
        "melanoma_sensitivity": (answer == MELANOMA).astype(float),
        "melanoma_specificity": (answer != MELANOMA).astype(float),
        "log_loss": -np.log(likelihood),
        "brier_score": ((probabilities - truth) ** 2).sum(axis=1),
    }


def _shuffled(group: np.ndarray, label: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Groups (1 + shuffles, units): as they are, and then shuffled within each diagnosis."""
    drawn = np.tile(group, (1 + SHUFFLES, 1))
    for k in np.unique(label):
        columns = np.flatnonzero(label == k)
        drawn[1:, columns] = generator.permuted(drawn[1:, columns], axis=1)
    return drawn


def _group_means(
    totals: list[np.ndarray], sizes: np.ndarray, label: np.ndarray, drawn: np.ndarray, groups: int
) -> list[np.ndarray]:
    """Means of each metric over the images of each diagnosis in each group (1 + shuffles, groups, 7); NaN without."""
    member = np.eye(len(CODES))[label]
    columns = np.concatenate([member * values[:, None] for values in (sizes, *totals)], axis=1)
    sums = np.stack([(drawn == g).astype(float) @ columns for g in range(groups)], axis=1)
    count, *rest = np.split(sums, 1 + len(totals), axis=2)
    with np.errstate(invalid="ignore"):
        return [split / count for split in rest]


def _largest(metric: str, groups: list[str], means: np.ndarray, lesions: np.ndarray, images: np.ndarray) -> Gap | None:
    """The largest gap of all pairs, beside the largest one of each shuffle."""
    more_is_better, about = GAP_METRICS[metric]
    pairs, differences = [], []
    for first, second in combinations(range(len(groups)), 2):
        shared = [k for k in about if min(lesions[first, k], lesions[second, k]) >= SHARED_LESIONS]
        if shared:
            pairs.append((first, second, shared))
            differences.append((means[:, first][:, shared] - means[:, second][:, shared]).mean(axis=1))
    if not pairs:
        return None
    gaps = np.stack(differences, axis=1)
    largest = np.abs(gaps).max(axis=1)
    place = int(np.abs(gaps[0]).argmax())
    first, second, shared = pairs[place]
    best, worst = (first, second) if (gaps[0, place] > 0) == more_is_better else (second, first)
    value, margin = float(largest[0]), float(np.quantile(largest[1:], LEVEL))
    count = int(images[[first, second]][:, shared].sum())
    # The groups as they are count as one of the shuffles, so that p is never zero.
    p_value = float((1 + (largest[1:] >= value - 1e-12).sum()) / (1 + SHUFFLES))
    return Gap(
        metric=metric,
        best=groups[best],
        worst=groups[worst],
        difference=Estimate(value, value - margin, value + margin, count),
        p_value=p_value,
        excludes_zero=value > margin,
        diagnoses=tuple(CODES[k] for k in shared),
    )
