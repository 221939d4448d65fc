"""Scores of many images to estimates with intervals."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from skinvision_hf.evaluation.bootstrap import Estimate, Mean, Statistic, bootstrap
from skinvision_hf.explain.collecting import Collected, Kind, control
from skinvision_hf.explain.controls import CENTRE
from skinvision_hf.explain.scores import LEVELS, LocalisationScores
from skinvision_hf.labels import CODES

__all__ = ["CRITERIA", "MEASURES", "Localisation", "best_level", "summarise"]

CRITERIA = ("pointing_game", "energy_inside", "iou")
RATIO = "inside_outside_ratio"
MEASURES = (*CRITERIA, RATIO)

Estimates = Mapping[str, Estimate]


@dataclass(frozen=True)
class Localisation:
    """How well one kind of heat map finds the lesion on a part of a split.

    Attributes:
        kind: The kind of heat map.
        overall: Over all images, by name: `pointing_game`, `energy_inside`, `iou` at the level, and
            `inside_outside_ratio`, the mean heat on the lesion by the mean heat around it.
        over_centre: How much larger the first three are than those of the centre prior on the same images.
        per_class: The numbers of `overall` for the images of each diagnosis, by its code.
        by_outcome: The same for the images that the network classifies `correct`ly, and for the `incorrect` ones.
        level: Heat from which on a pixel counts as found; chosen on validation.
        empty_maps: Number of maps that are all zeros.
    """

    kind: Kind
    overall: Estimates
    over_centre: Estimates
    per_class: Mapping[str, Estimates]
    by_outcome: Mapping[str, Estimates]
    level: float
    empty_maps: int

    def to_dict(self, *, groups: bool = True) -> dict[str, Any]:
        """Return the attributes as a dictionary that JSON can hold.

        Args:
            groups: Whether those by diagnosis and outcome are among them.
        """
        result = {
            **self.kind._asdict(),
            **_plain(self.overall),
            "over_centre": _plain(self.over_centre),
            "iou_threshold": self.level,
            "empty_maps": self.empty_maps,
        }
        if groups:
            result["per_class"] = {code: _plain(estimates) for code, estimates in self.per_class.items()}
            result["by_outcome"] = {outcome: _plain(estimates) for outcome, estimates in self.by_outcome.items()}
        return result


def best_level(scores: LocalisationScores, kind: int) -> int:
    """Index of the level in `LEVELS` with the highest mean IoU. Call it with validation scores only."""
    return int(scores.iou[kind].mean(axis=0).argmax())


def summarise(collected: Collected, levels: Mapping[Kind, int], weights: np.ndarray) -> dict[Kind, Localisation]:
    """Estimate how well each kind of heat map finds the lesion.

    Args:
        collected: Scores of n images.
        levels: Index of the level for the IoU, by kind.
        weights: How often each image counts in each resample, from `skinvision_hf.evaluation.lesion_weights`.
    """
    labels, right = collected.labels, collected.predicted == collected.labels
    groups = {code: np.flatnonzero(labels == k) for k, code in enumerate(CODES)}
    outcomes = {"correct": np.flatnonzero(right), "incorrect": np.flatnonzero(~right)}
    prior = _values(collected, control(CENTRE), levels)
    result = {}
    for kind in collected.kinds:
        values, row = _values(collected, kind, levels), collected.kinds.index(kind)
        heat = collected.scores.inside[row], collected.scores.outside[row]
        result[kind] = Localisation(
            kind=kind,
            overall=_estimates(values, heat, slice(None), weights),
            over_centre={name: bootstrap(Mean(values[name] - prior[name]), weights) for name in CRITERIA},
            per_class={code: _estimates(values, heat, rows, weights) for code, rows in groups.items()},
            by_outcome={name: _estimates(values, heat, rows, weights) for name, rows in outcomes.items()},
            level=float(LEVELS[levels[kind]]),
            empty_maps=int(collected.scores.empty[row].sum()),
        )
    return result


def _values(collected: Collected, kind: Kind, levels: Mapping[Kind, int]) -> dict[str, np.ndarray]:
    """The score of each image, for the measures that are means over images."""
    scores, row = collected.scores, collected.kinds.index(kind)
    columns = (scores.pointing[row], scores.energy[row], scores.iou[row, :, levels[kind]])
    return {name: column.astype(np.float64) for name, column in zip(CRITERIA, columns, strict=True)}


def _estimates(
    values: Mapping[str, np.ndarray],
    heat: tuple[np.ndarray, np.ndarray],
    rows: np.ndarray | slice,
    weights: np.ndarray,
) -> dict[str, Estimate]:
    drawn = weights[:, rows]
    means = {name: bootstrap(Mean(value[rows]), drawn) for name, value in values.items()}
    return {**means, RATIO: bootstrap(_ratio_of_means(heat[0][rows], heat[1][rows]), drawn)}


def _ratio_of_means(upper: np.ndarray, lower: np.ndarray) -> Statistic:
    """A ratio of means, since the mean of ratios breaks when one map has nothing outside."""

    def statistic(weights: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore", divide="ignore"):
            return (weights @ upper) / (weights @ lower)

    return statistic


def _plain(estimates: Estimates) -> dict[str, Any]:
    return {name: estimate.to_dict() for name, estimate in estimates.items()}
