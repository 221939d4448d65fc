"""The answer as HTML: the most likely diagnosis, how sure the model is, and seven ranked bars."""

from html import escape

from skinvision_hf.demo.uploads import LIMITS
from skinvision_hf.demo.wording import (
    NO_GUARD,
    UNLIKE,
    certainty,
    malignant_note,
    sentence,
    set_note,
)
from skinvision_hf.labels import DISCLAIMER, diagnosis
from skinvision_hf.models.prediction import Prediction

__all__ = [
    "HEADER",
    "PRIVACY",
    "answer_html",
    "disclaimer_html",
    "error_html",
    "ranked_bars",
    "unlike_html",
    "waiting_html",
]

HEADER = (
    '<header class="sv-header"><h1>SkinVision</h1><p>What a neural network sees in a dermatoscopic photograph '
    "of a skin lesion: seven diagnoses, how sure it is, and what raised its answer.</p></header>"
)
PRIVACY = (
    f'<p class="sv-privacy">{LIMITS} Images are not kept: yours is deleted within minutes, is shown to nobody, and is '
    "not used for training.</p>"
)


def answer_html(prediction: Prediction) -> str:
    """Return the whole answer; what it says about doubtful images comes first.

    How sure the model is, and which diagnoses it does not rule out, is only told of images like those it learned from.
    """
    notice = {True: "", False: unlike_html(), None: _notice("No check.", NO_GUARD)}[prediction.in_distribution]
    notes: list[str | None] = [malignant_note(prediction)]
    if prediction.in_distribution is not False:
        notes = [certainty(prediction), *notes, set_note(prediction)]
    return (
        f'{notice}<section class="sv-answer" aria-label="Answer"><p class="sv-eyebrow">Most likely</p>'
        f'<h2 class="sv-label">{escape(prediction.name)}{_pill(prediction.label)}</h2>'
        f'<p class="sv-confidence"><strong>{_percent(prediction.confidence)}</strong> probability</p>'
        + "".join(f'<p class="sv-note">{escape(note)}</p>' for note in notes if note)
        + f"<h3>All seven diagnoses</h3>{ranked_bars(prediction)}</section>"
    )


def ranked_bars(prediction: Prediction) -> str:
    """Return the seven diagnoses, the most probable first, each with a bar, its group and one sentence."""
    ranked = sorted(prediction.probabilities.items(), key=lambda item: -item[1])
    return f'<ol class="sv-bars">{"".join(_bar(code, probability) for code, probability in ranked)}</ol>'


def unlike_html() -> str:
    """Return the notice that stands in for an answer when the picture is not like the training images."""
    return _notice("No dermatoscopic image?", UNLIKE)


def error_html(reason: str) -> str:
    """Return what stands in for an answer when a file cannot be used.

    Args:
        reason: The package's own one-line message, which names the remedy.
    """
    return (
        f'<section class="sv-notice sv-error" role="alert"><strong>That did not work.</strong> '
        f"{escape(sentence(reason))}</section>"
    )


def waiting_html() -> str:
    """Return what stands in the place of an answer before there is an image."""
    return (
        '<section class="sv-waiting"><h2>Your answer appears here</h2><p>Choose a photograph, paste one from the '
        "clipboard, or take one with the camera. The model was made for dermatoscopic close-ups of a single lesion.</p>"
        "</section>"
    )


def disclaimer_html() -> str:
    """Return the disclaimer, which the page keeps in view."""
    first, _, rest = DISCLAIMER.partition(". ")
    return f'<div role="note" aria-label="Disclaimer"><strong>{escape(first)}.</strong> {escape(rest)}</div>'


def _bar(code: str, probability: float) -> str:
    entry = diagnosis(code)
    kind = "malignant" if entry.malignant else "benign"
    return (
        f'<li class="sv-{kind}" data-code="{code}"><div class="sv-row">'
        f'<span class="sv-name">{escape(entry.name)}</span>'
        f'{_pill(code)}<span class="sv-percent">{_percent(probability)}</span></div>'
        f'<div class="sv-track" aria-hidden="true"><div class="sv-fill" style="width:{100 * probability:.2f}%"></div>'
        f"</div><p>{escape(entry.description)}</p></li>"
    )


def _pill(code: str) -> str:
    kind = "malignant" if diagnosis(code).malignant else "benign"
    return f'<span class="sv-pill sv-{kind}">{diagnosis(code).group}</span>'


def _notice(title: str, text: str) -> str:
    return f'<div class="sv-notice" role="note"><strong>{title}</strong> {escape(text)}</div>'


def _percent(probability: float) -> str:
    return f"{probability:.1%}" if probability >= 0.001 else "&lt;0.1%"
