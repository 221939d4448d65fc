"""The heat map over the image as HTML; the browser blends them, so that opacity costs no request."""

import base64
import io
from html import escape

import numpy as np
from PIL import Image

from skinvision_hf.demo.wording import in_sentence
from skinvision_hf.explain.explanation import Explanation, heat_layer
from skinvision_hf.explain.placement import shrink

__all__ = ["OPACITY", "overlay_html"]

OPACITY = 0.6
"""Opacity of the heat map at first."""

# Enough for a large screen, and small enough for a phone's connection.
IMAGE_SIDE, LAYER_SIDE = 900, 300


def overlay_html(explanation: Explanation) -> str:
    """Return the image with its heat map above it, whose opacity is the CSS variable `--sv-opacity`.

    Both are part of the page: no file is written, so that there is none to delete.
    """
    name = in_sentence(explanation.target)
    image = shrink(explanation.image, IMAGE_SIDE)
    heat = shrink(Image.fromarray((explanation.heatmap * 255).astype(np.uint8)), LAYER_SIDE)
    layer = heat_layer(np.asarray(heat, dtype=np.float32) / 255)
    return (
        f'<figure class="sv-overlay" data-target="{explanation.target}"><div class="sv-stack">'
        f'<img src="{_data_uri(image, "JPEG")}" alt="Your image">'
        f'<img class="sv-heat" src="{_data_uri(layer, "PNG")}" alt="Heat map of what speaks for {escape(name)}"></div>'
        f'<div class="sv-scale" aria-hidden="true"><span>little</span><i></i><span>much</span></div>'
        f"<figcaption>{escape(_caption(explanation, name))}</figcaption></figure>"
    )


def _caption(explanation: Explanation, name: str) -> str:
    """What the colours mean, how coarse the map is, and whether its hottest point is at the border."""
    if not explanation.heatmap.any():
        return f"Nothing in this image speaks for {name}, to the model."
    rows, columns = explanation.cells
    border = (
        " The hottest point is at the border of the image, so the model may not be looking at the lesion."
        if explanation.hottest_at_border
        else ""
    )
    return (
        f"Coloured areas speak for {name}, yellow ones most.{border} The map is interpolated from {rows} x {columns} "
        "cells. It explains the model, not the skin."
    )


def _data_uri(image: Image.Image, kind: str) -> str:
    buffer = io.BytesIO()
    image.save(buffer, kind, quality=88, optimize=True)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
