"""A visitor's upload, checked before it is decoded."""

from pathlib import Path

from PIL import Image

from skinvision_hf.data.images import MAX_PIXELS, open_image
from skinvision_hf.errors import ImageError

__all__ = ["LIMITS", "MAX_BYTES", "read_upload"]

MAX_BYTES = 10 * 2**20
"""Largest upload. A dermatoscopic photograph of 12 megapixels is a third of it."""

LIMITS = f"JPEG, PNG, WebP, TIFF, BMP or GIF, at most {MAX_BYTES // 2**20} MB and {MAX_PIXELS // 1_000_000} megapixels."


def read_upload(path: str | None) -> Image.Image:
    """Read an uploaded file; messages call it 'your image', since its name on this machine is nobody's concern.

    Raises:
        ImageError: If there is none, or it is too large, or cannot be used.
    """
    if path is None:
        raise ImageError("there is no image yet; choose, paste or take one")
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ImageError("your image is no longer here, since images are not kept; choose it again") from error
    if len(content) > MAX_BYTES:
        raise ImageError(f"your image has more than {MAX_BYTES // 2**20} MB; save it smaller, or as JPEG")
    return open_image(content, name="your image")
