"""What the page and its API do with an upload, apart from how the page looks."""

from typing import Any, NamedTuple

import gradio as gr
from PIL import Image

from skinvision_hf.demo.answer import answer_html, error_html, unlike_html, waiting_html
from skinvision_hf.demo.overlay import OPACITY, overlay_html
from skinvision_hf.demo.uploads import read_upload
from skinvision_hf.demo.wording import NO_GUARD, UNLIKE
from skinvision_hf.errors import SkinVisionError
from skinvision_hf.explain.explanation import Explanation, check_choice
from skinvision_hf.labels import DISCLAIMER
from skinvision_hf.models.prediction import Prediction
from skinvision_hf.models.skinvision import SkinVision

__all__ = ["LARGEST_SIDE", "Handlers", "Shown"]

LARGEST_SIDE = 1600
"""Longest side of a heat map in pixels: more than a screen shows, and a fraction of what a camera makes."""

INSIST = "Ask with insist=True for the model's answer all the same."


class Shown(NamedTuple):
    """New values of the parts of the page, in the order of the layout's outputs."""

    photo: Any
    reply: Any
    overlay: Any
    target: Any
    why: Any
    anyway: Any


class Handlers:
    """What visitors and programs can ask; they share nothing but the model."""

    def __init__(self, vision: SkinVision) -> None:
        self.vision = vision

    def predict(self, image: str, insist: bool = False) -> dict[str, Any]:
        """Classify a dermatoscopic image of a skin lesion: seven probabilities, and whether to trust them.

        An image that is unlike those that the model learned from gets `in_distribution` false, its typicality and a
        message; probabilities only when insist is true, and they cannot be relied on. Educational, never a diagnosis.

        Args:
            image: The photograph, through a dermatoscope, of a single lesion.
            insist: Whether to answer all the same when the image is unlike those that the model learned from.
        """
        return _public(self.vision.predict(read_upload(image)), insist)

    def explain(self, image: str, target: str = "", insist: bool = False) -> tuple[dict[str, Any], Image.Image | None]:
        """Classify a dermatoscopic image and lay a heat map over it of what speaks for one diagnosis.

        An image that is unlike those that the model learned from gets no heat map unless insist is true. Educational,
        never a diagnosis.

        Args:
            image: The photograph, through a dermatoscope, of a single lesion.
            target: Code of the diagnosis to explain: akiec, bcc, bkl, df, mel, nv or vasc; empty for the likeliest.
            insist: Whether to answer all the same when the image is unlike those that the model learned from.
        """
        code = str(target or "").strip().lower() or None
        check_choice(code)
        picture = read_upload(image)
        prediction = self.vision.predict(picture)
        if _refused(prediction, insist):
            return _public(prediction, insist), None
        explanation = self._explain(picture, code)
        return _public(prediction, insist) | {"target": explanation.target}, explanation.overlay(OPACITY)

    def answer(self, image: str | None, insist: bool = False) -> Shown:
        """Answer to an upload on the page; a bad file is cleared away, and the reason stands in the answer's place."""
        if image is None:
            return Shown(*[gr.skip()] * len(Shown._fields))
        try:
            picture = read_upload(image)
            prediction = self.vision.predict(picture)
            if _refused(prediction, insist):
                return _without_heat(unlike_html(), anyway=True)
            explanation = self._explain(picture, None)
        except SkinVisionError as error:
            return _without_heat(error_html(str(error)))._replace(photo=None)
        return Shown(
            photo=gr.skip(),
            reply=answer_html(prediction),
            overlay=overlay_html(explanation),
            target=explanation.target,
            why=gr.update(visible=True),
            anyway=gr.update(visible=False),
        )

    def answer_anyway(self, image: str | None) -> Shown:
        """Answer although the picture is unlike those that the model learned from."""
        return self.answer(image, insist=True)

    def forget(self) -> Shown:
        """Show the page as it was before there was an image."""
        return _without_heat(waiting_html())

    def switch(self, image: str | None, target: str) -> str:
        """Explain another diagnosis of the same image."""
        try:
            return overlay_html(self._explain(read_upload(image), target))
        except SkinVisionError as error:
            return error_html(str(error))

    def _explain(self, picture: Image.Image, target: str | None) -> Explanation:
        return self.vision.explain(picture, target=target, max_side=LARGEST_SIDE)


def _refused(prediction: Prediction, insist: bool) -> bool:
    return prediction.in_distribution is False and not insist


def _public(prediction: Prediction, insist: bool) -> dict[str, Any]:
    """What a program is told."""
    message = {True: None, False: UNLIKE, None: NO_GUARD}[prediction.in_distribution]
    content = prediction.to_dict()
    if _refused(prediction, insist):
        content = {name: content[name] for name in ("in_distribution", "typicality")}
        message = f"{message} {INSIST}"
    return content | {"message": message, "disclaimer": DISCLAIMER}


def _without_heat(reply: str, *, anyway: bool = False) -> Shown:
    return Shown(gr.skip(), reply, "", None, gr.update(visible=False), gr.update(visible=anyway))
