"""The parts of the page as HTML, from the macros of `templates/page.html`; nothing they say is medical advice."""

import base64
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from PIL import Image

from skinvision_hf.card.phrases import FOLDED, say
from skinvision_hf.card.templating import templates
from skinvision_hf.data.images import encode
from skinvision_hf.demo.uploads import LIMITS
from skinvision_hf.explain.explanation import Explanation, heat_layer
from skinvision_hf.explain.placement import shrink
from skinvision_hf.labels import diagnosis

# Enough for a large screen, and small enough for a phone's connection.
IMAGE_SIDE, LAYER_SIDE = 900, 300


def html(part: str, *values: Any, **options: Any) -> str:
    """Return a part of the page: what a macro of `templates/page.html` makes of its arguments."""
    return str(getattr(_macros(), part)(*values, **options))


@cache
def _macros() -> Any:
    words = {"FOLDED": FOLDED, "limits": LIMITS}
    functions = {f.__name__: f for f in (say, percent, sentence, in_sentence, listed, diagnosis)}
    return templates().get_template("page.html").make_module(words | functions)


def overlay_html(explanation: Explanation) -> str:
    """Return the image with its heat map above it, whose opacity is the CSS variable `--sv-opacity`."""
    image = shrink(explanation.image, IMAGE_SIDE)
    heat = shrink(Image.fromarray((explanation.heatmap * 255).astype(np.uint8)), LAYER_SIDE)
    layer = heat_layer(np.asarray(heat, dtype=np.float32) / 255)
    return html("overlay", explanation, _data_uri(image, "JPEG"), _data_uri(layer, "PNG"))


def percent(probability: float) -> str:
    """A probability as a whole percentage, with "<1%" and ">99%" at the ends."""
    if probability < 0.01:
        return "<1%"
    return ">99%" if probability > 0.99 else f"{probability:.0%}"


def sentence(reason: str) -> str:
    """Make a sentence of one of the package's messages."""
    return f"{reason[0].upper()}{reason[1:]}."


def in_sentence(code: str) -> str:
    """Name a diagnosis in the middle of a sentence."""
    name = diagnosis(code).name
    return name[0].lower() + name[1:]


def listed(codes: Sequence[str]) -> str:
    """Name diagnoses in the middle of a sentence: "a, b and c"."""
    *first, last = map(in_sentence, codes)
    return f"{', '.join(first)} and {last}" if first else last


def _data_uri(image: Image.Image, kind: str) -> str:
    content = base64.b64encode(encode(image, kind, quality=88, optimize=True)).decode("ascii")
    return f"data:image/{kind.lower()};base64,{content}"
