"""What the demo page shows, as HTML and Markdown; `space/app.py` puts it on a page."""

from skinvision_hf.demo.about import About, describe_release
from skinvision_hf.demo.answer import (
    HEADER,
    PRIVACY,
    answer_html,
    disclaimer_html,
    error_html,
    unlike_html,
    waiting_html,
)
from skinvision_hf.demo.components import EXCEPTION_HANDLERS, Overlay, Page, Photo, friendly
from skinvision_hf.demo.examples import captions_html, choose_examples
from skinvision_hf.demo.handlers import LARGEST_SIDE, Handlers
from skinvision_hf.demo.overlay import OPACITY, overlay_html
from skinvision_hf.demo.scripts import ANSWERED_SCRIPT, DOWNLOAD_SCRIPT, OPACITY_SCRIPT, START_SCRIPT
from skinvision_hf.demo.uploads import MAX_BYTES, read_upload

__all__ = [
    "ANSWERED_SCRIPT",
    "DOWNLOAD_SCRIPT",
    "EXCEPTION_HANDLERS",
    "HEADER",
    "LARGEST_SIDE",
    "MAX_BYTES",
    "OPACITY",
    "OPACITY_SCRIPT",
    "PRIVACY",
    "START_SCRIPT",
    "About",
    "Handlers",
    "Overlay",
    "Page",
    "Photo",
    "answer_html",
    "captions_html",
    "choose_examples",
    "describe_release",
    "disclaimer_html",
    "error_html",
    "friendly",
    "overlay_html",
    "read_upload",
    "unlike_html",
    "waiting_html",
]
