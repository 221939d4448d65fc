"""How well heat maps find a lesion whose outline is known: one number a map, before any average."""

from dataclasses import dataclass, fields

import numpy as np

__all__ = ["LEVELS", "LocalisationScores", "score_maps"]

STEPS = 20
LEVELS = np.arange(1, STEPS) / STEPS
"""Heat from which on a pixel can count as found."""


@dataclass(frozen=True, eq=False)
class LocalisationScores:
    """Scores of k kinds of heat map on n images; the first two dimensions of every array are (k, n).

    Attributes:
        pointing: Whether the hottest pixel lies on the lesion (Zhang et al. 2018, doi:10.1007/s11263-017-1059-x); a map
            of zeros points nowhere.
        energy: Share of the heat that lies on the lesion (Wang et al. 2020, doi:10.1109/CVPRW50498.2020.00020); none of
            it in a map of zeros.
        inside: Mean heat on the lesion.
        outside: Mean heat around it.
        iou: Intersection over union of the lesion and the pixels that are at least as hot as each of `LEVELS`; a third
            dimension.
        area: Share of the image that the lesion fills; the same for all kinds.
        empty: Whether the map is all zeros.
    """

    pointing: np.ndarray
    energy: np.ndarray
    inside: np.ndarray
    outside: np.ndarray
    iou: np.ndarray
    area: np.ndarray
    empty: np.ndarray

    @classmethod
    def stack(cls, images: list["LocalisationScores"]) -> "LocalisationScores":
        """Join the scores of several images."""
        names = [field.name for field in fields(cls)]
        return cls(**{name: np.concatenate([getattr(image, name) for image in images], axis=1) for name in names})


def score_maps(maps: np.ndarray, lesion: np.ndarray) -> LocalisationScores:
    """Score several heat maps of one image.

    Args:
        maps: Heat (k, height, width) in [0, 1].
        lesion: Whether a pixel lies on the lesion (height, width), bool; some must and some must not.

    Returns:
        The scores, with n = 1.
    """
    kinds, inside = len(maps), lesion.ravel()
    flat = maps.reshape(kinds, -1)
    total, on_lesion = flat.sum(axis=1, dtype=np.float64), flat[:, inside].sum(axis=1, dtype=np.float64)
    empty = total == 0
    found, hit = _counts(flat), _counts(flat[:, inside])
    values = {
        "pointing": inside[flat.argmax(axis=1)] & ~empty,
        "energy": on_lesion / np.where(empty, 1, total),
        "inside": on_lesion / inside.sum(),
        "outside": (total - on_lesion) / (~inside).sum(),
        "iou": hit / (found + inside.sum() - hit),
        "area": np.full(kinds, inside.mean()),
        "empty": empty,
    }
    return LocalisationScores(**{name: np.asarray(value)[:, None] for name, value in values.items()})


def _counts(flat: np.ndarray) -> np.ndarray:
    """Pixels that are at least as hot as each level (kinds, levels), from one histogram instead of a pass a level."""
    kinds = len(flat)
    bins = np.clip((flat * STEPS + 1e-4).astype(np.int64), 0, STEPS - 1) + STEPS * np.arange(kinds)[:, None]
    histogram = np.bincount(bins.ravel(), minlength=kinds * STEPS).reshape(kinds, STEPS)
    return histogram[:, ::-1].cumsum(axis=1)[:, ::-1][:, 1:]
