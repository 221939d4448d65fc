"""Ways in which the same lesion reaches the model as another image: smaller, re-compressed, cut or turned."""

from collections.abc import Callable
from functools import partial

from PIL import Image, ImageOps

from skinvision_hf.data.images import encode, open_image

Change = Callable[[Image.Image], Image.Image]


def compress(image: Image.Image, *, kind: str, quality: int) -> Image.Image:
    """Write an RGB image in a lossy format and read it again."""
    return open_image(encode(image, kind, quality=quality))


def cut(image: Image.Image, *, ratio: float) -> Image.Image:
    """Cut the largest part of this ratio of width to height from the middle of an image."""
    width, height = min(image.width, round(image.height * ratio)), min(image.height, round(image.width / ratio))
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))


ENCODINGS: dict[str, Change] = {
    **{f"{side} px": partial(ImageOps.contain, size=(side, side)) for side in (448, 300, 200, 128)},
    **{f"JPEG {quality}": partial(compress, kind="JPEG", quality=quality) for quality in (95, 75, 50, 30)},
    "WebP 80": partial(compress, kind="WEBP", quality=80),
}
"""Sizes and qualities at which images are stored and sent."""

GEOMETRY: dict[str, Change] = {
    "square crop": partial(cut, ratio=1.0),
    "3:2 crop": partial(cut, ratio=1.5),
    "quarter turn": lambda image: image.transpose(Image.Transpose.ROTATE_90),
    "half turn": lambda image: image.transpose(Image.Transpose.ROTATE_180),
    "three-quarter turn": lambda image: image.transpose(Image.Transpose.ROTATE_270),
    "mirrored": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "upside down": lambda image: image.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
}
"""Ways to hold and to crop an image; none of them changes the diagnosis."""
