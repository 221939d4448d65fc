"""The demo page: `python space/app.py` opens it here, and the same file is a Space on the Hub.

`MODEL_ID` (a Hub id or a folder) and `MODEL_REVISION` in the environment choose the model; without them it is the
release that ships with the package. `EXAMPLES` names a data set, such as a folder of HAM10000, whose test images are
offered as examples. For education and research only; not a medical device.
"""

import argparse
import json
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import gradio as gr

from skinvision_hf import demo
from skinvision_hf.errors import SkinVisionError, run_command
from skinvision_hf.labels import CODES, DIAGNOSES, DISCLAIMER
from skinvision_hf.vision import SkinVision

HERE = Path(__file__).parent
SCRIPT = (HERE / "script.js").read_text(encoding="utf-8")
# What the script reads.
SETTINGS = {"maxBytes": demo.MAX_BYTES, "disclaimer": DISCLAIMER}
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
    "css_paths": [HERE / "style.css"],
    "head": f"<script>const SETTINGS = {json.dumps(SETTINGS)};\n{SCRIPT}</script>",
    # One byte more than the limit reaches the server, which then says in its own words what is wrong.
    "max_file_size": demo.MAX_BYTES + 1,
    "footer_links": ["api", "settings"],
    "ssr_mode": False,
    "run_history": False,  # it would keep images in the visitor's browser
    "enable_monitoring": False,
    "app_kwargs": {"exception_handlers": demo.EXCEPTION_HANDLERS},
}
QUEUE: dict[str, Any] = {"max_size": 64, "default_concurrency_limit": 2, "api_open": False}
MODEL_LIMIT: dict[str, Any] = {"concurrency_id": "model", "concurrency_limit": 2}
# How often uploads are looked through, and from which age on they go: enough for several diagnoses of one image.
DELETE_CACHE = (60, 600)


def build_demo() -> gr.Blocks:
    """Load the model and lay out the page; visitors share only the model."""
    zero_gpu = bool(os.environ.get("SPACES_ZERO_GPU"))
    release, revision = os.environ.get("MODEL_ID") or None, os.environ.get("MODEL_REVISION") or None
    runtime: Literal["onnx", "torch"] = "torch" if find_spec("timm") else "onnx"
    device = "cpu" if zero_gpu else None
    vision = SkinVision.from_pretrained(release, revision=revision, runtime=runtime, device=device)
    handlers = demo.Handlers(vision)
    with demo.Page(title="SkinVision", analytics_enabled=False, delete_cache=DELETE_CACHE) as blocks:
        gr.HTML(demo.html("disclaimer_bar"), elem_id="disclaimer")
        gr.HTML(demo.html("header"))
        with gr.Tab("Look at an image"):
            photo = lay_out_desk(handlers)
        with gr.Tab("About this model"):
            lay_out_about(vision)
        offer_api(handlers, photo)
    if zero_gpu:
        use_zero_gpu(vision)
    return blocks.queue(**QUEUE)


def use_zero_gpu(vision: SkinVision) -> None:
    """Run the model on ZeroGPU, which lends its GPU to functions that `spaces.GPU` decorates, in other processes."""
    spaces = import_module("spaces")  # installed there

    def lend(method: Callable[..., Any]) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            vision.to("cuda")
            return method(*arguments, **options)

        return spaces.GPU(call)

    for name in ("predict", "explain"):
        setattr(vision, name, lend(getattr(vision, name)))


