"""How images are made: scaling, sharpening, blur and compression by cameras and software, and things in the picture."""

import io
import math
import random
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

Box = tuple[int, int, int, int]
Size = tuple[int, int]
Filter = Image.Resampling

# How cameras and software scale.
FILTERS = (Filter.BILINEAR, Filter.BICUBIC, Filter.LANCZOS, Filter.BOX)
# In pixels: no crop is scaled to less.
SMALLEST = 32
PEN_COLOURS = ((70, 40, 130), (40, 50, 150), (30, 110, 90), (60, 20, 90), (20, 20, 30))


class Acquisition:
    """Cut a region out of an image as if another camera, program or dermatoscope had made it.

    Randomness comes from the module `random`.

    Args:
        degrade: How often the region is scaled down (to 0.3 to 1 of its size), and how often it is compressed (JPEG, or
            one time in four WebP, of quality 30 to 95), in [0, 1]. Sharpening and blur are each 0.3 times as frequent.
        artifact: How often one or two of `ARTIFACTS` are drawn over it, in [0, 1].
        resample: How the region is brought to its final size.
    """

    def __init__(self, degrade: float, artifact: float, resample: Filter) -> None:
        self._degrade, self._artifact, self._resample = degrade, artifact, resample

    def __call__(self, image: Image.Image, box: Box, size: Size) -> Image.Image:
        """Return the region `box` (left, top, right, bottom, in pixels) of an RGB image at `size` (width, height)."""
        drawn, scaled, compressed = _chance(self._artifact), _chance(self._degrade), _chance(self._degrade)
        if drawn or scaled or compressed:
            # At about the resolution of the original, so that lines and blocks have the sizes that they have there.
            image = image.resize(_intermediate_size(box, scaled), random.choice(FILTERS), box=box)
        else:
            image = image.resize(size, self._resample, box=box)
        if drawn:
            for _ in range(1 + _chance(0.4)):
                image = random.choice(ARTIFACTS)(image)
        if _chance(0.3 * self._degrade):
            sharpness = round(random.uniform(50, 200))
            image = image.filter(ImageFilter.UnsharpMask(random.uniform(0.5, 2.0), sharpness, threshold=0))
        if _chance(0.3 * self._degrade):
            image = image.filter(ImageFilter.GaussianBlur(random.uniform(0.3, 1.2)))
        if compressed:
            image = _compress(image)
        return image if image.size == size else image.resize(size, self._resample)


def _chance(probability: float) -> bool:
    return random.random() < probability


def _intermediate_size(box: Box, scaled: bool) -> Size:
    left, top, right, bottom = box
    factor = math.exp(random.uniform(math.log(0.3), 0.0)) if scaled else random.uniform(0.5, 1.0)
    return max(SMALLEST, round((right - left) * factor)), max(SMALLEST, round((bottom - top) * factor))


def _compress(image: Image.Image) -> Image.Image:
    buffer, quality = io.BytesIO(), random.randint(30, 95)
    if _chance(0.25):
        image.save(buffer, "WEBP", quality=quality, method=0)
    else:
        image.save(buffer, "JPEG", quality=quality, subsampling=random.randrange(3))
    return Image.open(buffer).convert("RGB")


def _vignette(image: Image.Image) -> Image.Image:
    """The round field of view of a dermatoscope, with a dark surround."""
    width, height = image.size
    half = min(width, height) / 2
    y, x = np.ogrid[:height, :width]
    distance = np.hypot(x - width * random.uniform(0.4, 0.6), y - height * random.uniform(0.4, 0.6))
    radius, softness = half * random.uniform(0.85, 1.3), half * random.uniform(0.01, 0.3)
    dark = np.clip((distance - radius) / softness, 0, 1)[..., None]
    pixels = np.asarray(image) * (1 - dark) + random.uniform(0, 30) * dark
    return Image.fromarray(pixels.astype(np.uint8))


def _hairs(image: Image.Image) -> Image.Image:
    shade = random.uniform(10, 90)
    colour = (round(shade), round(0.8 * shade), round(0.7 * shade))
    for _ in range(random.randint(1, 15)):
        _stroke(image, 0.25, colour, opacity=random.uniform(0.5, 1.0), width=random.randint(1, 3))
    return image


def _pen(image: Image.Image) -> Image.Image:
    colour = random.choice(PEN_COLOURS)
    for _ in range(random.randint(1, 3)):
        _stroke(image, 0.5, colour, opacity=random.uniform(0.3, 0.9), width=random.randint(3, 14))
    return image


def _ruler(image: Image.Image) -> Image.Image:
    """A scale along a line anywhere in the outer half of the image, every fifth mark of it longer."""
    draw, (width, height) = ImageDraw.Draw(image, "RGBA"), image.size
    angle, gap, length = random.uniform(0, 2 * math.pi), random.uniform(6, 22), random.uniform(6, 24)
    along, across = np.array([math.cos(angle), math.sin(angle)]), np.array([-math.sin(angle), math.cos(angle)])
    centre = np.array([width, height]) / 2 + across * random.uniform(0.25, 0.5) * min(width, height)
    colour = (*(random.randint(0, 60) for _ in range(3)), random.randint(120, 255))
    thickness, reach = random.randint(1, 2), math.hypot(width, height) / 2
    for number, offset in enumerate(np.arange(-reach, reach, gap)):
        foot = centre + along * offset
        tip = foot + across * length * (0.6 if number % 5 else 1.0)
        draw.line([*foot, *tip], colour, thickness)
    if _chance(0.5):
        draw.line([*(centre - along * reach), *(centre + along * reach)], colour, thickness)
    return image


def _bubbles(image: Image.Image) -> Image.Image:
    """Air in the contact gel."""
    draw = ImageDraw.Draw(image, "RGBA")
    for _ in range(random.randint(1, 19)):
        x, y, radius = random.uniform(0, image.width), random.uniform(0, image.height), random.uniform(2, 18)
        rgb = (random.randint(170, 255),) * 3
        fill, outline = (*rgb, random.randint(0, 60)), (*rgb, random.randint(60, 200))
        draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill, outline, width=1)
    return image


def _stroke(image: Image.Image, bend: float, colour: tuple[int, int, int], *, opacity: float, width: int) -> None:
    """Draw a curve between two points somewhere in the image, or just outside of it."""
    size = np.array(image.size)
    start, end = (np.array([random.uniform(-0.1, 1.1) for _ in range(2)]) * size for _ in range(2))
    middle = (start + end) / 2 + np.array([random.uniform(-bend, bend) for _ in range(2)]) * size
    t = np.linspace(0, 1, 14)[:, None]
    curve = (1 - t) ** 2 * start + 2 * t * (1 - t) * middle + t**2 * end  # a quadratic Bézier curve
    mask = Image.new("L", image.size)
    ImageDraw.Draw(mask).line([(x, y) for x, y in curve], round(255 * opacity), width, joint="curve")
    image.paste(colour, mask=mask)


ARTIFACTS: tuple[Callable[[Image.Image], Image.Image], ...] = (_vignette, _hairs, _ruler, _bubbles, _pen)
"""What dermatoscopic images show beside the lesion; each may draw into the image that it gets."""
