"""Images that are not of lesions: drawn in code, or photographs."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from benchmarks.decoys import draw_balls, draw_blots, draw_fur, draw_scene, draw_soft_field
from benchmarks.photographs import GRAPHICS, PHOTOGRAPHS, SIZE, Drawing, photographs

__all__ = ["AMBIGUOUS", "FAR", "FarImage", "far_images"]

WORDS = ["the", "of", "skin", "report", "date", "patient", "total", "and", "invoice", "page", "name", "result", "from"]


@dataclass(frozen=True)
class FarImage:
    """An image that is not of a lesion.

    Attributes:
        kind: What it shows, such as `documents`.
        source: What it was cut from or drawn by; images of one source are not independent.
        image: RGB, `SIZE`.
    """

    kind: str
    source: str
    image: Image.Image


def far_images(kinds: dict[str, Drawing], *, count: int, seed: int = 0) -> Iterator[FarImage]:
    """Make `count` images of each kind.

    Args:
        kinds: `FAR` or `AMBIGUOUS`.
        count: Images of each kind.
        seed: Same seed, same images.
    """
    for kind, draw in kinds.items():
        generator = np.random.default_rng([seed, *kind.encode()])
        for number in range(count):
            source, image = draw(number, generator)
            yield FarImage(kind, f"{kind}/{source}", image)


def _drawn(draw: Callable[[np.random.Generator], Image.Image]) -> Drawing:
    """Every image that is drawn is its own source."""
    return lambda number, generator: (str(number), draw(generator))


def _picture(pixels: np.ndarray) -> Image.Image:
    """An image from an array (height, width[, 3]) in [0, 255] of any size."""
    rgb = np.broadcast_to(pixels[..., None], (*pixels.shape, 3)) if pixels.ndim == 2 else pixels
    return Image.fromarray(np.clip(rgb, 0, 255).astype(np.uint8)).resize(SIZE, Image.Resampling.BICUBIC)


def _colour(generator: np.random.Generator, low: int = 0, high: int = 256) -> tuple[int, ...]:
    return tuple(int(c) for c in generator.integers(low, high, 3))


def _skin_colour(generator: np.random.Generator) -> np.ndarray:
    """A skin tone between very light and dark."""
    light, dark = np.array([245, 205, 180]), np.array([90, 55, 40])
    return light + (dark - light) * generator.uniform(0, 1) + generator.normal(0, 6, 3)


def _grid() -> tuple[np.ndarray, np.ndarray]:
    """Positions (height, width) in pixels."""
    y, x = np.mgrid[: SIZE[1], : SIZE[0]]
    return x.astype(np.float64), y.astype(np.float64)


def _document(generator: np.random.Generator) -> Image.Image:
    """A page of black words on near-white paper, now and then with a table."""
    image = Image.new("RGB", SIZE, _colour(generator, 235, 256))
    draw, ink = ImageDraw.Draw(image), _colour(generator, 0, 70)
    size = int(generator.integers(10, 24))
    font = ImageFont.load_default(size)
    for y in range(20, SIZE[1] - 20, int(size * 1.5)):
        if generator.uniform() < 0.12:
            continue
        line = " ".join(generator.choice(WORDS, int(generator.integers(3, 12))))
        draw.text((25, y), line, fill=ink, font=font)
    if generator.uniform() < 0.4:
        left, top = generator.integers(50, 250, 2)
        for step in range(6):
            draw.line([left, top + 30 * step, left + 300, top + 30 * step], fill=ink)
            draw.line([left + 60 * step, top, left + 60 * step, top + 150], fill=ink)
    return image.rotate(float(generator.normal(0, 3)), fillcolor=(120, 110, 100), resample=Image.Resampling.BILINEAR)


def _screenshot(generator: np.random.Generator) -> Image.Image:
    """A window with a title bar, a side bar, buttons and lines of text."""
    dark = generator.uniform() < 0.4
    image = Image.new("RGB", SIZE, _colour(generator, 20, 50) if dark else _colour(generator, 230, 256))
    draw, accent = ImageDraw.Draw(image), _colour(generator)
    ink, font = (220, 220, 220) if dark else (40, 40, 40), ImageFont.load_default(13)
    side = int(generator.integers(80, 180))
    draw.rectangle([0, 0, SIZE[0], 36], fill=accent)
    draw.rectangle([0, 36, side, SIZE[1]], fill=_colour(generator, 30, 80) if dark else _colour(generator, 200, 235))
    for row in range(8):
        draw.text((12, 60 + 40 * row), str(generator.choice(WORDS)), fill=ink, font=font)
        draw.text((side + 20, 60 + 40 * row), " ".join(generator.choice(WORDS, 6)), fill=ink, font=font)
    for _ in range(int(generator.integers(1, 5))):
        left, top = int(generator.integers(side, 480)), int(generator.integers(50, 400))
        draw.rounded_rectangle([left, top, left + 90, top + 30], radius=6, fill=_colour(generator))
    return image


def _noise(generator: np.random.Generator) -> Image.Image:
    """Grey or coloured noise of a random grain, normally distributed."""
    grain, channels = int(generator.choice([1, 2, 4, 8, 16])), int(generator.choice([1, 3]))
    shape = (SIZE[1] // grain, SIZE[0] // grain)
    pixels = generator.normal(generator.uniform(70, 190), generator.uniform(25, 80), (*shape, channels))
    return _picture(np.broadcast_to(pixels, (*shape, 3)))


def _uniform_noise(generator: np.random.Generator) -> Image.Image:
    return _picture(generator.uniform(0, 256, (SIZE[1], SIZE[0], 3)))


def _skin_field(generator: np.random.Generator) -> Image.Image:
    """Plain skin with a little grain and uneven light, and nothing on it."""
    x, y = _grid()
    angle = generator.uniform(0, 2 * np.pi)
    light = 1 + generator.uniform(0, 0.15) * ((x * np.cos(angle) + y * np.sin(angle)) / SIZE[0])
    grain = generator.normal(0, generator.uniform(0, 5), (SIZE[1], SIZE[0], 1))
    return _picture(_skin_colour(generator) * light[..., None] + grain)


def _texture(generator: np.random.Generator) -> Image.Image:
    """Woven cloth, wood grain, tiles or marble in random colours."""
    x, y = _grid()
    period, kind = generator.uniform(8, 40), int(generator.integers(4))
    warp = Image.fromarray(generator.integers(0, 256, (12, 16), dtype=np.uint8)).resize(SIZE, Image.Resampling.BICUBIC)
    bend = np.asarray(warp, dtype=np.float64) / 255
    if kind == 0:
        value = (np.sin(2 * np.pi * x / period) * np.sin(2 * np.pi * y / period) + 1) / 2
    elif kind == 1:
        value = (np.sin(2 * np.pi * (y + 60 * bend) / period) + 1) / 2
    elif kind == 2:
        value = ((x % (3 * period) > 4) & (y % (2 * period) > 4)).astype(np.float64)
    else:
        value = np.abs(np.sin(2 * np.pi * (bend * 3 + x / SIZE[0])))
    low, high = np.array(_colour(generator)), np.array(_colour(generator))
    return _picture(low + (high - low) * value[..., None] + generator.normal(0, 6, (SIZE[1], SIZE[0], 1)))


def _plain(generator: np.random.Generator) -> Image.Image:
    return Image.new("RGB", SIZE, _colour(generator))


def _gradient(generator: np.random.Generator) -> Image.Image:
    start, end = np.array(_colour(generator)), np.array(_colour(generator))
    x, y = _grid()
    share = (x / SIZE[0] + generator.uniform(-1, 1) * y / SIZE[1]).clip(0, 1)
    return _picture(start + (end - start) * share[..., None])


def _shapes(generator: np.random.Generator) -> Image.Image:
    """Overlapping boxes and triangles in strong colours."""
    image = Image.new("RGB", SIZE, _colour(generator))
    draw = ImageDraw.Draw(image)
    for _ in range(int(generator.integers(3, 15))):
        points = [(int(generator.integers(SIZE[0])), int(generator.integers(SIZE[1]))) for _ in range(3)]
        draw.polygon(points, fill=_colour(generator))
    return image


def _stripes(generator: np.random.Generator) -> Image.Image:
    x, y = _grid()
    angle, period = generator.uniform(0, np.pi), generator.uniform(10, 80)
    on = np.sin(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / period) > 0
    return _picture(np.where(on[..., None], _colour(generator), _colour(generator)).astype(np.float64))


def _mole(generator: np.random.Generator) -> Image.Image:
    """A brown spot drawn on plain skin: as like a lesion as a drawing gets."""
    image, skin = _skin_field(generator), _skin_colour(generator)
    centre = np.array(SIZE) / 2 + generator.normal(0, 30, 2)
    angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    radii = generator.uniform(50, 140) * (
        1 + 0.1 * np.sin(angles * generator.integers(2, 6)) + generator.normal(0, 0.02, 40)
    )
    outline = centre + radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    mask = Image.new("L", SIZE)
    ImageDraw.Draw(mask).polygon([tuple(point) for point in outline.tolist()], fill=255)
    blot = _picture(skin * generator.uniform(0.3, 0.6) + generator.normal(0, 8, (SIZE[1] // 8, SIZE[0] // 8, 1)))
    image.paste(blot, mask=mask.filter(ImageFilter.GaussianBlur(float(generator.uniform(3, 12)))))
    return image


FAR: dict[str, Drawing] = {
    "photographs": photographs(PHOTOGRAPHS),
    "graphics": photographs(GRAPHICS),
    "documents": _drawn(_document),
    "screenshots": _drawn(_screenshot),
    "noise": _drawn(_noise),
    "uniform noise": _drawn(_uniform_noise),
    "plain colours": _drawn(_plain),
    "gradients": _drawn(_gradient),
    "shapes": _drawn(_shapes),
    "stripes": _drawn(_stripes),
    "textures": _drawn(_texture),
    "drawn skin": _drawn(_skin_field),
    "fur": _drawn(draw_fur),
    "blots": _drawn(draw_blots),
    "balls": _drawn(draw_balls),
    "scenes": _drawn(draw_scene),
    "soft fields": _drawn(draw_soft_field),
}
"""Images that OOD detection must refuse."""

AMBIGUOUS: dict[str, Drawing] = {"drawn moles": _drawn(_mole)}
"""Images for which no answer is clearly right; what happens to them is measured."""
