"""What a prediction means, in plain words; nothing here is medical advice."""

from skinvision_hf.labels import diagnosis
from skinvision_hf.models.prediction import OperatingPoint, Prediction

__all__ = [
    "FOLDED",
    "NO_OOD",
    "UNLIKE",
    "UNUSUAL",
    "in_sentence",
    "ood_note",
    "percent",
    "ranked",
    "runner_up",
    "sentence",
    "set_note",
    "verdict",
]

UNLIKE = (
    "This image does not look like the dermatoscopic images that the model was trained on, so its answer is not "
    "reliable. The model needs a close-up of one lesion, taken through a dermatoscope."
)
UNUSUAL = (
    "This image is unusual among the dermatoscopic images that the model was trained on. Its answer is less reliable "
    "than usual."
)
NO_OOD = (
    "This release cannot detect images of other things: it would give a diagnosis for a cat, too. Use the answer only "
    "for a close-up of one lesion, taken through a dermatoscope."
)
FOLDED = 0.01
"""Diagnoses below this probability are folded away."""


def percent(probability: float) -> str:
    """A probability as a whole percentage, with "<1%" and ">99%" at the ends."""
    if probability < FOLDED:
        return "<1%"
    return ">99%" if probability > 0.99 else f"{probability:.0%}"


def ranked(prediction: Prediction) -> list[tuple[str, float]]:
    """Codes and probabilities, the most probable first."""
    return sorted(prediction.probabilities.items(), key=lambda item: -item[1])


def verdict(prediction: Prediction, point: OperatingPoint) -> str:
    """Say what the decision rests on, and what its threshold finds and misses."""
    found, cleared = point.sensitivity.value or 0.0, point.specificity.value or 0.0
    place = f"The malignant diagnoses together have {percent(prediction.malignant_probability)}"
    if prediction.suspicious:
        return (
            f"{place}; the threshold is {percent(point.threshold)}. On test images it finds {percent(found)} of "
            f"malignant lesions, and it also marks {percent(1 - cleared)} of benign ones."
        )
    return (
        f"{place}; the threshold is {percent(point.threshold)}. On test images it misses {percent(1 - found)} of "
        "malignant lesions, so this does not rule out skin cancer."
    )


def runner_up(prediction: Prediction) -> str:
    """Say what else is probable, in one sentence."""
    code, probability = ranked(prediction)[1]
    if probability < FOLDED:
        return "All other diagnoses are below 1%."
    return f"The second most probable diagnosis is {in_sentence(code)}, with {percent(probability)}."


def set_note(prediction: Prediction) -> str | None:
    """Name the members of the conformal prediction set; None when the release makes no such sets."""
    if prediction.prediction_set is None or prediction.coverage is None:
        return None
    names = [in_sentence(code) for code in prediction.prediction_set]
    listed = f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else "".join(names) or "empty"
    return (
        f"{percent(prediction.coverage)} conformal prediction set: {listed}. Such sets contain the correct diagnosis "
        f"for about {percent(prediction.coverage)} of images."
    )


def ood_note(score: float, threshold: float) -> str:
    """Say where an image stands on the scale of OOD detection."""
    return (
        f"In-distribution score: {score:.2f}, on a scale from 0 (stranger than every validation image) to 1 (as close "
        f"to the training images as any). Below {threshold:.2f}, an image is refused."
    )


def sentence(reason: str) -> str:
    """Make a sentence of one of the package's messages."""
    return f"{reason[0].upper()}{reason[1:]}."


def in_sentence(code: str) -> str:
    """Name a diagnosis in the middle of a sentence."""
    name = diagnosis(code).name
    return name[0].lower() + name[1:]
