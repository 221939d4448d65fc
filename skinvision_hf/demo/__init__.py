"""What the demo page shows and does with an upload; `space/app.py` puts it on a page."""

from skinvision_hf.card.phrases import OPACITY, say
from skinvision_hf.demo.about import describe_release
from skinvision_hf.demo.components import EXCEPTION_HANDLERS, Overlay, Page, friendly
from skinvision_hf.demo.examples import choose_examples
from skinvision_hf.demo.handlers import LARGEST_SIDE, Handlers
from skinvision_hf.demo.parts import html, overlay_html
from skinvision_hf.demo.uploads import MAX_BYTES, Photo, read_upload

__all__ = [
    "EXCEPTION_HANDLERS", "LARGEST_SIDE", "MAX_BYTES", "OPACITY", "Handlers", "Overlay", "Page", "Photo",
    "choose_examples", "describe_release", "friendly", "html", "overlay_html", "read_upload", "say",
]  # fmt: skip
