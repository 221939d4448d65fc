"""Lesion-like images with masks, drawn in code: for smoke runs and tests without any download."""

import re
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from skinvision_hf.config import SYNTHETIC_SOURCE
from skinvision_hf.data.images import encode
from skinvision_hf.errors import DataError
from skinvision_hf.labels import CODES

if TYPE_CHECKING:
    from datasets import Dataset

DEFAULT_IMAGES = 400
SMALLEST = 210  # with which every diagnosis has a share of every split
PREFIX = "SYN_"
SIZE = (200, 150)
SITES = ("back", "lower extremity", "trunk", "face")
# Of each diagnosis: its share (like HAM10000, most are moles, but no class is too small to split), the colour of its
# lesions, the raggedness of their outline, and the number of spots inside.
LOOKS = {
    "akiec": (0.12, (205, 120, 105), 0.25, 12),
    "bcc": (0.12, (190, 140, 150), 0.10, 3),
    "bkl": (0.14, (150, 115, 70), 0.12, 20),
    "df": (0.11, (170, 110, 90), 0.03, 1),
    "mel": (0.14, (60, 40, 45), 0.35, 8),
    "nv": (0.26, (120, 75, 50), 0.05, 0),
    "vasc": (0.11, (150, 20, 40), 0.08, 0),
}


def is_synthetic(source: str) -> bool:
    """Whether a source is `synthetic` or `synthetic[:N]`."""
    return re.fullmatch(SYNTHETIC_SOURCE, source) is not None


def read_synthetic(source: str, *, masks: bool, **_: Any) -> "Dataset":
    """Draw the data set that a source names; see `draw_dataset`."""
    count = re.sub(SYNTHETIC_SOURCE, r"\1", source)
    return draw_dataset(int(count) if count else DEFAULT_IMAGES, masks=masks)


@cache
def draw_dataset(count: int = DEFAULT_IMAGES, *, masks: bool = False) -> "Dataset":
    """Draw a small data set: two photographs of every third lesion, all seven diagnoses, always the same pixels."""
    from skinvision_hf.data.schema import make_dataset

    if count < SMALLEST:
        raise DataError(f"synthetic[:{count}] is too small for three splits; ask for at least synthetic[:{SMALLEST}]")
    generator = np.random.default_rng(0)
    counts = [int(count * share) for share, *_ in LOOKS.values()]
    counts[CODES.index("nv")] += count - sum(counts)
    codes = np.repeat(CODES, counts)
    records, images, drawn_masks = [], [], []
    lesion, views, last = 0, 0, ""
    for number, code in enumerate(codes):
        if code != last or views == (2 if lesion % 3 == 0 else 1):
            lesion, views, last = lesion + 1, 0, code
        views += 1
        image, mask = draw_image(str(code), lesion, view=views)
        images.append(encode(image, "JPEG"))
        drawn_masks.append(encode(mask, "PNG"))
        records.append(
            {
                "image_id": f"{PREFIX}{number:07d}",
                "lesion_id": f"{PREFIX}L{lesion:06d}",
                "dx": code,
                "dx_type": "drawn",
                "age": int(generator.integers(5, 18)) * 5,
                "sex": ("female", "male")[int(generator.integers(2))],
                "localization": SITES[int(generator.integers(len(SITES)))],
            }
        )
    return make_dataset(records, images, drawn_masks if masks else None)


def is_drawn(image_ids: Sequence[str]) -> bool:
    """Whether images were drawn by this module, also when they were saved and loaded since."""
    return all(name.startswith(PREFIX) for name in image_ids)


def draw_image(code: str, lesion: int, *, view: int = 1) -> tuple[Image.Image, Image.Image]:
    """Draw one photograph, in RGB, and the mask, of 0 and 255, of a lesion of a diagnosis, both 200 x 150 pixels.

    The number of the lesion seeds its shape and colours, that of the view its position and noise.
    """
    shape, photo = np.random.default_rng([CODES.index(code), lesion]), np.random.default_rng([lesion, view, 1])
    (_, hue, ragged, spots), (width, height) = LOOKS[code], SIZE
    skin = shape.integers((205, 150, 125), (240, 190, 165))
    colour = np.clip(np.array(hue) + shape.normal(0, 10, 3), 0, 255)
    radius = height * shape.uniform(0.18, 0.36)
    centre = np.array([width, height]) / 2 + photo.uniform(-0.12, 0.12, 2) * height
    angles = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    radii = radius * (1 + ragged * shape.uniform(-1, 1, 32)) * (1 + 0.15 * np.sin(2 * angles + shape.uniform(0, 6)))
    outline = [tuple(p) for p in (centre + radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], 1)).tolist()]

    image, mask = Image.new("RGB", SIZE, _rgb(skin)), Image.new("L", SIZE, 0)
    ImageDraw.Draw(mask).polygon(outline, fill=255)
    pen = ImageDraw.Draw(image)
    pen.polygon(outline, fill=_rgb(colour))
    for _ in range(spots):
        angle, distance = shape.uniform(0, 2 * np.pi), radius * 0.7 * np.sqrt(shape.uniform())
        x, y = centre + distance * np.array([np.cos(angle), np.sin(angle)])
        size = radius * shape.uniform(0.05, 0.2)
        pen.ellipse((x - size, y - size, x + size, y + size), fill=_rgb(colour * shape.uniform(0.5, 1.3)))
    pixels = np.asarray(image.filter(ImageFilter.GaussianBlur(1.5)), dtype=np.float64)
    noisy = pixels * photo.uniform(0.9, 1.1) + photo.normal(0, 5, pixels.shape)
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8)), mask


def _rgb(colour: np.ndarray) -> tuple[int, int, int]:
    red, green, blue = np.clip(colour, 0, 255).astype(int).tolist()
    return red, green, blue
