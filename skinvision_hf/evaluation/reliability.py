"""How far probabilities can be taken at their word, before and after the temperature."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.special import softmax

from skinvision_hf.evaluation.bootstrap import AbsoluteSum, Estimate, Mean, bootstrap, lesion_weights
from skinvision_hf.evaluation.chance import ChanceErrors, chance_errors
from skinvision_hf.evaluation.metrics import SMALLEST_PROBABILITY, calibration_error, equal_bins
from skinvision_hf.evaluation.predictions import Predictions
from skinvision_hf.labels import CODES, diagnosis

__all__ = ["CalibrationErrors", "CalibrationReport", "ReliabilityBin", "measure_calibration"]

GOAL = 0.03
"""Largest expected calibration error that counts as well calibrated here."""


@dataclass(frozen=True)
class ReliabilityBin:
    """One fifteenth of the images, by the probability of the answer.

    Attributes:
        confidence: Mean probability of the answer.
        accuracy: Share of right answers.
    """

    confidence: float
    accuracy: Estimate

    def to_dict(self) -> dict[str, Any]:
        """Return all attributes as a dictionary that JSON can hold."""
        return asdict(self)


@dataclass(frozen=True)
class CalibrationErrors:
    """How wrong probabilities are; 0 is best for all of them.

    Attributes:
        ece: Expected calibration error of the answer: mean difference between its probability and how often it is
            right, over 15 bins of equally many images.
        overconfidence: Mean probability of the answer less how often it is right; below 0 where it is too unsure.
        classwise_ece: Calibration error of the probability of each diagnosis, averaged over the seven (Nixon et al.
            2019).
        brier_score: Mean squared distance between the seven probabilities and the truth, from 0 to 2.
        log_loss: Mean negative log-likelihood.
        per_class: The seven terms of `classwise_ece` by code.
        bins: The 15 bins of `ece`, by rising probability.
    """

    ece: Estimate
    overconfidence: Estimate
    classwise_ece: Estimate
    brier_score: Estimate
    log_loss: Estimate
    per_class: dict[str, Estimate]
    bins: tuple[ReliabilityBin, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return all attributes as a dictionary that JSON can hold."""
        return asdict(self) | {"bins": [entry.to_dict() for entry in self.bins]}


@dataclass(frozen=True)
class CalibrationReport:
    """What the temperature did on a split that it was not fitted on.

    Attributes:
        temperature: What the logits of the trained network were divided by.
        before: Without the temperature.
        after: With it.
        chance: The errors that a perfectly calibrated model with these probabilities would show on as many images.
        mean_probability: Mean probability of each diagnosis, by code, with the temperature.
        frequency: Share of the images that have it.
    """

    temperature: float
    before: CalibrationErrors
    after: CalibrationErrors
    chance: ChanceErrors
    mean_probability: dict[str, float]
    frequency: dict[str, float]

    @property
    def summary(self) -> str:
        """The finding in one paragraph of plain English."""
        before, after = self.before.ece, self.after.ece
        direction = "too sure" if self.temperature > 1 else "too unsure"
        verdict = "within" if (after.value or 0) <= GOAL else "short of"
        return (
            "If a model says 80%, it ought to be right 8 times out of 10. As trained, this one was "
            f"{direction} of itself; one number fitted on validation images, the temperature {self.temperature:.2f}, "
            "corrects that. On the images measured here stated and true certainty differed by "
            f"{_points(before)} percentage points on average before, and by {_points(after)} after, {verdict} "
            f"our goal of {100 * GOAL:.0f}. Chance adds to such a difference, however good a model is: a perfectly "
            "calibrated one would show "
            f"{100 * self.chance.ece.mean:.1f} on average on as many images, up to {100 * self.chance.ece.high:.1f} "
            f"in 95 cases of 100. {self._reason()}The order of the answers, and so the accuracy, is the same as before."
        )

    def _reason(self) -> str:
        """Why the goal was missed, if it was."""
        if (self.after.ece.value or 0) <= GOAL:
            return ""
        signed = self.after.overconfidence
        if signed.low is not None and signed.high is not None and not signed.low <= 0 <= signed.high:
            low, high = sorted((abs(signed.low), abs(signed.high)))
            too, size = "sure" if signed.low > 0 else "unsure", Estimate(abs(signed.value or 0.0), low, high, signed.n)
            return (
                f"What is left has a direction: its answers are too {too}, by {_points(size)} percentage points on "
                "average. A temperature that was fitted on other images may not hold for these. "
            )
        excess = {code: self.mean_probability[code] - self.frequency[code] for code in CODES}
        most, least = (choose(excess, key=excess.__getitem__) for choose in (max, min))
        commonest = max(self.frequency, key=self.frequency.__getitem__)
        cannot = (
            "undo that the network was trained to take rare diagnoses for more frequent than they are"
            if least == commonest
            else "correct one diagnosis without changing the others"
        )
        named = " and ".join(
            f"{diagnosis(code).name.lower()} {self.mean_probability[code]:.1%} of the probability on average, while "
            f"{self.frequency[code]:.1%} of the images have it"
            for code in (least, most)
        )
        return f"One temperature makes all answers more or less sure alike; it cannot {cannot}: it gives {named}. "

    def to_dict(self) -> dict[str, Any]:
        """Return the section `calibration` of metrics.json."""
        return {
            "summary": self.summary,
            "temperature": self.temperature,
            "before": self.before.to_dict(),
            "after": self.after.to_dict(),
            "chance": self.chance.to_dict(),
            "mean_probability": self.mean_probability,
            "frequency": self.frequency,
        }


