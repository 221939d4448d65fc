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
        typicality: How typical the image is of them, in [0, 1]; None without a guard.
    """

    label: str
    name: str
    confidence: float
    probabilities: dict[str, float]
    malignant_probability: float
    in_distribution: bool | None = None
    typicality: float | None = None

    @classmethod
    def from_probabilities(
        cls, probabilities: Sequence[float], *, in_distribution: bool | None = None, typicality: float | None = None
    ) -> "Prediction":
        """Make a prediction from seven probabilities in the order of `CODES`."""
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
        )

    def __str__(self) -> str:
        text = f"{self.name} ({self.label}) {self.confidence:.1%}, malignant {self.malignant_probability:.1%}"
        return text if self.in_distribution is not False else f"{text}; the image is unlike the training images"

    def to_dict(self) -> dict[str, Any]:
        """Return all attributes as a dictionary that JSON can hold."""
        return asdict(self)
