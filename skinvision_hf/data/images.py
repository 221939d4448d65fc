"""The one place where an image is opened, checked and turned into upright RGB."""

import io
import os
import struct
import zipfile
import zlib
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np
from PIL import ExifTags, Image, PngImagePlugin, UnidentifiedImageError

from skinvision_hf.errors import ImageError

try:  # what phones make; an extra, since its decoder is large
    from pillow_heif import register_heif_opener
except ImportError:
    HEIF: tuple[str, ...] = ()
else:
    register_heif_opener()
    HEIF = ("HEIF",)

ImageSource: TypeAlias = str | os.PathLike[str] | bytes | BinaryIO | Image.Image | np.ndarray | Mapping[str, Any]

MAX_PIXELS = 50_000_000
"""Largest image, in pixels, checked before it is decoded; a small file can hold an image that fills the memory."""

MIN_SIDE = 32
"""Shortest side in pixels. HAM10000 is 600 x 450; below this a lesion has no structure left to look at."""

# Formats that only hold pixels. Others that Pillow opens run programs (EPS) or depend on fonts and plug-ins.
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "DIB", "JPEG2000", "PPM", "AVIF", *HEIF)

IMAGE_SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".tif", ".tiff", ".gif", ".bmp", ".dib", ".jp2", ".j2k",
    ".ppm", ".pgm", ".avif", ".heic", ".heif",
)  # fmt: skip
"""How files in `FORMATS` are called, in lower case; how a program lists the images of a folder."""

# What HEIF files say in their first bytes.
HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"mif1")

# Pillow refuses a PNG with more than a megabyte of text, which some programs write; its pixels are sound.
PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY = 1 << 27

# Tags of TIFF files.
BITS, LARGEST, SIGNED_LARGEST, PHOTOMETRIC = 258, 281, 341, 262

TURNS = ("FLIP_LEFT_RIGHT", "ROTATE_180", "FLIP_TOP_BOTTOM", "TRANSPOSE", "ROTATE_270", "TRANSVERSE", "ROTATE_90")
UPRIGHT = {orientation: Image.Transpose[turn] for orientation, turn in enumerate(TURNS, start=2)}

# What Pillow's decoders raise on broken files; they validate little before they compute.
BROKEN_FILE: tuple[type[Exception], ...] = (OSError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError)
BROKEN_FILE += (EOFError, RuntimeError, struct.error, MemoryError)
# What reading an open file raises, which may be a member of a zip file or the answer of a server.
BROKEN_STREAM = (OSError, ValueError, EOFError, RuntimeError, zlib.error, zipfile.BadZipFile, HTTPException)


def is_image_source(value: object) -> bool:
    """Tell one image (of any kind that `open_image` takes) from a collection of them."""
    kinds = (str, os.PathLike, bytes, bytearray, memoryview, Image.Image, np.ndarray, Mapping)
    return isinstance(value, kinds) or hasattr(value, "read")


