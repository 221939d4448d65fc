"""The main metrics for women and men, young and old, each body site and each way in which a diagnosis was confirmed."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from datasets import Dataset

from skinvision_hf.evaluation.bootstrap import LEVEL, Estimate, bootstrap, lesion_weights
from skinvision_hf.evaluation.gaps import SHARED_LESIONS, Gap, find_gaps
from skinvision_hf.evaluation.metrics import overall_statistics
from skinvision_hf.evaluation.predictions import Predictions
from skinvision_hf.labels import diagnosis

__all__ = ["SMALL_GROUP", "Group", "SubgroupReport", "group_columns", "measure_subgroups"]

SMALL_GROUP = 30
"""Lesions below which a group is flagged, and not compared with others."""

AGE_BANDS = ((0, "under 30"), (30, "30 to 44"), (45, "45 to 59"), (60, "60 to 74"), (75, "75 and over"))
UNKNOWN = "unknown"
CONFIRMATIONS = {
    "histo": "histology",
    "follow_up": "follow-up",
    "consensus": "consensus or confocal",
    "confocal": "consensus or confocal",
}
SKIN_TONE = (
    "Skin tone is not in the data: HAM10000 records none, and its images come from clinics in Austria and Australia "
    "with mostly light-skinned patients. Nothing here says how the model does on dark skin."
)


@dataclass(frozen=True)
class Group:
    """The images that share a value of an attribute.

    Attributes:
        name: The value, such as `female`.
        images: Their number.
        lesions: Number of their lesions.
        small: Whether there are fewer than `SMALL_GROUP` lesions, so that the numbers say little.
        metrics: The main metrics; those about several diagnoses count only the diagnoses that the group has.
    """

    name: str
    images: int
    lesions: int
    small: bool
    metrics: dict[str, Estimate]


@dataclass(frozen=True)
class SubgroupReport:
    """Metrics by subgroup.

    Attributes:
        groups: The groups of each attribute.
        gaps: The largest gap of each metric for each attribute; metrics without two groups to compare are left out.
    """

    groups: dict[str, tuple[Group, ...]]
    gaps: dict[str, tuple[Gap, ...]]

    def gap(self, attribute: str, metric: str) -> Gap | None:
        """Return the largest gap of a metric; None where no two groups are large enough."""
        return next((gap for gap in self.gaps[attribute] if gap.metric == metric), None)

    @property
    def summary(self) -> str:
        """The finding in one paragraph of plain English."""
        sentences, tests = [], sum(map(len, self.gaps.values()))
        for attribute in self.groups:
            gap = self.gap(attribute, "balanced_accuracy")
            if gap is None or gap.difference.value is None:
                continue
            verdict = "more than chance explains" if gap.p_value * tests <= 1 - LEVEL else "which may be chance"
            sentences.append(
                f"by {attribute}, it is {100 * gap.difference.value:.0f} percentage points higher for '{gap.best}' "
                f"than for '{gap.worst}' over {_names(gap.diagnoses)}, {verdict} (p = {gap.p_value:.2g})"
            )
        small = sum(group.small for groups in self.groups.values() for group in groups)
        found = "; ".join(sentences) or "no two groups were large enough to compare"
        return (
            "A good average can hide a group for which a model fails. Balanced accuracy, the share of each diagnosis "
            f"that is recognised, differs between groups of the images measured here: {found}. Two groups are compared "
            f"only over diagnoses of which both have at least {SHARED_LESIONS} lesions, each counting the same; these "
            "can still be harder to tell in one group. The pairs were picked because they differ most, so chance is "
            "judged by the largest gap that appears when the groups are shuffled among the lesions of each diagnosis; "
            f"and as this was done {tests} times, more than chance is said only where p times {tests} is at most "
            f"{1 - LEVEL:.2g} (Bonferroni). Groups of fewer than {SMALL_GROUP} lesions ({small} of them) are shown and "
            f"marked, but not compared. {SKIN_TONE}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the section `subgroups` of metrics.json."""
        return {
            "summary": self.summary,
            "skin_tone": SKIN_TONE,
            "small_group": SMALL_GROUP,
            "groups": {name: [asdict(group) for group in groups] for name, groups in self.groups.items()},
            "gaps": {
                name: [asdict(gap) | {"diagnoses": list(gap.diagnoses)} for gap in gaps]
                for name, gaps in self.gaps.items()
            },
        }


def group_columns(dataset: Dataset) -> dict[str, list[str]]:
    """Read the group of each image for each attribute that a split has.

    Args:
        dataset: A split with the columns age, sex and localization and, for the confirmation type, dx_type.

    Returns:
        Names of groups, by `sex`, `age`, `body site` and `confirmation`, in the order of the split.
    """
    columns = {
        "sex": [sex or UNKNOWN for sex in dataset["sex"]],
        "age": [_age_band(age) for age in dataset["age"]],
        "body site": [site or UNKNOWN for site in dataset["localization"]],
    }
    if "dx_type" in dataset.column_names:
        columns["confirmation"] = [CONFIRMATIONS.get(kind, UNKNOWN) for kind in dataset["dx_type"]]
    return columns


def measure_subgroups(
    test: Predictions, columns: Mapping[str, Sequence[str]], *, weights: np.ndarray | None = None
) -> SubgroupReport:
    """Measure the main metrics of every group, and the largest gaps between groups.

    Args:
        test: Predictions.
        columns: Group of each image, by attribute; see `group_columns`.
        weights: Resamples from `lesion_weights`; the default ones when None.
    """
    weights = lesion_weights(test.lesion_ids) if weights is None else weights
    groups, gaps = {}, {}
    for attribute, names in columns.items():
        rows = {name: np.flatnonzero(np.asarray(names) == name) for name in _in_order(names)}
        groups[attribute] = tuple(_measure_group(name, test, row, weights) for name, row in rows.items())
        compared = [g.name for g in groups[attribute] if not g.small and g.name != UNKNOWN]
        gaps[attribute] = tuple(find_gaps(test, np.asarray(names), compared))
    return SubgroupReport(groups, gaps)


def _measure_group(name: str, test: Predictions, rows: np.ndarray, weights: np.ndarray) -> Group:
    statistics = overall_statistics(test.labels[rows], test.probabilities[rows])
    lesions = {test.lesion_ids[row] for row in rows}
    return Group(
        name=name,
        images=len(rows),
        lesions=len(lesions),
        small=len(lesions) < SMALL_GROUP,
        metrics={metric: bootstrap(s, weights[:, rows], n=n) for metric, (s, n) in statistics.items()},
    )


def _names(codes: Sequence[str]) -> str:
    return f"{diagnosis(codes[0]).name.lower()} alone" if len(codes) == 1 else f"{len(codes)} diagnoses"


def _age_band(age: float | None) -> str:
    if age is None or not age >= 0:
        return UNKNOWN
    return next(name for start, name in reversed(AGE_BANDS) if age >= start)


def _in_order(names: Sequence[str]) -> list[str]:
    """The names that occur: age bands by age, others by the alphabet, unknown ones last."""
    bands = [name for _, name in AGE_BANDS]
    return sorted(set(names), key=lambda name: (name == UNKNOWN, bands.index(name) if name in bands else 0, name))
