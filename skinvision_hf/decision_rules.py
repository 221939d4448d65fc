"""Which diagnosis to answer: the most probable one, or one that leans to rare or to frequent diagnoses."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import softmax

from skinvision_hf.errors import DataError
from skinvision_hf.labels import CODES
from skinvision_hf.metrics import Predictions
from skinvision_hf.metrics.estimates import Estimate, bootstrap, lesion_weights
from skinvision_hf.metrics.statistics import overall_statistics

__all__ = ["AS_RELEASED", "RULES", "DecisionRule", "DecisionRulesReport", "adjust", "measure_decision_rules"]

AS_RELEASED = "most probable"
RULES = {"highest accuracy": "accuracy", "highest balanced accuracy": "balanced_accuracy"}
"""What is chosen on validation, and the metric that each choice maximises."""

SHOWN = ("accuracy", "balanced_accuracy", "macro_f1", "melanoma_sensitivity", "melanoma_specificity")
EXPONENTS = tuple(round(-1 + 0.05 * step, 2) for step in range(51))


@dataclass(frozen=True)
class DecisionRule:
    """A rule that answers with the diagnosis whose probability, divided by a power of its frequency, is the highest.

    Attributes:
        name: `AS_RELEASED`, or one of `RULES`.
        exponent: Power of the frequency; 0 answers with the most probable diagnosis, more leans to rare ones, less to
            frequent ones (Menon et al. 2021, arXiv:2007.07314).
        validation: Metrics of its answers on validation, on which it was chosen; None where not defined.
        test: The same on test, with intervals.
    """

    name: str
    exponent: float
    validation: Mapping[str, float | None]
    test: Mapping[str, Estimate]

    def to_dict(self) -> dict[str, Any]:
        """Return all attributes as a dictionary that JSON can hold."""
        return {
            "name": self.name,
            "exponent": self.exponent,
            "validation": dict(self.validation),
            "test": {name: estimate.to_dict() for name, estimate in self.test.items()},
        }


@dataclass(frozen=True)
class DecisionRulesReport:
    """Both ends of the trade between frequent and rare diagnoses, and the model's own answers between them.

    Attributes:
        frequencies: Share of each diagnosis among the training images, by code; one without any counts as one image.
        rules: The released one first.
        exponents: Of the curve below.
        curve: Accuracy and balanced accuracy on validation and on test, by part and metric, at each exponent.
    """

    frequencies: Mapping[str, float]
    rules: tuple[DecisionRule, ...]
    exponents: tuple[float, ...]
    curve: Mapping[str, Mapping[str, tuple[float, ...]]]

    @property
    def summary(self) -> str:
        """The finding in one paragraph of plain English."""
        own, accurate, balanced = self.rules
        return (
            "How much the answers lean to rare diagnoses is a choice: dividing each probability by a power of its "
            "diagnosis' frequency before the highest is taken trades the accuracy over all images for the mean "
            f"sensitivity of the diagnoses. As released, accuracy is {own.test['accuracy']} and balanced accuracy "
            f"{own.test['balanced_accuracy']}. The exponent that was best for accuracy on validation "
            f"({accurate.exponent:g}) gives {accurate.test['accuracy']} and {accurate.test['balanced_accuracy']} on "
            f"test; the one that was best for balanced accuracy ({balanced.exponent:g}) gives "
            f"{balanced.test['accuracy']} and {balanced.test['balanced_accuracy']}."
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the section `decision_rules` of metrics.json."""
        return {
            "summary": self.summary,
            "frequencies": dict(self.frequencies),
            "rules": [rule.to_dict() for rule in self.rules],
            "exponents": list(self.exponents),
            "curve": {part: {name: list(y) for name, y in lines.items()} for part, lines in self.curve.items()},
        }


def adjust(logits: np.ndarray, frequencies: np.ndarray, exponent: float) -> np.ndarray:
    """Divide the softmax of logits by a power of the frequencies and let it add up to 1 again.

    Args:
        logits: (n, 7).
        frequencies: Of the diagnoses (7,), above 0.
        exponent: The power.

    Returns:
        Probabilities (n, 7) float64.
    """
    return softmax(logits.astype(np.float64) - exponent * np.log(frequencies), axis=1)


def measure_decision_rules(
    validation: Predictions, test: Predictions, training_labels: np.ndarray, *, weights: np.ndarray | None = None
) -> DecisionRulesReport:
    """Choose rules on validation and measure them on test.

    Where several exponents are equally good on validation, the one nearest to 0 is chosen.

    Args:
        validation: Predictions of the validation split.
        test: Predictions of the test split.
        training_labels: Classes of the training images (n,), for the frequencies; a diagnosis without any counts as
            one image.
        weights: Resamples of the test split from `lesion_weights`; the default ones when None.

    Raises:
        DataError: If a split has no images.
    """
    if not len(validation.labels) or not len(test.labels) or not len(training_labels):
        raise DataError("decision rules need training, validation and test images; use more images")
    weights = lesion_weights(test.lesion_ids) if weights is None else weights
    frequencies = np.maximum(np.bincount(training_labels, minlength=len(CODES)), 1) / len(training_labels)
    measured = {
        part: [_values(p.labels, adjust(p.logits, frequencies, exponent)) for exponent in EXPONENTS]
        for part, p in (("validation", validation), ("test", test))
    }
    tuning = measured["validation"]
    chosen = {AS_RELEASED: EXPONENTS.index(0)} | {name: _best(tuning, metric) for name, metric in RULES.items()}
    return DecisionRulesReport(
        frequencies=dict(zip(CODES, frequencies.tolist(), strict=True)),
        rules=tuple(
            DecisionRule(
                name,
                EXPONENTS[k],
                {metric: value if np.isfinite(value := tuning[k][metric]) else None for metric in SHOWN},
                _estimates(test.labels, adjust(test.logits, frequencies, EXPONENTS[k]), weights),
            )
            for name, k in chosen.items()
        ),
        exponents=EXPONENTS,
        curve={
            part: {metric: tuple(round(values[metric], 4) for values in at) for metric in RULES.values()}
            for part, at in measured.items()
        },
    )


def _best(tuning: list[dict[str, float]], metric: str) -> int:
    return max(range(len(EXPONENTS)), key=lambda k: (tuning[k][metric], -abs(EXPONENTS[k])))


def _values(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    statistics, ones = overall_statistics(labels, probabilities), np.ones((1, len(labels)))
    return {name: float(statistics[name][0](ones)[0]) for name in SHOWN}


def _estimates(labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray) -> dict[str, Estimate]:
    statistics = overall_statistics(labels, probabilities)
    return {name: bootstrap(statistics[name][0], weights, n=statistics[name][1]) for name in SHOWN}