def lay_out_desk(handlers: demo.Handlers) -> gr.Image:
    """Lay out the image, the heat map and the answer, and connect them; returns the image."""
    private: dict[str, Any] = {"api_visibility": "private"}
    with gr.Row(elem_id="desk"):
        with gr.Column(elem_id="input"):
            sources = ["upload", "clipboard", "webcam"]
            photo = demo.Photo(label="Image", show_label=False, sources=sources, buttons=[], elem_id="photo")
            gr.HTML(demo.html("privacy"))
            offer_examples(handlers.vision, photo)
        with gr.Column(elem_id="why", visible=False) as why:
            overlay = gr.HTML(elem_id="overlay")
            names = [(diagnosis.name, diagnosis.code) for diagnosis in DIAGNOSES]
            target = gr.Dropdown(names, value=None, label=demo.say("target"), filterable=False, elem_id="target")
            opacity = gr.Slider(0, 1, demo.OPACITY, step=0.05, label=demo.say("opacity"), elem_id="opacity")
        with gr.Column(elem_id="output"):
            reply = gr.HTML(demo.html("waiting"), elem_id="answer")
            anyway = gr.Button(demo.say("anyway"), visible=False, elem_id="anyway")
            with gr.Row(elem_id="save", visible=False) as save:
                with_photo = gr.Checkbox(False, label=demo.say("with_photo"), container=False)
                button = gr.Button(demo.say("save"), size="sm", variant="secondary")
    shown = [photo, reply, overlay, target, why, anyway, save]
    asking = private | MODEL_LIMIT | {"show_progress_on": reply}
    answered = photo.change(handlers.answer, photo, shown, **asking)
    answered.then(None, photo, None, js="(photo) => skinvision.showAnswer(photo)", **private)
    insisted = anyway.click(handlers.answer_anyway, photo, shown, **asking)
    insisted.then(None, photo, None, js="(photo) => skinvision.showAnswer(photo)", **private)
    # An answer that comes after its image is gone is not shown, and of several diagnoses the last one is explained.
    photo.clear(handlers.forget, None, shown, cancels=[answered, insisted], **private)
    target.input(handlers.switch, [photo, target], overlay, trigger_mode="always_last", **private, **MODEL_LIMIT)
    opacity.change(None, opacity, None, js="(value) => skinvision.setOpacity(value)", **private)
    button.click(None, with_photo, None, js="(withPhoto) => skinvision.saveAnswer(withPhoto)", **private)
    return photo


def offer_examples(vision: SkinVision, photo: gr.Image) -> None:
    """Offer example images, where there are any, with their ground truth."""
    folder = Path(os.environ.get("GRADIO_TEMP_DIR") or tempfile.gettempdir()) / "skinvision-examples"
    examples = demo.choose_examples(vision, os.environ.get("EXAMPLES"), folder)
    if examples:
        gr.Examples([path for path, _ in examples], photo, label="Examples", cache_examples=False, elem_id="examples")
        gr.HTML(demo.html("captions", examples))


def lay_out_about(vision: SkinVision) -> None:
    """Lay out what was measured: key numbers, and sections that open in place."""
    about = demo.describe_release(vision.release)
    gr.set_static_paths([vision.release / "figures"])
    with gr.Column(elem_id="about"):
        if about.numbers:
            gr.HTML(about.numbers)
        gr.Markdown(about.text)
        for section in about.sections:
            with gr.Accordion(section.title, open=False):
                gr.Markdown(section.text)
                if section.figure:
                    gr.HTML(section.figure)


def offer_api(handlers: demo.Handlers, photo: gr.Image) -> None:
    """Offer `/predict` and `/explain` to programs, through parts that the page does not show."""
    choices = [("the most probable one", ""), *((diagnosis.name, diagnosis.code) for diagnosis in DIAGNOSES)]
    code = gr.Dropdown(
        choices, value="", allow_custom_value=True, visible=False, label=f"Diagnosis: {', '.join(CODES)}, or empty"
    )
    insist = gr.Checkbox(False, visible=False, label="Answer even if the image is out of distribution")
    result = gr.JSON(visible=False, label="Answer")
    picture = demo.Overlay(visible=False, label="Overlay")
    public = MODEL_LIMIT | {"api_visibility": "public"}
    predict, explain = demo.friendly(handlers.predict), demo.friendly(handlers.explain)
    gr.Button(visible=False).click(predict, [photo, insist], result, api_name="predict", **public)
    gr.Button(visible=False).click(explain, [photo, code, insist], [result, picture], api_name="explain", **public)


def serve(argv: Sequence[str] | None) -> int:
    """Open the page until it is stopped; with `gradio[mcp]` installed, its endpoints are tools for agents too."""
    raw = argparse.RawDescriptionHelpFormatter
    argparse.ArgumentParser(prog="app.py", description=__doc__, formatter_class=raw).parse_args(argv)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(
        prefix="skinvision-", dir=os.environ.get("GRADIO_TEMP_DIR"), ignore_cleanup_errors=True
    ) as uploads:
        os.environ["GRADIO_TEMP_DIR"] = uploads  # goes with the process, and all that was uploaded with it
        page = build_demo()
        try:
            page.launch(mcp_server=find_spec("mcp") is not None, **LAUNCH)
        except (ValueError, OSError) as error:  # a busy port, a name of another machine, a proxy in the way
            reason = str(error).partition(".")[0]
            remedy = "check GRADIO_SERVER_NAME, GRADIO_SERVER_PORT and the proxy settings"
            raise SkinVisionError(f"the page cannot be opened ({reason}); {remedy}") from error
    return 0


if __name__ == "__main__":
    sys.exit(run_command(serve))
