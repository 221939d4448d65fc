"""A visitor's upload, which reaches the package as it is and is checked before it is decoded."""

import base64
import binascii
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import gradio as gr
from gradio.processing_utils import ssrf_protected_download
from PIL import Image

from skinvision_hf.data.images import MAX_PIXELS, open_image
from skinvision_hf.errors import ImageError

MAX_BYTES = 10 * 2**20
"""Largest upload. A dermatoscopic photograph of 12 megapixels is a third of it."""

FORMATS = "JPEG, PNG, WebP, AVIF, TIFF, BMP or GIF"
LIMITS = f"{FORMATS}, at most {MAX_BYTES // 2**20} MB and {MAX_PIXELS // 1_000_000} megapixels."


class Photo(gr.Image):
    """The image input of the page, without Gradio's own decoding, which checks nothing."""

    is_template = True  # the browser draws it as its base class

    def preprocess(self, payload: Any) -> str | bytes | None:
        """Return the path of the file, or the content of a `data:` URL.

        Raises:
            ValueError: If there is neither.
        """
        if payload is None:
            return None
        address = (payload.url or "").strip()
        if address[:5].lower() == "data:":
            return _decode_data(address)
        if payload.path is None and address.startswith(("http://", "https://")):
            # Refuses addresses of this machine and of its network, also after a redirect.
            return ssrf_protected_download(address, self.GRADIO_CACHE)
        if payload.path is None:
            raise ValueError("give a file, a data: URL or a web address")
        return payload.path


def _decode_data(address: str) -> bytes:
    """The content of a `data:` URL (RFC 2397); the base64 may have line breaks and lack its padding."""
    kind, _, text = address.partition(",")
    content = unquote_to_bytes(text)
    if not kind.lower().endswith(";base64"):
        return content
    content = b"".join(content.split())
    try:
        return base64.b64decode(content + b"=" * (-len(content) % 4), validate=True)
    except binascii.Error as error:
        raise ValueError("this data: URL is not base64") from error


def read_upload(upload: str | bytes | None) -> Image.Image:
    """Read an upload: the path of a file, or its content. Messages say "your image", never the path.

    Raises:
        ImageError: If there is none, or it is too large, or cannot be used.
    """
    if upload is None:
        raise ImageError("there is no image yet; choose, paste or take one")
    content = upload if isinstance(upload, bytes) else _content(upload)
    if len(content) > MAX_BYTES:
        raise ImageError(f"your image has more than {MAX_BYTES // 2**20} MB; save it smaller, or as JPEG")
    return open_image(content, name="your image")


def _content(path: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ImageError("your image was deleted, as all uploads are after some minutes; choose it again") from error