def open_image(source: ImageSource, *, name: str = "the image") -> Image.Image:
    """Read an image from anywhere and check that it can be classified.

    Transparency is laid over white, greyscale of up to 16 bits is scaled to 8, of an animation the first frame is used,
    and an EXIF orientation is applied once: opening what this returns gives the same pixels again.

    Args:
        source: A path, encoded bytes, a binary file object (read from where it stands), a PIL image, an array (height,
            width) or (height, width, 3 or 4), uint8 or float in [0, 1], or an undecoded row of `datasets` (`bytes`,
            `path`).
        name: How messages call a source that has no path.

    Returns:
        An RGB image of at least `MIN_SIDE` pixels a side and at most `MAX_PIXELS` pixels, without metadata; a PIL image
        that is upright RGB already is returned itself.

    Raises:
        ImageError: If it cannot be read or used. The message is one line that names the image and the remedy.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source, name)
    if isinstance(source, Image.Image):
        return _decode(source, name)
    if isinstance(source, Mapping):
        if not (image := source.get("bytes") or source.get("path")):
            raise ImageError(f"{name} is a dictionary without bytes or path; give the image of the row alone")
        return open_image(image, name=name)
    if isinstance(source, (str, os.PathLike)):
        name = printable(source)
        with _open_file(os.fspath(source), name) as file:
            return _open(file, name)
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _open(io.BytesIO(bytes(source)), name)
    if hasattr(source, "read"):
        return _open(_buffer(source, name), name)
    kind = type(source).__name__
    raise ImageError(f"{name} is of type {kind}; give a path, a PIL image, a NumPy array, bytes or a file object")


def printable(path: str | os.PathLike[str]) -> str:
    """A path as one line of text: line breaks, control characters and undecodable bytes become question marks."""
    return "".join(character if character.isprintable() else "?" for character in os.fsdecode(path))


def _open_file(path: str, name: str) -> BinaryIO:
    if path.lower().startswith(("http://", "https://")):
        raise ImageError(f"{name} is a web address; download the image and give the file")
    if not path:
        raise ImageError("the path is empty; name an image file")
    try:
        file = Path(path)
        if file.is_dir():
            raise ImageError(f"{name} is a folder; name the image files in it")
        if not file.exists():
            raise ImageError(f"{name} does not exist; check the path")
        if not file.is_file():
            raise ImageError(f"{name} is not a regular file; save the image to a file and give that")
        return file.open("rb")
    except (OSError, ValueError) as error:
        raise ImageError(f"{name} cannot be opened ({_reason(error)}); check the path and its permissions") from error


def _buffer(file: BinaryIO, name: str) -> BinaryIO:
    try:
        content = file.read()
    except BROKEN_STREAM as error:
        raise ImageError(f"{name} cannot be read from its file object ({_reason(error)}); open it again") from error
    if not isinstance(content, (bytes, bytearray)):
        raise ImageError(f"{name} comes from a file object in text mode; open the file with mode 'rb'")
    return io.BytesIO(content)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error).partition("\n")[0]


def _open(file: BinaryIO, name: str) -> Image.Image:
    try:
        with Image.open(file, formats=FORMATS) as image:
            return _decode(image, name)
    except UnidentifiedImageError as error:
        file.seek(0)
        start = file.read(12)
        if not start:
            raise ImageError(f"{name} is empty; download or export it again") from error
        install = "install pillow-heif (pip install 'skinvision-hf[heic]'), or " if start[8:] in HEIF_BRANDS else ""
        raise ImageError(f"{name} cannot be read as an image; {install}save it as JPEG or PNG") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(name) from error
    except BROKEN_FILE as error:
        if getattr(error, "errno", None):
            raise ImageError(f"{name} cannot be opened ({_reason(error)}); check its permissions") from error
        raise _damaged(name) from error


def _decode(image: Image.Image, name: str) -> Image.Image:
    _check_size(*image.size, name)
    try:
        image.load()
    except BROKEN_FILE as error:
        raise _damaged(name) from error
    try:
        turn = UPRIGHT.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except BROKEN_FILE:  # the pixels are still good
        turn = None
    rgb = to_rgb(image, name)
    if turn is not None:
        rgb = rgb.transpose(turn)
    if rgb is not image:
        rgb.info = {}  # its orientation is applied
    return rgb


def _damaged(name: str) -> ImageError:
    return ImageError(f"{name} is damaged or incomplete; download or export it again")


def _too_large(name: str) -> ImageError:
    limit = f"{MAX_PIXELS // 1_000_000} megapixels"
    return ImageError(f"{name} has more than {limit}; crop it to the lesion or scale it down")


def _check_size(width: int, height: int, name: str) -> None:
    if width * height > MAX_PIXELS:
        raise _too_large(name)
    if min(width, height) < MIN_SIDE:
        size = f"{width} x {height} pixels"
        raise ImageError(f"{name} is only {size}; give an image with sides of at least {MIN_SIDE} pixels")


def encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    """Write an image as a file of a format of Pillow, such as `JPEG`, in memory."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def to_rgb(image: Image.Image, name: str = "the image") -> Image.Image:
    """Return an image in RGB: transparency over white, greyscale of more than 8 bits scaled to 8.

    Values that are not finite or of no known range raise ImageError.
    """
    if image.mode == "F" or image.mode.startswith("I"):
        image = _scale_grey(image, name)
    if image.mode == "La":  # Pillow converts it to nothing else
        image = image.convert("LA")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.new("RGBA", image.size, "white")
        image.alpha_composite(layer)
    return image if image.mode == "RGB" else image.convert("RGB")


def _scale_grey(image: Image.Image, name: str) -> Image.Image:
    """Greyscale of more than 8 bits to 8 bits, by the range that the tags of a TIFF, or its mode and values, imply."""
    values, tags = np.asarray(image).astype(np.float64), getattr(image, "tag_v2", {})
    low, high = float(values.min()), float(values.max())
    if not np.isfinite([low, high]).all():
        raise ImageError(f"{name} holds NaN or infinite values; replace them with numbers")
    deep = image.mode.startswith("I;16")
    ranges = [*_told_range(tags), *([1.0] if image.mode == "F" else []), *([] if deep else [255.0]), 65535.0]
    top = next((t for t in ranges if high <= t), 0.0)
    if low < 0 or not top:
        raise ImageError(f"{name} holds values from {low:g} to {high:g}; scale them to 0..255")
    if top == 65535 and 0 < high < 4096:  # perhaps 12 bits in 16; its range is not for us to guess
        raise ImageError(f"{name} holds values up to {high:g} of 65535, almost black; scale them to 0..255")
    if tags.get(PHOTOMETRIC) == 0:  # white is zero, which Pillow knows of 8 bits only
        values = top - values
    return Image.fromarray(np.rint(values * (255 / top)).astype(np.uint8))


def _told_range(tags: Mapping[int, Any]) -> list[float]:
    """The largest value that a TIFF tells by its tags, such as 4095 of 12 bits, as all that its bits can hold."""
    [bits, *_] = tags.get(BITS, (16,))
    [largest, *_] = tags.get(SIGNED_LARGEST) or tags.get(LARGEST) or (0,)
    if 0 < largest < 65536:
        bits = int(largest).bit_length()
    return [2.0**bits - 1] if 0 < bits < 16 else []


def _from_array(array: np.ndarray, name: str) -> Image.Image:
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim != 2 and not (array.ndim == 3 and array.shape[2] in (3, 4)):
        remedy = "give (height, width) or (height, width, 3 or 4), and several images as a list"
        raise ImageError(f"{name} is an array of shape {array.shape}; {remedy}")
    _check_size(array.shape[1], array.shape[0], name)
    if np.issubdtype(array.dtype, np.floating):
        if not np.isfinite(array).all():
            raise ImageError(f"{name} holds NaN or infinite values; replace them with numbers from 0 to 1")
        if array.min() < 0 or array.max() > 1:
            found = f"float values from {array.min():g} to {array.max():g}"
            raise ImageError(f"{name} holds {found}; scale them to 0..1, or give uint8 from 0 to 255")
        array = np.rint(array * 255).astype(np.uint8)
    elif array.dtype != np.uint8:
        raise ImageError(f"{name} is an array of {array.dtype}; give uint8 from 0 to 255, or float from 0 to 1")
    return to_rgb(Image.fromarray(array), name)
