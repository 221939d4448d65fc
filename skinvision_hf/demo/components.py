"""Gradio's parts, made to fit: uploads reach the package unopened, and errors speak to people."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any
from uuid import uuid4

import gradio as gr
import httpx
from fastapi import Request
from fastapi.responses import JSONResponse
from gradio.route_utils import FnIndexInferError
from PIL import Image

from skinvision_hf.demo.wording import sentence
from skinvision_hf.errors import SkinVisionError

__all__ = ["EXCEPTION_HANDLERS", "Overlay", "Page", "Photo", "friendly"]

MALFORMED = "This request has not the form that the page expects; 'Use via API' at its foot shows examples."
# What Gradio raises about a caller's data: too few values, others than expected, files that were never uploaded.
CALLER_ERRORS = (gr.Error, ValueError, TypeError, AttributeError, LookupError, OSError, httpx.HTTPError)


class Page(gr.Blocks):
    """Blocks that tell a caller what is wrong with a malformed request, without a traceback in the log."""

    async def preprocess_data(self, *arguments: Any, **options: Any) -> Any:
        """Turn what came over the wire into arguments of a function."""
        try:
            return await super().preprocess_data(*arguments, **options)
        except CALLER_ERRORS:
            raise gr.Error(MALFORMED, print_exception=False) from None


class Photo(gr.Image):
    """An upload that reaches the package as it is: Gradio would decode it first, unchecked."""

    def preprocess(self, payload: Any) -> str | None:
        """Return the file's path."""
        return payload and payload.path

    def get_block_name(self) -> str:
        """Draw it as the image that it is."""
        return "image"


class Overlay(gr.Image):
    """A picture that each answer has to itself.

    Gradio names pictures by their content and writes them again for each answer, also while another visitor with the
    same image downloads it, who then gets half of it.
    """

    def postprocess(self, value: Image.Image | None) -> Any:
        """Write the picture where no other answer writes."""
        if value is None:
            return None
        path = Path(self.GRADIO_CACHE) / uuid4().hex / "overlay.png"
        path.parent.mkdir(parents=True)
        value.save(path)
        return super().postprocess(path)

    def get_block_name(self) -> str:
        """Draw it as the image that it is."""
        return "image"


def friendly(function: Callable[..., Any]) -> Callable[..., Any]:
    """Turn the package's own errors into Gradio's, without a traceback in the page or the log."""

    @wraps(function)
    def call(*arguments: Any) -> Any:
        try:
            return function(*arguments)
        except SkinVisionError as error:
            raise gr.Error(sentence(str(error)), duration=12, print_exception=False) from None

    return call


async def _no_such_endpoint(request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": "There is no such endpoint; 'Use via API' at the page's foot lists them."}, 404)


EXCEPTION_HANDLERS = dict.fromkeys((KeyError, FnIndexInferError), _no_such_endpoint)
"""Answers to calls of functions that do not exist, about which Gradio would print a traceback."""
