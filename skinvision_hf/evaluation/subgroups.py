"""The main metrics by sex, age, body site, skin tone and confirmation, and the largest gaps between groups."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from skinvision_hf.data.skin_tone import typology_angle
from skinvision_hf.evaluation.bootstrap import LEVEL, estimate_all
from skinvision_hf.evaluation.metrics import MELANOMA, brier_scores, log_losses, overall_statistics
from skinvision_hf.evaluation.predictions import Predictions
from skinvision_hf.labels import CODES
from skinvision_hf.records import Estimate, Record

if TYPE_CHECKING:
    from datasets import Dataset

SMALL_GROUP = 30
"""Lesions below which a group is flagged, and not compared with others."""

SHARED_LESIONS = 10
"""Lesions of a diagnosis that both of two groups need to be compared over it."""

SHUFFLES = 2000
AGE_BANDS = ((0, "under 30"), (30, "30 to 44"), (45, "45 to 59"), (60, "60 to 74"), (75, "75 and over"))
SKIN_TONE = "skin tone (ITA)"
TONE_BANDS = ((-90, "dark"), (-30, "brown"), (10, "tan"), (28, "intermediate"), (41, "light"), (55, "very light"))
"""Groups of the individual typology angle in degrees (Del Bino and Bernerd 2013)."""

UNKNOWN = "unknown"
CONFIRMATIONS = {
    "histo": "histology",
    "follow_up": "follow-up",
    "consensus": "consensus or confocal",
    "confocal": "consensus or confocal",
}
ALL_CLASSES = tuple(range(len(CODES)))
OTHERS = tuple(k for k in ALL_CLASSES if k != MELANOMA)

# Whether more is better, the diagnoses that a metric is about, and what it is the mean of over their images, from
# labels (n,) and probabilities (n, 7).
GAP_METRICS: dict[str, tuple[bool, tuple[int, ...], Callable[[np.ndarray, np.ndarray], np.ndarray]]] = {
    "balanced_accuracy": (True, ALL_CLASSES, lambda labels, probabilities: probabilities.argmax(axis=1) == labels),
    "melanoma_sensitivity": (True, (MELANOMA,), lambda _, probabilities: probabilities.argmax(axis=1) == MELANOMA),
    "melanoma_specificity": (True, OTHERS, lambda _, probabilities: probabilities.argmax(axis=1) != MELANOMA),
    "log_loss": (False, ALL_CLASSES, log_losses),
    "brier_score": (False, ALL_CLASSES, brier_scores),
}
"""All are means over the images of a diagnosis, so that groups with other shares of the diagnoses can be compared."""


@dataclass(frozen=True)
class Group(Record):
    """The images that share a value of an attribute. Metrics count only the diagnoses that the group has."""

    name: str
    images: int
    lesions: int
    small: bool
    metrics: dict[str, Estimate]


@dataclass(frozen=True)
class Gap(Record):
    """The largest difference of a metric between two groups of an attribute.

    Here a metric is the mean over `diagnoses` of its mean over the images of each. The interval of the difference is as
    wide to both sides as the gap that the largest one of 95 % of the shuffles stays below, so it holds for all pairs at
    once, as Tukey's test does.
    """

    metric: str
    best: str
    worst: str
    difference: Estimate
    p_value: float
    excludes_zero: bool
    diagnoses: tuple[str, ...]


@dataclass(frozen=True)
class SubgroupReport(Record):
    """The groups of each attribute, and the largest gap of each metric that two groups can be compared by."""

    groups: dict[str, tuple[Group, ...]]
    gaps: dict[str, tuple[Gap, ...]]

    def gap(self, attribute: str, metric: str) -> Gap | None:
        """Return the largest gap of a metric; None where no two groups are large enough."""
        return next((gap for gap in self.gaps[attribute] if gap.metric == metric), None)


def group_columns(dataset: "Dataset") -> dict[str, list[str]]:
    """Read the group of each image, by `sex`, `age`, `body site`, and where known by `confirmation` and `SKIN_TONE`.

    The latter two need the columns dx_type and image.
    """
    columns = {
        "sex": [sex or UNKNOWN for sex in dataset["sex"]],
        "age": [_band(age, AGE_BANDS) for age in dataset["age"]],
        "body site": [site or UNKNOWN for site in dataset["localization"]],
    }
    if "dx_type" in dataset.column_names:
        columns["confirmation"] = [CONFIRMATIONS.get(kind, UNKNOWN) for kind in dataset["dx_type"]]
    if "image" in dataset.column_names:
        angles = (typology_angle(row["image"]) for row in dataset.select_columns(["image"]))
        columns[SKIN_TONE] = [_band(angle, TONE_BANDS) for angle in angles]
    return columns


def measure_subgroups(test: Predictions, columns: Mapping[str, Sequence[str]]) -> SubgroupReport:
    """Measure the main metrics of every group, and the largest gaps between groups; see `group_columns`."""
    groups, gaps = {}, {}
    for attribute, names in columns.items():
        group = np.asarray(names)
        groups[attribute] = tuple(_measure_group(name, test, group == name) for name in _in_order(names))
        compared = [g.name for g in groups[attribute] if not g.small and g.name != UNKNOWN]
        gaps[attribute] = tuple(find_gaps(test, group, compared))
    return SubgroupReport(groups, gaps)


def _measure_group(name: str, test: Predictions, rows: np.ndarray) -> Group:
    members = test.select(rows)
    lesions = len(set(members.lesion_ids))
    return Group(
        name=name,
        images=len(members.labels),
        lesions=lesions,
        small=lesions < SMALL_GROUP,
        metrics=estimate_all(overall_statistics(members.labels, members.probabilities), test.counts[:, rows]),
    )


def _band(value: float | None, bands: Sequence[tuple[int, str]]) -> str:
    """The band of a value, from the start and the name of each; unknown without a value, and below the first."""
    found = [name for start, name in bands if value is not None and value >= start]
    return found[-1] if found else UNKNOWN


def _in_order(names: Sequence[str]) -> list[str]:
    """The names that occur: bands by value, others alphabetically, unknown ones last."""
    bands = [name for _, name in (*AGE_BANDS, *TONE_BANDS)]
    return sorted(set(names), key=lambda name: (name == UNKNOWN, bands.index(name) if name in bands else 0, name))


def find_gaps(test: Predictions, names: np.ndarray, groups: Sequence[str]) -> list[Gap]:
    """Find the largest gap of each of `GAP_METRICS` among some groups, where `names` (n,) is the group of each image.

    Metrics without two comparable groups are left out.
    """
    if len(groups) < 2:
        return []
    groups, compared = sorted(groups), np.isin(names, groups)
    test, group = test.select(compared), np.searchsorted(groups, names[compared])
    # A lesion moves as a whole; if its images are of several groups or labels, each such part does.
    parts = np.stack([np.unique(test.lesion_ids, return_inverse=True)[1], test.labels, group])
    units, unit, sizes = np.unique(parts, axis=1, return_inverse=True, return_counts=True)
    values = {name: of_images(test.labels, test.probabilities) for name, (_, _, of_images) in GAP_METRICS.items()}
    columns = [np.ones(len(sizes)), sizes, *(np.bincount(unit.ravel(), weights=v) for v in values.values())]
    drawn = _shuffled(units[2], units[1], np.random.default_rng(0))
    lesions, images, *totals = _sums(columns, units[1], drawn, len(groups))
    with np.errstate(invalid="ignore"):
        means = {metric: total / images for metric, total in zip(values, totals, strict=True)}
    found = [_largest(metric, groups, m, lesions[0], images[0]) for metric, m in means.items()]
    return [gap for gap in found if gap is not None]


def _shuffled(group: np.ndarray, label: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Groups (1 + shuffles, units): as they are, and then shuffled within each diagnosis."""
    drawn = np.tile(group, (1 + SHUFFLES, 1))
    for k in np.unique(label):
        columns = np.flatnonzero(label == k)
        drawn[1:, columns] = generator.permuted(drawn[1:, columns], axis=1)
    return drawn


def _sums(columns: list[np.ndarray], label: np.ndarray, drawn: np.ndarray, groups: int) -> list[np.ndarray]:
    """Sums of each column over the units of each diagnosis in each group (1 + shuffles, groups, 7)."""
    member = np.eye(len(CODES))[label]
    by_label = np.concatenate([member * column[:, None] for column in columns], axis=1)
    sums = np.stack([(drawn == g).astype(float) @ by_label for g in range(groups)], axis=1)
    return np.split(sums, len(columns), axis=2)


def _largest(metric: str, groups: list[str], means: np.ndarray, lesions: np.ndarray, images: np.ndarray) -> Gap | None:
    """The largest gap of all pairs, beside the largest one of each shuffle."""
    more_is_better, about, _ = GAP_METRICS[metric]
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
