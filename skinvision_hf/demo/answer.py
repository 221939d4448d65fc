"""The answer as HTML: the verdict, the most probable diagnosis, one sentence, and details to open."""

from html import escape

from skinvision_hf.demo.uploads import LIMITS
from skinvision_hf.demo.wording import (
    FOLDED,
    NO_OOD,
    UNLIKE,
    UNUSUAL,
    ood_note,
    percent,
    ranked,
    runner_up,
    sentence,
    set_note,
    verdict,
)
from skinvision_hf.labels import DISCLAIMER, diagnosis
from skinvision_hf.models.prediction import Prediction

__all__ = [
    "HEADER",
    "PRIVACY",
    "answer_html",
    "disclaimer_html",
    "error_html",
    "unlike_html",
    "waiting_html",
]

HEADER = (
    '<header class="sv-header"><h1>SkinVision</h1><p>Classifies a dermatoscopic image of a skin lesion into seven '
    "diagnoses and shows what speaks for its answer.</p></header>"
)
PRIVACY = f'<p class="sv-privacy">{LIMITS} Images are deleted within minutes and not used for training.</p>'


def answer_html(prediction: Prediction, *, refused: float | None = None) -> str:
    """Return the whole answer, after a notice where the image is not an ordinary one.

    Badges of an answer to an image that OOD detection refuses are grey.

    Args:
        prediction: The answer.
        refused: In-distribution score below which an image is refused; None without OOD detection.
    """
    doubtful = " sv-doubtful" if prediction.in_distribution is False else ""
    pill = _pill(prediction.label)
    return (
        f'{_image_notice(prediction)}<section class="sv-answer{doubtful}" aria-label="Answer">'
        f"{_verdict(prediction)}"
        '<p class="sv-eyebrow">Most probable diagnosis</p>'
        f'<p class="sv-label"><span>{escape(prediction.name)}</span>'
        f"<strong>{escape(percent(prediction.confidence))}</strong>{pill}</p>"
        f'<p class="sv-note">{escape(runner_up(prediction))}</p>'
        f"<details><summary>Details</summary>{_details(prediction, refused)}</details></section>"
    )


def unlike_html() -> str:
    """Return the notice that replaces an answer when the image is out of distribution."""
    return _notice("Not a dermatoscopic image?", UNLIKE)


def error_html(reason: str) -> str:
    """Return what replaces an answer when a file cannot be used.

    Args:
        reason: The package's own one-line message, which names the remedy.
    """
    return (
        f'<section class="sv-notice sv-error" role="alert"><strong>That did not work.</strong> '
        f"{escape(sentence(reason))}</section>"
    )


def waiting_html() -> str:
    """Return what is shown before there is an image."""
    return (
        '<section class="sv-waiting"><h2>Your answer appears here</h2><p>Choose an image, paste one from the '
        "clipboard, or use the camera. The model is made for dermatoscopic close-ups of one lesion.</p></section>"
    )


def disclaimer_html() -> str:
    """Return the disclaimer in one line, which the page keeps in view; its tooltip is the full text."""
    return (
        f'<div role="note" aria-label="Disclaimer" title="{escape(DISCLAIMER)}"><strong>For education and research '
        "only, not a medical device.</strong> Worried about a spot? See a dermatologist.</div>"
    )


def _image_notice(prediction: Prediction) -> str:
    if prediction.in_distribution is None:
        return _notice("No OOD detection.", NO_OOD)
    if not prediction.in_distribution:
        return unlike_html()
    return _notice("Unusual image.", UNUSUAL) if prediction.unusual else ""


def _verdict(prediction: Prediction) -> str:
    if prediction.operating_point is None:
        return '<p class="sv-note">This release has no measured threshold, so it gives no verdict.</p>'
    kind, title = ("suspicious", "Suspicious") if prediction.suspicious else ("clear", "Not suspicious")
    text = escape(verdict(prediction, prediction.operating_point))
    return f'<div class="sv-verdict sv-{kind}"><h2>{title}</h2><p>{text}</p></div>'


def _details(prediction: Prediction, refused: float | None) -> str:
    entries = ranked(prediction)
    shown = [entry for entry in entries if entry[1] >= FOLDED]
    folded = entries[len(shown) :]
    rest = (
        f"<details><summary>{len(folded)} diagnos{'es' if len(folded) > 1 else 'is'} below {FOLDED:.0%}</summary>"
        f"{_bars(folded)}</details>"
        if folded
        else ""
    )
    notes = [set_note(prediction)] if prediction.in_distribution is not False else []
    score = prediction.in_distribution_score
    if score is not None and refused is not None:
        notes.append(ood_note(score, refused))
    return _bars(shown) + rest + "".join(f'<p class="sv-note">{escape(note)}</p>' for note in notes if note)


def _bars(entries: list[tuple[str, float]]) -> str:
    """Diagnoses with their probabilities as bars, their groups and one sentence each."""
    return f'<ol class="sv-bars">{"".join(_bar(code, probability) for code, probability in entries)}</ol>'


def _bar(code: str, probability: float) -> str:
    entry = diagnosis(code)
    kind = "malignant" if entry.malignant else "benign"
    return (
        f'<li class="sv-{kind}" data-code="{code}"><div class="sv-row">'
        f'<span class="sv-name">{escape(entry.name)}</span>'
        f'{_pill(code)}<span class="sv-percent">{escape(percent(probability))}</span></div>'
        f'<div class="sv-track" aria-hidden="true"><div class="sv-fill" style="width:{100 * probability:.2f}%"></div>'
        f"</div><p>{escape(entry.description)}</p></li>"
    )


def _pill(code: str) -> str:
    kind = "malignant" if diagnosis(code).malignant else "benign"
    return f'<span class="sv-pill sv-{kind}">{diagnosis(code).group}</span>'


def _notice(title: str, text: str) -> str:
    return f'<div class="sv-notice" role="note"><strong>{title}</strong> {escape(text)}</div>'
