"""What the demo page shows, as HTML and Markdown; `space/app.py` puts it on a page."""

from skinvision_hf.demo.about import About, describe_release, example_images
from skinvision_hf.demo.answer import (
    HEADER,
    PRIVACY,
    answer_html,
    disclaimer_html,
    error_html,
    ranked_bars,
    unlike_html,
    waiting_html,
)
from skinvision_hf.demo.components import EXCEPTION_HANDLERS, Overlay, Page, Photo, friendly
from skinvision_hf.demo.handlers import LARGEST_SIDE, Handlers
from skinvision_hf.demo.overlay import OPACITY, overlay_html
from skinvision_hf.demo.scripts import NAMES_SCRIPT, OPACITY_SCRIPT, SCROLL_SCRIPT
from skinvision_hf.demo.uploads import MAX_BYTES, read_upload

__all__ = [
    "EXCEPTION_HANDLERS",
    "HEADER",
    "LARGEST_SIDE",
    "MAX_BYTES",
    "NAMES_SCRIPT",
    "OPACITY",
    "OPACITY_SCRIPT",
    "PRIVACY",
    "SCROLL_SCRIPT",
    "About",
    "Handlers",
    "Overlay",
    "Page",
    "Photo",
    "answer_html",
    "describe_release",
    "disclaimer_html",
    "error_html",
    "example_images",
    "friendly",
    "overlay_html",
    "ranked_bars",
    "read_upload",
    "unlike_html",
    "waiting_html",
]
