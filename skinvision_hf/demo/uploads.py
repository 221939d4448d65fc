"""A visitor's upload, checked before it is decoded."""

from pathlib import Path

from PIL import Image

from skinvision_hf.data.images import MAX_PIXELS, open_image
from skinvision_hf.errors import ImageError

__all__ = ["LIMITS", "MAX_BYTES", "read_upload"]

MAX_BYTES = 10 * 2**20
"""Largest upload. A dermatoscopic photograph of 12 megapixels is a third of it."""

FORMATS = "JPEG, PNG, WebP, AVIF, TIFF, BMP or GIF"
LIMITS = f"{FORMATS}, at most {MAX_BYTES // 2**20} MB and {MAX_PIXELS // 1_000_000} megapixels."


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
