"""The prediction for one image: its verdict, which follows from a threshold, and its conformal prediction set."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Literal

import numpy as np

from skinvision_hf.errors import DataError, ModelError
from skinvision_hf.labels import CODES, MALIGNANT_CODES, diagnosis
from skinvision_hf.models.release import CONFORMAL_FILE, METRICS_FILE
from skinvision_hf.records import Estimate, Record

TASKS: dict[str, tuple[str, ...]] = {"malignant": MALIGNANT_CODES, "melanoma": ("mel",)}
"""The questions of the verdict, and the codes that count as positive."""

MIN_SENSITIVITY = 0.95
"""Sensitivity, on validation images, of the threshold that decides what is suspicious."""

COVERAGE = 0.9
"""Default coverage of prediction sets: the share of images whose set contains the ground truth."""

Kind = Literal["sensitivity", "specificity"]


@dataclass(frozen=True)
class OperatingPoint(Record):
    """A threshold on the probability of a task's codes, chosen on validation and measured on test.

    Attributes:
        task: A key of `TASKS`.
        fixed: The rate, sensitivity or specificity, that the threshold had to reach on validation.
        level: The value that it had to reach.
        threshold: Probability; an image counts as positive if it has at least this.
        sensitivity: Share of positive test images that are found.
        specificity: Share of negative test images that do not count as positive.
        precision: Share of positive images among the test images that count as positive.
        negative_predictive_value: Share of negative images among the test images that do not.
    """

    task: str
    fixed: Kind
    level: float
    threshold: float
    sensitivity: Estimate
    specificity: Estimate
    precision: Estimate
    negative_predictive_value: Estimate

    def is_positive(self, probabilities: Mapping[str, float]) -> bool:
        """Decide about one image from the probability of each code."""
        return sum(probabilities[code] for code in TASKS[self.task]) >= self.threshold

    def explain(self, probabilities: Mapping[str, float]) -> str:
        """State the verdict about one image, and the quality of the threshold, in one sentence."""
        decision = "suspicious" if self.is_positive(probabilities) else "not suspicious"
        return (
            f"{self.task.capitalize()}: {decision}, by a threshold of {self.threshold:.1%} that found "
            f"{self.sensitivity:.0%} of the {self.task} test images and cleared "
            f"{self.specificity:.0%} of the others."
        )


@dataclass(frozen=True, repr=False)
class Prediction(Record):
    """The prediction for one image. For education and research only; not a diagnosis.

    `to_dict` makes a dictionary that JSON can hold, and `Prediction.from_dict` reads it.

    Attributes:
        suspicious: The verdict: whether the probability reaches the threshold of `operating_point`. None when the
            release has no operating points.
        operating_point: The threshold, with its sensitivity and specificity on test images; by default the one that
            found 95 % of the images with malignant diagnoses on validation. None when the release has none.
        label: Code of the most probable diagnosis; see `skinvision_hf.labels.CODES`.
        name: Its plain English name.
        confidence: Its probability, in [0, 1].
        probabilities: Probability of each of the seven codes, in the order of `CODES`; they add up to 1.
        malignant_probability: Sum over the malignant codes mel, bcc and akiec, in [0, 1].
        in_distribution: Whether the image is like the training images. If not, do not rely on the other values. None
            when the release has no OOD detector.
        unusual: Whether an image is in distribution, but with such a low score that the prediction is less reliable.
            None when the release has no threshold for this.
        in_distribution_score: Share of validation images that are at most as similar to the training images as this
            one, in [0, 1]; None without a detector.
        prediction_set: Codes of the conformal prediction set, the most probable first. None when the release has no
            conformal scores.
        coverage: Share of images whose set contains the ground truth, in (0, 1); None without a set.
    """

    suspicious: bool | None
    operating_point: OperatingPoint | None
    label: str
    name: str
    confidence: float
    probabilities: dict[str, float]
    malignant_probability: float
    in_distribution: bool | None
    unusual: bool | None
    in_distribution_score: float | None
    prediction_set: tuple[str, ...] | None
    coverage: float | None

    @classmethod
    def from_probabilities(
        cls,
        probabilities: Sequence[float],
        *,
        operating_point: OperatingPoint | None = None,
        in_distribution: bool | None = None,
        unusual: bool | None = None,
        in_distribution_score: float | None = None,
        in_set: Sequence[bool] | None = None,
        coverage: float | None = None,
    ) -> "Prediction":
        """Make a prediction from probabilities and membership in the prediction set, in the order of `CODES`."""
        by_code = dict(zip(CODES, probabilities, strict=True))
        ranked = sorted(CODES, key=lambda code: -by_code[code])
        members = None if in_set is None else tuple(code for code in ranked if in_set[CODES.index(code)])
        return cls(
            suspicious=operating_point.is_positive(by_code) if operating_point else None,
            operating_point=operating_point,
            label=ranked[0],
            name=diagnosis(ranked[0]).name,
            confidence=by_code[ranked[0]],
            probabilities=by_code,
            malignant_probability=sum(by_code[code] for code in MALIGNANT_CODES),
            in_distribution=in_distribution,
            unusual=unusual,
            in_distribution_score=in_distribution_score,
            prediction_set=members,
            coverage=None if members is None else coverage,
        )

    def __str__(self) -> str:
        refused = self.in_distribution is False
        verdict = "" if refused else {True: "suspicious: ", False: "not suspicious: ", None: ""}[self.suspicious]
        answer = (
            f"{verdict}{self.name} ({self.label}) {self.confidence:.1%}, malignant {self.malignant_probability:.1%}"
        )
        if self.in_distribution is None:
            return f"{answer}; whether the image is like the training images is unknown"
        if refused:
            return f"{answer}; do not rely on it: the image is unlike the training images"
        return f"{answer}; the image is unusual" if self.unusual else answer

    def __repr__(self) -> str:
        return f"<Prediction {self}>"


def stored_points(folder: str | Path, task: str = "malignant") -> tuple[OperatingPoint, ...]:
    """Read the operating points of a release for a task; an empty tuple if it has none.

    Raises:
        ModelError: If its `metrics.json` is damaged.
    """
    path = Path(folder) / METRICS_FILE
    if not path.is_file():
        return ()
    try:
        section = json.loads(path.read_text(encoding="utf-8")).get("operating_points") or {}
        points = [OperatingPoint.from_dict(point) for point in section[task]["points"]] if task in section else []
        if not all(0 <= point.threshold <= 1 for point in points):
            raise ValueError("a threshold is not a probability")
        return tuple(points)
    except (ValueError, KeyError, TypeError, AttributeError, DataError) as error:
        raise ModelError(f"{path} is not a valid {METRICS_FILE}; download the release again") from error


def load_operating_point(
    folder: str | Path, *, min_sensitivity: float = MIN_SENSITIVITY, task: str = "malignant"
) -> OperatingPoint | None:
    """Read the operating point of a release with the lowest sensitivity of at least `min_sensitivity` on validation.

    `task` is a key of `TASKS`. The result is None if the release has no operating points for it.

    Raises:
        ModelError: If no operating point reaches `min_sensitivity`, or `metrics.json` is damaged.
    """
    points = [point for point in stored_points(folder, task) if point.fixed == "sensitivity"]
    enough = [point for point in points if point.level >= min_sensitivity]
    if points and not enough:
        highest = max(point.level for point in points)
        raise ModelError(f"no operating point reaches a sensitivity of {min_sensitivity:g}; choose at most {highest:g}")
    return min(enough, key=lambda point: point.level, default=None)


@dataclass(frozen=True)
class ConformalPredictor:
    """Split conformal prediction with RAPS scores (Angelopoulos et al. 2021, arXiv:2009.14193), not randomised.

    The score of a diagnosis is the probability of all diagnoses down to its rank, plus a penalty for each rank after
    the first ones. It grows with the rank, so a set is always a prefix of the ranking.

    Images of one lesion are not exchangeable, so each lesion counts once, shared between its images (Lee, Barber and
    Willett 2023, arXiv:2306.06342). The set of an image of a new lesion then has at least the coverage asked for, under
    two assumptions: new lesions are drawn as those of validation were, and the network does not depend on these. The
    second holds only nearly, since the temperature was fitted on them, so the coverage is measured on test.

    Attributes:
        scores: The scores of the ground truth of validation images (n,), ascending.
        images_of_lesion: For each score, how many images of its lesion are among them (n,).
        penalty: Added to the score for each rank after `free_ranks`, at least 0.
        free_ranks: How many ranks cost nothing.
    """

    scores: np.ndarray
    images_of_lesion: np.ndarray
    penalty: float = 0.01
    free_ranks: int = 2

    @classmethod
    def load(cls, folder: str | Path) -> "ConformalPredictor | None":
        """Read the scores of a release; None when it has none.

        Raises:
            ModelError: If the file is damaged.
        """
        path = Path(folder) / CONFORMAL_FILE
        if not path.is_file():
            return None
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            scores, images = (np.asarray(content[name], dtype=np.float64) for name in ("scores", "images_of_lesion"))
            predictor = cls(scores, images, float(content["penalty"]), int(content["free_ranks"]))
            ascending = scores.ndim == 1 and scores.size and np.isfinite(scores).all() and (np.diff(scores) >= 0).all()
            if not ascending or scores.shape != images.shape or not (images >= 1).all() or not predictor.penalty >= 0:
                raise ValueError("these are not the scores of validation images")
            return predictor
        except (ValueError, KeyError, TypeError) as error:
            raise ModelError(f"the {CONFORMAL_FILE} of {folder} is damaged; download the release again") from error

    def threshold(self, coverage: float) -> float:
        """Largest score with which a diagnosis enters a set, for a coverage between 0 and 1.

        It is infinite with too few validation lesions for the coverage, so that sets have all diagnoses.

        Raises:
            ModelError: If the coverage is not between 0 and 1.
        """
        if not isinstance(coverage, Real) or not 0 < coverage < 1:
            raise ModelError(f"the coverage {coverage} is not between 0 and 1; 0.9 is a common choice")
        lesions = np.cumsum(1 / self.images_of_lesion)
        # One more lesion, the new one, whose score may be anything.
        position = int(np.searchsorted(lesions, coverage * (lesions[-1] + 1) - 1e-9))
        return float(self.scores[position]) if position < len(self.scores) else math.inf

    def raps_scores(self, probabilities: np.ndarray) -> np.ndarray:
        """Score (n, 7) of each diagnosis, from probabilities (n, 7)."""
        order = np.argsort(-probabilities, axis=1, kind="stable")
        penalties = self.penalty * np.arange(1 - self.free_ranks, probabilities.shape[1] + 1 - self.free_ranks).clip(0)
        ranked = np.take_along_axis(probabilities, order, axis=1).cumsum(axis=1) + penalties
        scores = np.empty_like(ranked)
        np.put_along_axis(scores, order, ranked, axis=1)
        return scores

    def prediction_sets(self, probabilities: np.ndarray, coverage: float) -> np.ndarray:
        """Make the prediction sets of probabilities (n, 7).

        Returns:
            Whether each diagnosis is in the set of each image (n, 7). The most probable one always is.
        """
        scores = self.raps_scores(probabilities)
        return scores <= np.maximum(scores.min(axis=1, keepdims=True), self.threshold(coverage))
