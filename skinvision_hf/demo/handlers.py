"""What the page and its API do with an upload, apart from how the page looks."""

from typing import Any, NamedTuple

import gradio as gr
from PIL import Image

from skinvision_hf.card.phrases import OPACITY, say
from skinvision_hf.demo.parts import html, overlay_html
from skinvision_hf.demo.uploads import read_upload
from skinvision_hf.errors import SkinVisionError
from skinvision_hf.explain.explanation import Explanation, check_choice
from skinvision_hf.labels import DISCLAIMER
from skinvision_hf.models.prediction import Prediction
from skinvision_hf.vision import SkinVision

LARGEST_SIDE = 1600
"""Longest side of a heat map in pixels: more than a screen shows, and much less than a camera makes."""

INSIST = "Set insist to true for an answer anyway."


class Shown(NamedTuple):
    """New values of the parts of the page, in the order of the layout's outputs."""

    photo: Any
    reply: Any
    overlay: Any
    target: Any
    why: Any
    anyway: Any
    save: Any


class Handlers:
    """What visitors and programs can ask; they share only the model."""

    def __init__(self, vision: SkinVision) -> None:
        self.vision = vision
        self.refused = vision.detector.refused if vision.detector else None

    def predict(self, image: str | bytes, insist: bool = False) -> dict[str, Any]:
        """Classify a dermatoscopic image of a skin lesion into seven diagnoses. Educational, never a diagnosis.

        An image that is unlike the training images (out of distribution) gets `in_distribution` false and a message;
        probabilities only when insist is true, and they are not reliable.

        Args:
            image: A dermatoscopic image of one lesion.
            insist: Whether to answer even when the image is out of distribution.
        """
        return _public(self.vision.predict(read_upload(image)), insist)

    def explain(
        self, image: str | bytes, target: str = "", insist: bool = False
    ) -> tuple[dict[str, Any], Image.Image | None]:
        """Classify a dermatoscopic image and show in a heat map what supports one diagnosis. Educational.

        An image that is unlike the training images (out of distribution) gets a heat map only when insist is true.

        Args:
            image: A dermatoscopic image of one lesion.
            target: Code of the diagnosis to explain: akiec, bcc, bkl, df, mel, nv or vasc; empty for the most probable.
            insist: Whether to answer even when the image is out of distribution.
        """
        code = str(target or "").strip().lower() or None
        check_choice(code)
        explanation = self._explain(image, code)
        answer = _public(explanation.prediction, insist)
        if _refused(explanation.prediction, insist):
            return answer, None
        return answer | {"target": explanation.target}, explanation.overlay(OPACITY)

    def answer(self, image: str | bytes | None, insist: bool = False) -> Shown:
        """Answer an upload on the page; a bad file is removed, and the reason replaces the answer."""
        if image is None:
            return Shown(*[gr.skip()] * len(Shown._fields))
        try:
            explanation = self._explain(image, None)
        except SkinVisionError as error:
            return _without_heat(html("error", str(error)))._replace(photo=None)
        if _refused(explanation.prediction, insist):
            return _without_heat(html("unlike"), anyway=True)
        return Shown(
            photo=gr.skip(),
            reply=html("answer", explanation.prediction, refused=self.refused),
            overlay=overlay_html(explanation),
            target=explanation.target,
            why=gr.update(visible=True),
            anyway=gr.update(visible=False),
            save=gr.update(visible=True),
        )

    def answer_anyway(self, image: str | bytes | None) -> Shown:
        """Answer although the image is out of distribution."""
        return self.answer(image, insist=True)

    def forget(self) -> Shown:
        """Show the page as it was before there was an image."""
        return _without_heat(html("waiting"))

    def switch(self, image: str | bytes | None, target: str) -> str:
        """Explain another diagnosis of the same image."""
        try:
            return overlay_html(self._explain(image, target))
        except SkinVisionError as error:
            return html("error", str(error))

    def _explain(self, image: str | bytes | None, target: str | None) -> Explanation:
        """Predict and explain in one forward pass."""
        return self.vision.explain(read_upload(image), target=target, max_side=LARGEST_SIDE)


def _refused(prediction: Prediction, insist: bool) -> bool:
    return prediction.in_distribution is False and insist is not True


def _public(prediction: Prediction, insist: bool) -> dict[str, Any]:
    """What a program is told."""
    unusual = say("unusual") if prediction.unusual else None
    message = {True: unusual, False: say("unlike"), None: say("no_ood")}[prediction.in_distribution]
    content = prediction.to_dict()
    if _refused(prediction, insist):
        content = {name: content[name] for name in ("in_distribution", "in_distribution_score")}
        message = f"{message} {INSIST}"
    return content | {"message": message, "disclaimer": DISCLAIMER}


def _without_heat(reply: str, *, anyway: bool = False) -> Shown:
    hidden = gr.update(visible=False)
    return Shown(gr.skip(), reply, "", None, hidden, gr.update(visible=anyway), hidden)
