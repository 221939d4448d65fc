"""The demo page: `python space/app.py` opens it here, and the same file is a Space on the Hub.

`MODEL_ID` (a Hub id or a folder) and `MODEL_REVISION` in the environment choose the model; without them it is the
release that ships with the package. For education and research only; not a medical device.
"""

import os
import sys
from collections.abc import Callable, Sequence
from functools import wraps
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from skinvision_hf import demo
from skinvision_hf.errors import SkinVisionError, run_command
from skinvision_hf.inference import SkinVision
from skinvision_hf.labels import DIAGNOSES, DISCLAIMER

FONTS = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"]
LAUNCH: dict[str, Any] = {
    "theme": gr.themes.Soft(
        primary_hue="teal", neutral_hue="slate", font=FONTS, font_mono=["ui-monospace", "monospace"]
    ).set(
        # The theme's own labels are too pale to read: 4.5 to 1 is the least contrast that WCAG accepts.
        block_label_text_color="*primary_800",
        block_title_text_color="*primary_800",
        block_label_background_fill_dark="*primary_700",
        block_title_background_fill_dark="*primary_700",
    ),
    "css_paths": [Path(__file__).with_name("style.css")],
    "js": demo.NAMES_SCRIPT,
    "max_file_size": demo.MAX_BYTES,
    "footer_links": ["api", "settings"],
    "ssr_mode": False,
}
QUEUE = {"max_size": 64, "default_concurrency_limit": 2}
KEPT_SECONDS = 600  # long enough to look at several diagnoses of one image


class Photo(gr.Image):
    """An upload that reaches the package as it is: Gradio would decode it first, unchecked."""

    def preprocess(self, payload: Any) -> str | None:
        """Return the file's path."""
        return payload and payload.path

    def get_block_name(self) -> str:
        """Draw it as the image that it is."""
        return "image"


def friendly(function: Callable[..., Any]) -> Callable[..., Any]:
    """Turn the package's own errors into a toast, without a traceback in the page or the log."""

    @wraps(function)
    def call(*arguments: Any) -> Any:
        try:
            return function(*arguments)
        except SkinVisionError as error:
            text = str(error)
            raise gr.Error(text[0].upper() + text[1:] + ".", duration=12, print_exception=False) from None

    return call


def build_demo() -> gr.Blocks:
    """Load the model and lay out the page; visitors share nothing but the model."""
    vision = SkinVision.from_pretrained(os.environ.get("MODEL_ID"), revision=os.environ.get("MODEL_REVISION"))

    def predict(image: str) -> dict[str, Any]:
        """Classify a dermatoscopic image: seven probabilities, the most likely diagnosis, and whether to trust it."""
        return vision.predict(demo.read_upload(image)).to_dict() | {"disclaimer": DISCLAIMER}

    def explain(image: str, target: str = "") -> tuple[dict[str, Any], Image.Image]:
        """Classify a dermatoscopic image and lay a heat map over it of what speaks for one diagnosis (target)."""
        explanation = vision.explain(demo.read_upload(image), target=target or None)
        answer = explanation.prediction.to_dict() | {"target": explanation.target, "disclaimer": DISCLAIMER}
        return answer, explanation.overlay(demo.OPACITY)

    def answer(image: str | None, insist: bool = False) -> tuple[Any, ...]:
        if image is None:
            return demo.waiting_html(), "", None, gr.update(visible=False), gr.update(visible=False)
        explanation = vision.explain(demo.read_upload(image))
        if explanation.prediction.in_distribution is False and not insist:
            return demo.unlike_html(), "", None, gr.update(visible=False), gr.update(visible=True)
        text, overlay = demo.answer_html(explanation.prediction), demo.overlay_html(explanation)
        return text, overlay, explanation.target, gr.update(visible=True), gr.update(visible=False)

    def insist(image: str | None) -> tuple[Any, ...]:
        return answer(image, insist=True)

    def switch(image: str | None, target: str) -> str:
        return demo.overlay_html(vision.explain(demo.read_upload(image), target=target))

    about, examples = demo.describe_release(vision.release), demo.example_images(vision.release)
    with gr.Blocks(title="SkinVision", analytics_enabled=False, delete_cache=(60, KEPT_SECONDS)) as blocks:
        gr.HTML(demo.disclaimer_html(), elem_id="disclaimer")
        gr.HTML(demo.HEADER)
        with gr.Tab("Look at an image"), gr.Row(elem_id="desk"):
            with gr.Column(elem_id="input"):
                photo = Photo(label="Image of the lesion", sources=["upload", "clipboard", "webcam"], elem_id="photo")
                gr.HTML(demo.PRIVACY)
                if examples:
                    gr.Examples(examples, photo, label="Or try one of these", cache_examples=False, elem_id="examples")
            with gr.Column(elem_id="output"):
                reply = gr.HTML(demo.waiting_html(), elem_id="answer")
                anyway = gr.Button("Show the model's answer anyway", visible=False, elem_id="anyway")
            with gr.Column(elem_id="why", visible=False) as why:
                gr.HTML("<h2>Where the model looks</h2>")
                names = [(diagnosis.name, diagnosis.code) for diagnosis in DIAGNOSES]
                target = gr.Dropdown(
                    names, value=None, label="Explain this diagnosis", filterable=False, elem_id="target"
                )
                overlay = gr.HTML(elem_id="overlay")
                opacity = gr.Slider(0, 1, demo.OPACITY, step=0.05, label="Opacity of the heat map", elem_id="opacity")
        with gr.Tab("About this model"):
            gr.Markdown(about.text, elem_id="about")
            if about.figures:
                gr.Gallery(list(about.figures), label="Figures", columns=2, object_fit="contain", interactive=False)
        hidden: dict[str, Any] = {"api_visibility": "private", "concurrency_id": "model", "concurrency_limit": 2}
        page = [reply, overlay, target, why, anyway]
        photo.change(friendly(answer), photo, page, **hidden)
        anyway.click(friendly(insist), photo, page, **hidden)
        target.input(friendly(switch), [photo, target], overlay, **hidden)
        opacity.change(None, opacity, None, js=demo.OPACITY_SCRIPT, api_visibility="private")
        code = gr.Textbox("", visible=False, label="Code of the diagnosis to explain; empty for the most likely one")
        result = gr.JSON(visible=False, label="Answer")
        picture = gr.Image(visible=False, label="Overlay", format="png")
        public: dict[str, Any] = {"concurrency_id": "model", "concurrency_limit": 2}
        gr.Button(visible=False).click(friendly(predict), photo, result, api_name="predict", **public)
        gr.Button(visible=False).click(
            friendly(explain), [photo, code], [result, picture], api_name="explain", **public
        )
    return blocks.queue(**QUEUE)


def serve(_: Sequence[str] | None) -> int:
    """Open the page until it is stopped; with `gradio[mcp]` installed, its endpoints are tools for agents too."""
    build_demo().launch(mcp_server=find_spec("mcp") is not None, **LAUNCH)
    return 0


if __name__ == "__main__":
    sys.exit(run_command(serve))
