"""What the model says about one image."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from skinvision_hf.labels import CODES, MALIGNANT_CODES, diagnosis

__all__ = ["Prediction"]


@dataclass(frozen=True)
class Prediction:
    """What the model says about one image. For education and research only; not a diagnosis.

    Attributes:
        label: Code of the most probable diagnosis; see `skinvision_hf.labels.CODES`.
        name: Its plain English name.
        confidence: Its probability, in [0, 1].
        probabilities: Probability of each of the seven codes, in the order of `CODES`; they add up to 1.
        malignant_probability: Sum over the malignant codes mel, bcc and akiec, in [0, 1].
        in_distribution: Whether the image is like those that the model learned from; None when the release carries no
            guard, so that nobody knows.
        typicality: Share of validation images that look no more typical than this one, in [0, 1]; None without a
            guard. Every second one of those images had hairs or a ruler drawn on it.
        prediction_set: Codes of diagnoses that aim at holding the truth as often as asked, the most probable first; a
            single one is a confident answer. None when the release carries no conformal scores.
        coverage: How often that is, in (0, 1); None without a set.
    """

    label: str
    name: str
    confidence: float
    probabilities: dict[str, float]
    malignant_probability: float
    in_distribution: bool | None = None
    typicality: float | None = None
    prediction_set: tuple[str, ...] | None = None
    coverage: float | None = None

    @classmethod
    def from_probabilities(
        cls,
        probabilities: Sequence[float],
        *,
        in_distribution: bool | None = None,
        typicality: float | None = None,
        in_set: Sequence[bool] | None = None,
        coverage: float | None = None,
    ) -> "Prediction":
        """Make a prediction from seven probabilities, and membership in its set, in the order of `CODES`."""
        by_code = dict(zip(CODES, probabilities, strict=True))
        label = max(by_code, key=by_code.__getitem__)
        return cls(
            label=label,
            name=diagnosis(label).name,
            confidence=by_code[label],
            probabilities=by_code,
            malignant_probability=sum(by_code[code] for code in MALIGNANT_CODES),
            in_distribution=in_distribution,
            typicality=typicality,
            prediction_set=None if in_set is None else _ranked(by_code, in_set),
            coverage=None if in_set is None else coverage,
        )

    def __str__(self) -> str:
        text = f"{self.name} ({self.label}) {self.confidence:.1%}, malignant {self.malignant_probability:.1%}"
        if self.in_distribution is None:
            return f"{text}; whether the image is like the training images is unknown"
        return text if self.in_distribution else f"{text}; the image is unlike the training images"

    def to_dict(self) -> dict[str, Any]:
        """Return all attributes as a dictionary that JSON can hold."""
        members = None if self.prediction_set is None else list(self.prediction_set)
        return asdict(self) | {"prediction_set": members}


def _ranked(by_code: dict[str, float], in_set: Sequence[bool]) -> tuple[str, ...]:
    """The codes in a set, the most probable first."""
    members = [code for code, inside in zip(CODES, in_set, strict=True) if inside]
    return tuple(sorted(members, key=lambda code: -by_code[code]))
