"""Gradio components, adapted: each answer has its own heat map, and error messages are for visitors."""

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

from skinvision_hf.demo.parts import sentence
from skinvision_hf.errors import SkinVisionError

MALFORMED = (
    "This request does not have the form that the page expects; 'Use via API' at its foot shows examples. An image is "
    "an uploaded file, a data: URL, or a public web address that answers with an image file."
)
# What Gradio raises about a caller's data: too few values, others than expected, files that were never uploaded.
CALLER_ERRORS: tuple[type[Exception], ...] = (gr.Error, ValueError, TypeError, AttributeError, LookupError, OSError)
CALLER_ERRORS += (httpx.HTTPError, httpx.InvalidURL, SkinVisionError)


class Page(gr.Blocks):
    """Blocks that tell a caller what is wrong with a malformed request, without a traceback in the log."""

    @property
    def mcp_server_obj(self) -> Any:
        """What answers agents; None without `gradio[mcp]`."""
        return self._mcp_server

    @mcp_server_obj.setter
    def mcp_server_obj(self, server: Any) -> None:
        if server is not None:
            server.postprocess_output_data = _one_by_one(server.postprocess_output_data)
        self._mcp_server = server

    async def preprocess_data(self, *arguments: Any, **options: Any) -> Any:
        """Turn what came over the wire into arguments of a function."""
        try:
            return await super().preprocess_data(*arguments, **options)
        except CALLER_ERRORS as error:
            reason = next((e for e in (error, error.__cause__) if isinstance(e, SkinVisionError)), None)
            raise gr.Error(sentence(str(reason)) if reason else MALFORMED, print_exception=False) from None


def _one_by_one(postprocess: Callable[[Any, str], Any]) -> Callable[[Any, str], Any]:
    """Hand over the outputs of a tool one by one: Gradio joins several into one, in which it finds no image."""

    def call(data: Any, root_url: str) -> Any:
        joined = len(data) == 1 and isinstance(data[0], (list, tuple))
        return postprocess(data[0] if joined else data, root_url)

    return call


class Overlay(gr.Image):
    """An image that each answer has to itself.

    Gradio names images by their content and writes them again for each answer, also while another visitor with the
    same image downloads it, who then gets half of it.
    """

    is_template = True  # the browser draws it as its base class

    def postprocess(self, value: Image.Image | None) -> Any:
        """Write the image to a new file."""
        if value is None:
            return None
        path = Path(self.GRADIO_CACHE) / uuid4().hex / "overlay.png"
        path.parent.mkdir(parents=True)
        value.save(path)
        return super().postprocess(path)


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
