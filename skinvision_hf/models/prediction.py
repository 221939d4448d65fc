"""What the model says about one image."""

from collections.abc import Sequence
from dataclasses import dataclass

from skinvision_hf.labels import CODES, MALIGNANT_CODES, diagnosis
from skinvision_hf.models.operating_points import OperatingPoint
from skinvision_hf.records import Record

__all__ = ["Prediction"]


@dataclass(frozen=True, repr=False)
class Prediction(Record):
    """What the model says about one image. For education and research only; not a diagnosis.

    `to_dict` makes a dictionary that JSON can hold, and `Prediction.from_dict` reads it.

    Attributes:
        suspicious: The verdict: whether the probability reaches the threshold of `operating_point`. None when the
            release has no operating points.
        operating_point: The threshold, with its sensitivity and specificity on test images; by default the one of
            malignant diagnoses that found 95 % of them on validation images. None when the release has none.
        label: Code of the most probable diagnosis; see `skinvision_hf.labels.CODES`.
        name: Its plain English name.
        confidence: Its probability, in [0, 1].
        probabilities: Probability of each of the seven codes, in the order of `CODES`; they add up to 1.
        malignant_probability: Sum over the malignant codes mel, bcc and akiec, in [0, 1].
        in_distribution: Whether the image is like the training images. If not, do not rely on anything else here. None
            when the release has no OOD detector.
        unusual: Whether an image that counts as in distribution is among the least typical ones, so that the answer
            deserves less trust. None when the release has no such level.
        in_distribution_score: Share of validation images that are no more typical than this one, in [0, 1]; None
            without a detector.
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
        """Make a prediction from seven probabilities, and membership in its set, in the order of `CODES`."""
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
        verdict = {True: "suspicious: ", False: "not suspicious: ", None: ""}[self.suspicious]
        answer = (
            f"{verdict}{self.name} ({self.label}) {self.confidence:.1%}, malignant {self.malignant_probability:.1%}"
        )
        if self.in_distribution is None:
            return f"{answer}; whether the image is like the training images is unknown"
        if not self.in_distribution:
            return f"{answer}; do not rely on it: the image is unlike the training images"
        return f"{answer}; the image is unusual" if self.unusual else answer

    def __repr__(self) -> str:
        return f"<Prediction {self}>"