def measure_calibration(
    test: Predictions, *, temperature: float, weights: np.ndarray | None = None
) -> CalibrationReport:
    """Measure calibration with and without the temperature that is folded into the network.

    Args:
        test: What the calibrated network says about a split.
        temperature: The temperature in it; see `skinvision_hf.evaluation.temperature.recorded_temperature`.
        weights: Resamples from `lesion_weights`; the default ones when None.
    """
    weights = lesion_weights(test.lesion_ids) if weights is None else weights
    raw = softmax(test.logits.astype(np.float64) * temperature, axis=1)
    shares = np.bincount(test.labels, minlength=len(CODES)) / len(test.labels)
    return CalibrationReport(
        temperature=temperature,
        chance=chance_errors(test),
        mean_probability=dict(zip(CODES, test.probabilities.mean(axis=0).tolist(), strict=True)),
        frequency=dict(zip(CODES, shares.tolist(), strict=True)),
        before=_errors(raw, test.labels, weights),
        after=_errors(test.probabilities, test.labels, weights),
    )


def _errors(probabilities: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> CalibrationErrors:
    truth = np.eye(len(CODES))[labels]
    likelihood = np.maximum((probabilities * truth).sum(axis=1), SMALLEST_PROBABILITY)
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    terms = [calibration_error(probabilities[:, k], truth[:, k]) for k in range(len(CODES))]
    members = equal_bins(confidence).T
    bins = [
        ReliabilityBin(float(confidence[m].mean()), bootstrap(Mean(right[m]), weights[:, m]))
        for m in members
        if m.any()
    ]
    return CalibrationErrors(
        ece=bootstrap(calibration_error(confidence, right), weights),
        overconfidence=bootstrap(Mean(confidence - right), weights),
        classwise_ece=bootstrap(
            AbsoluteSum(lambda w: np.concatenate([term.gaps(w) for term in terms], axis=1) / len(terms)), weights
        ),
        brier_score=bootstrap(Mean(((probabilities - truth) ** 2).sum(axis=1)), weights),
        log_loss=bootstrap(Mean(-np.log(likelihood)), weights),
        per_class={code: bootstrap(term, weights) for code, term in zip(CODES, terms, strict=True)},
        bins=tuple(bins),
    )


def _points(estimate: Estimate) -> str:
    """A difference of probabilities in percentage points, with its interval."""
    if estimate.value is None:
        return "an unknown number of"
    interval = "" if estimate.low is None else f" ({100 * estimate.low:.1f} to {100 * (estimate.high or 0):.1f})"
    return f"{100 * estimate.value:.1f}{interval}"
