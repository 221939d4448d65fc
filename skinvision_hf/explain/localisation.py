"""Scores of many images to estimates, and the choice of the best method."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import rankdata

from skinvision_hf.explain.scores import LEVELS, LocalisationScores
from skinvision_hf.labels import CODES
from skinvision_hf.metrics.estimates import Estimate, Statistic, bootstrap, mean_of

__all__ = ["CRITERIA", "Localisation", "best_level", "favourite", "summarise"]

CRITERIA = ("pointing_game", "energy_inside", "iou")


@dataclass(frozen=True)
class Localisation:
    """How well one kind of heat map finds the lesion on a part of a split.

    Attributes:
        overall: Over all images, by name: `pointing_game`, `energy_inside`, `iou` at the level, and
            `inside_outside_ratio`, the mean heat on the lesion by the mean heat around it.
        per_class: The same for the images of each diagnosis, by its code.
        level: Heat from which on a pixel counts as found; chosen on validation.
        empty_maps: Number of maps that are all zeros.
    """

    overall: Mapping[str, Estimate]
    per_class: Mapping[str, Mapping[str, Estimate]]
    level: float
    empty_maps: int

    def to_dict(self) -> dict[str, Any]:
        """Return all attributes as a dictionary that JSON can hold."""
        return {
            **{name: estimate.to_dict() for name, estimate in self.overall.items()},
            "iou_threshold": self.level,
            "empty_maps": self.empty_maps,
            "per_class": {c: {name: e.to_dict() for name, e in v.items()} for c, v in self.per_class.items()},
        }


def best_level(scores: LocalisationScores, kind: int) -> int:
    """Index of the level in `LEVELS` with the highest mean IoU. Call it with validation scores only."""
    return int(scores.iou[kind].mean(axis=0).argmax())


def summarise(
    scores: LocalisationScores, kind: int, level: int, labels: np.ndarray, weights: np.ndarray
) -> Localisation:
    """Estimate how well one kind of heat map finds the lesion.

    Args:
        scores: Scores of n images.
        kind: Which kind of map.
        level: Index of the level for the IoU.
        labels: True class of each image (n,).
        weights: How often each image counts in each resample, from `skinvision_hf.metrics.lesion_weights`.
    """
    values = {
        "pointing_game": scores.pointing[kind],
        "energy_inside": scores.energy[kind],
        "iou": scores.iou[kind, :, level],
    }

    def estimates(rows: np.ndarray) -> dict[str, Estimate]:
        drawn = weights[:, rows]
        ratio = _ratio_of_means(scores.inside[kind, rows], scores.outside[kind, rows])
        means = {name: bootstrap(mean_of(value[rows]), drawn) for name, value in values.items()}
        return {**means, "inside_outside_ratio": bootstrap(ratio, drawn)}

    return Localisation(
        overall=estimates(np.arange(len(labels))),
        per_class={code: estimates(np.flatnonzero(labels == k)) for k, code in enumerate(CODES)},
        level=float(LEVELS[level]),
        empty_maps=int(scores.empty[kind].sum()),
    )


def favourite(validation: Mapping[str, Localisation], methods: Sequence[str]) -> str:
    """Choose the method with the best mean rank over `CRITERIA`; among equals the first.

    Args:
        validation: Results on the validation split, by method.
        methods: The candidates, in order of preference.
    """
    # Grad-CAM and HiResCAM are the same map here, up to the last bits; those must not decide.
    table = np.array([[round(validation[m].overall[name].value or 0, 4) for name in CRITERIA] for m in methods])
    ranks = rankdata(-table, method="min", axis=0).mean(axis=1)
    return methods[int(ranks.argmin())]


def _ratio_of_means(upper: np.ndarray, lower: np.ndarray) -> Statistic:
    """A ratio of means, since the mean of ratios breaks when one map has nothing outside."""

    def statistic(weights: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore", divide="ignore"):
            return (weights @ upper) / (weights @ lower)

    return statistic
