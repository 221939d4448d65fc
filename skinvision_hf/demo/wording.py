"""What a prediction means, in words for a lay reader; nothing here is medical advice."""

from skinvision_hf.labels import diagnosis
from skinvision_hf.models.prediction import Prediction

__all__ = ["NO_GUARD", "UNLIKE", "certainty", "in_sentence", "malignant_note", "sentence", "set_note"]

UNLIKE = (
    "This picture does not look like the dermatoscopic photographs that the model learned from, so its answer cannot "
    "be relied on. It needs a close-up of one lesion, taken through a dermatoscope."
)
NO_GUARD = (
    "This release cannot tell whether a picture is a dermatoscopic one: it would name a diagnosis for a cat, too. Read "
    "the answer only if the picture is a close-up of one lesion, taken through a dermatoscope."
)

# From the highest: the least confidence, in [0, 1], at which the model is called so.
LEVELS = ((0.9, "very sure"), (0.7, "fairly sure"), (0.5, "leaning, but not sure"), (0.0, "unsure"))
# From here on malignant diagnoses deserve a word, although a benign one is the most likely.
NOTABLE = 0.05


def certainty(prediction: Prediction) -> str:
    """Say how sure the model is, and what that would mean over many images."""
    level = next(word for least, word in LEVELS if prediction.confidence >= least)
    wrong = round(100 * (1 - prediction.confidence))
    times = "fewer than 1" if wrong < 1 else f"about {wrong}"
    text = (
        f"The model is {level}. Taken at its word, {times} of 100 such images would show something else; the tab "
        "'About this model' tells how far its word can be trusted."
    )
    second = sorted(prediction.probabilities, key=lambda code: -prediction.probabilities[code])[1]
    if prediction.confidence >= LEVELS[0][0]:
        return text
    return f"{text} Its second choice is {in_sentence(second)}, at {prediction.probabilities[second]:.0%}."


def malignant_note(prediction: Prediction) -> str:
    """Say what the malignant diagnoses add up to, which the most likely diagnosis alone can hide."""
    share = f"The three malignant or pre-malignant diagnoses together get {prediction.malignant_probability:.0%}"
    hidden = not diagnosis(prediction.label).malignant and prediction.malignant_probability >= NOTABLE
    return f"{share}, although the most likely one is benign." if hidden else f"{share}."


def set_note(prediction: Prediction) -> str | None:
    """Say which diagnoses the model does not rule out; None when the release makes no such sets."""
    if prediction.prediction_set is None or prediction.coverage is None:
        return None
    names = [in_sentence(code) for code in prediction.prediction_set]
    aim = f"that aims at holding the true one in {prediction.coverage:.0%} of such images"
    if not names:
        return f"No diagnosis fits well enough for a list {aim}."
    if len(names) == 1:
        return f"A list of diagnoses {aim} names only this: {names[0]}."
    return f"A list of diagnoses {aim} names {', '.join(names[:-1])} and {names[-1]}."


def sentence(reason: str) -> str:
    """Make a sentence of one of the package's messages."""
    return f"{reason[0].upper()}{reason[1:]}."


def in_sentence(code: str) -> str:
    """Name a diagnosis in the middle of a sentence."""
    name = diagnosis(code).name
    return name[0].lower() + name[1:]
