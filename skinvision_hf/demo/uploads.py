"""A visitor's upload, which reaches the package as it is and is checked before it is decoded."""

import asyncio
import base64
import binascii
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import gradio as gr
import httpx
import safehttpx
from gradio.processing_utils import PUBLIC_HOSTNAME_WHITELIST
from gradio_client.utils import synchronize_async
from PIL import Image

from skinvision_hf.data.images import MAX_PIXELS, open_image
from skinvision_hf.errors import ImageError

MAX_BYTES = 10 * 2**20
"""Largest upload. A dermatoscopic photograph of 12 megapixels is a third of it."""

FORMATS = "JPEG, PNG, WebP, AVIF, TIFF, BMP or GIF"
SECONDS, REDIRECTS = 60, 5  # of a download, at most

LIMITS = f"{FORMATS}, at most {MAX_BYTES // 2**20} MB and {MAX_PIXELS // 1_000_000} megapixels."
WEB = ("http://", "https://")


class Photo(gr.Image):
    """The image input of the page, without Gradio's own decoding, which checks nothing."""

    is_template = True  # the browser draws it as its base class

    async def async_move_resource_to_block_cache(self, url_or_file_path: Any) -> Any:
        """Leave web addresses to `preprocess`, since Gradio's own download has no limit."""
        is_web = str(url_or_file_path).startswith(WEB)
        return url_or_file_path if is_web else await super().async_move_resource_to_block_cache(url_or_file_path)

    def preprocess(self, payload: Any) -> str | bytes | None:
        """Return the path of the file, or the content of a `data:` URL or a web address.

        Raises:
            ImageError: If a web address holds too much.
            ValueError, httpx.HTTPError, OSError: If there is none of them, or an address does not answer.
        """
        if payload is None:
            return None
        address = (payload.url or "").strip()
        if address[:5].lower() == "data:":
            return _decode_data(address)
        place: str = payload.path or address
        if place.startswith(WEB):
            return synchronize_async(_download, place)
        if payload.path is None:
            raise ValueError("give a file, a data: URL or a web address")
        return place


async def _download(address: str) -> bytes:
    """What a web address answers with; never from this machine or its network, also after redirects."""
    async with asyncio.timeout(SECONDS):
        for _ in range(1 + REDIRECTS):
            host = httpx.URL(address).host
            known = safehttpx.matches_domain_whitelist(host, PUBLIC_HOSTNAME_WHITELIST)
            # It connects to the very address that was checked.
            transport = None if known else safehttpx.AsyncSecureTransport(await safehttpx.async_validate_url(host))
            async with (
                httpx.AsyncClient(transport=transport, headers={"Accept-Encoding": "identity"}) as client,
                client.stream("GET", address) as answer,
            ):
                if not answer.has_redirect_location:
                    return await _read(answer)
                address = str(httpx.URL(address).join(answer.headers["Location"]))
    raise ValueError("too many redirects")


async def _read(answer: httpx.Response) -> bytes:
    """The content of an answer, of which no more than the limit is read."""
    answer.raise_for_status()
    content = bytearray()
    if int(answer.headers.get("Content-Length", 0)) > MAX_BYTES:
        raise _too_large()
    async for part in answer.aiter_raw():
        content += part
        if len(content) > MAX_BYTES:
            raise _too_large()
    return bytes(content)


def _too_large() -> ImageError:
    return ImageError(f"your image has more than {MAX_BYTES // 2**20} MB; save it smaller, or as JPEG")


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
        raise _too_large()
    return open_image(content, name="your image")


def _content(path: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ImageError("your image was deleted, as all uploads are after some minutes; choose it again") from error
