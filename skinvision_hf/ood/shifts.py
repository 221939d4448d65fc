"""What may happen to a real photograph of a lesion, at five severities."""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

__all__ = ["SEVERITIES", "SHIFTS", "shift_image"]

SEVERITIES = (1, 2, 3, 4, 5)

Shift = Callable[[Image.Image, int, np.random.Generator], Image.Image]


def shift_image(image: Image.Image, shift: str, severity: int, *, seed: int = 0) -> Image.Image:
    """Change an image as a camera, a hand or a body may.

    Args:
        image: RGB.
        shift: A key of `SHIFTS`.
        severity: From 1, hardly visible, to 5, severe.
        seed: Same seed, same change; a larger severity changes more of the same.
    """
    return SHIFTS[shift](image, severity - 1, np.random.default_rng(seed))


def _blur(image: Image.Image, level: int, _: np.random.Generator) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur((1, 2, 4, 6, 9)[level] * min(image.size) / 450))


def _jpeg(image: Image.Image, level: int, _: np.random.Generator) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=(50, 30, 15, 8, 4)[level])
    return Image.open(buffer).convert("RGB")


def _brightness(image: Image.Image, level: int, generator: np.random.Generator) -> Image.Image:
    factor = (1.15, 1.3, 1.5, 1.75, 2.1)[level]
    return ImageEnhance.Brightness(image).enhance(factor if generator.uniform() < 0.5 else 1 / factor)


def _colour_cast(image: Image.Image, level: int, generator: np.random.Generator) -> Image.Image:
    """A warm or cold lamp: red and blue go opposite ways."""
    strength = (0.05, 0.1, 0.2, 0.3, 0.4)[level] * (1 if generator.uniform() < 0.5 else -1)
    factors = np.array([1 + strength, 1, 1 - strength])
    return Image.fromarray((np.asarray(image) * factors).clip(0, 255).astype(np.uint8))


def _rotation(image: Image.Image, level: int, generator: np.random.Generator) -> Image.Image:
    """Turn by a free angle; the corners are filled with mirrored skin."""
    angle = (5, 10, 20, 30, 45)[level] * (1 if generator.uniform() < 0.5 else -1)
    margin = max(image.size) // 2
    padded = Image.fromarray(np.pad(np.asarray(image), ((margin, margin), (margin, margin), (0, 0)), mode="symmetric"))
    turned = padded.rotate(angle, resample=Image.Resampling.BILINEAR)
    return turned.crop((margin, margin, margin + image.width, margin + image.height))


def _occlusion(image: Image.Image, level: int, generator: np.random.Generator) -> Image.Image:
    """A grey card over part of the picture."""
    side = (0.05, 0.1, 0.2, 0.3, 0.4)[level] ** 0.5
    width, height = int(image.width * side), int(image.height * side)
    left, top = (generator.uniform(size=2) * (image.width - width, image.height - height)).astype(int).tolist()
    covered = image.copy()
    covered.paste((128, 128, 128), (left, top, left + width, top + height))
    return covered


def _hair(image: Image.Image, level: int, generator: np.random.Generator) -> Image.Image:
    """Dark, slightly bent hairs across the picture."""
    covered = image.copy()
    draw, longest = ImageDraw.Draw(covered), max(image.size)
    for _ in range((5, 15, 30, 60, 100)[level]):
        start = generator.uniform(0, 1, 2) * image.size
        angle, bend = generator.uniform(0, 2 * np.pi), generator.normal(0, 0.8)
        steps = np.linspace(0, 1, 24)[:, None]
        turns = angle + bend * steps
        points = start + longest * generator.uniform(0.3, 0.8) * steps * np.hstack([np.cos(turns), np.sin(turns)])
        colour = tuple(int(c) for c in generator.integers(15, 70) * np.array([1.0, 0.8, 0.7]))
        draw.line([tuple(p) for p in points.tolist()], fill=colour, width=max(1, round(longest / 300)), joint="curve")
    return covered


def _ruler(image: Image.Image, level: int, _: np.random.Generator) -> Image.Image:
    """A ruler along the lower edge that reaches further and further into the picture."""
    covered = image.copy()
    draw = ImageDraw.Draw(covered)
    top = round(image.height * (1 - (0.05, 0.1, 0.16, 0.24, 0.34)[level]))
    draw.rectangle([0, top, image.width, image.height], fill=(245, 245, 240))
    tick, line = image.width / 60, max(1, image.width // 400)
    for number in range(61):
        length = (image.height - top) * (0.6 if number % 10 == 0 else 0.45 if number % 5 == 0 else 0.3)
        draw.line([number * tick, top, number * tick, top + length], fill=(20, 20, 20), width=line)
    return covered


SHIFTS: dict[str, Shift] = {
    "blur": _blur,
    "jpeg": _jpeg,
    "brightness": _brightness,
    "colour cast": _colour_cast,
    "rotation": _rotation,
    "occlusion": _occlusion,
    "hair": _hair,
    "ruler marks": _ruler,
}
