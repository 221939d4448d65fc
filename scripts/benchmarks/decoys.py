"""Images drawn in code that share something with lesions: hair, dark blots, warm or soft colours."""

import numpy as np
from PIL import Image

from benchmarks.photographs import SIZE

__all__ = ["draw_balls", "draw_blots", "draw_fur", "draw_scene", "draw_soft_field"]

HALF = (SIZE[1] // 2, SIZE[0] // 2)
"""Height and width at which they are computed."""


def draw_fur(generator: np.random.Generator) -> Image.Image:
    """Fur: streaks along one direction that bend and darken, sometimes with two round eyes."""
    side = 2 * max(HALF)
    strands = generator.normal(0, 1, (side // int(generator.integers(6, 20)), side))
    streaks = Image.fromarray(strands.astype(np.float32)).resize((side, side), Image.Resampling.BICUBIC)
    turned = np.asarray(streaks.rotate(float(generator.uniform(0, 180)), resample=Image.Resampling.BILINEAR))
    y, x = np.indices(HALF) + side // 4
    bend = _field(generator, steepness=2.0) * generator.uniform(2, 10)
    hair = turned[np.clip(y + bend, 0, side - 1).astype(int), np.clip(x + bend, 0, side - 1).astype(int)]
    value = 0.5 + 0.25 * _field(generator, steepness=1.6) + 0.15 * hair
    pixels = _blend(generator, value)
    if generator.uniform() < 0.5:
        middle, apart, radius = (
            generator.uniform(0.3, 0.7, 2) * HALF,
            generator.uniform(35, 70),
            generator.uniform(8, 22),
        )
        for eye in (-1, 1):
            disc = _disc(middle[0], middle[1] + eye * apart, radius, softness=0.1)[..., None]
            pixels = pixels * (1 - disc) + generator.uniform(0, 60) * disc
    return _finish(pixels)


def draw_blots(generator: np.random.Generator) -> Image.Image:
    """Dark blots on a gradient or on a soft or grainy ground, in any colours."""
    y, x = np.indices(HALF) / np.array(HALF)[:, None, None]
    slope = generator.uniform(-1, 1, 2)
    ground = 0.5 + 0.3 * (slope[0] * (y - 0.5) + slope[1] * (x - 0.5))
    ground = ground + generator.uniform(0, 0.15) * _field(generator, steepness=generator.uniform(0, 2.5))
    pixels = _blend(generator, ground)
    for _ in range(int(generator.integers(1, 5))):
        centre = generator.uniform(0.15, 0.85, 2) * HALF
        blot = _disc(
            centre[0], centre[1], generator.uniform(12, 70), softness=generator.uniform(0.05, 0.6), generator=generator
        )
        pixels = pixels * (1 - blot[..., None] * generator.uniform(0.4, 0.95))
    return _finish(pixels)


def draw_balls(generator: np.random.Generator) -> Image.Image:
    """Shaded balls with a highlight on a coloured ground: fruit, eyes, cups."""
    pixels = _blend(generator, 0.5 + 0.2 * _field(generator, steepness=2.0))
    for _ in range(int(generator.integers(1, 6))):
        row, column = generator.uniform(0.1, 0.9, 2) * HALF
        radius = float(generator.uniform(15, 90))
        light = _disc(row - 0.35 * radius, column - 0.35 * radius, radius, softness=0.9)
        ball = _disc(row, column, radius, softness=0.03)[..., None]
        shaded = generator.uniform(20, 235, 3) * (0.35 + 0.65 * light[..., None]) + 120 * light[..., None] ** 8
        pixels = pixels * (1 - ball) + shaded * ball
    return _finish(pixels)


def draw_scene(generator: np.random.Generator) -> Image.Image:
    """A bright upper part above rough ground and boxes, as in a view of a street or a landscape."""
    y, x = np.indices(HALF)
    horizon = HALF[0] * generator.uniform(0.3, 0.7) + 20 * np.sin(x / generator.uniform(20, 80))
    sky = _blend(generator, 0.6 + 0.2 * _field(generator, steepness=2.2))
    ground = _blend(generator, 0.5 + 0.3 * _field(generator, steepness=1.0))
    pixels = np.where((y < horizon)[..., None], 0.5 * sky + 110, ground)
    for _ in range(int(generator.integers(0, 9))):
        top, left = generator.uniform(0.1, 0.8, 2) * HALF
        height, width = generator.uniform(10, 90, 2)
        inside = (y > top) & (y < top + height) & (x > left) & (x < left + width)
        pixels[inside] = generator.uniform(0, 255, 3) * (0.8 + 0.2 * ((x + y)[inside] % 8 < 4)[:, None])
    return _finish(pixels)


def draw_soft_field(generator: np.random.Generator) -> Image.Image:
    """Coloured noise with the spectrum of natural photographs."""
    steepness = generator.uniform(0.8, 2.2)
    base, strength = generator.uniform(40, 215, 3), generator.uniform(15, 60)
    shared = _field(generator, steepness=steepness)
    own = np.stack([_field(generator, steepness=steepness) for _ in range(3)], axis=-1)
    return _finish(base + strength * (shared[..., None] + generator.uniform(0, 0.6) * own))


def _field(generator: np.random.Generator, *, steepness: float) -> np.ndarray:
    """Noise of unit variance whose amplitude falls with this power of the frequency."""
    rows, columns = np.fft.fftfreq(HALF[0])[:, None], np.fft.rfftfreq(HALF[1])
    frequency = np.hypot(rows, columns)
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(generator.normal(size=HALF)) / frequency**steepness
    field = np.fft.irfft2(spectrum, s=HALF)
    return field / field.std()


def _blend(generator: np.random.Generator, value: np.ndarray) -> np.ndarray:
    """Colour values around 0.5 between two random colours, of which half are the browns and pinks of skin."""
    colours = generator.uniform(10, 245, (2, 3))
    if generator.uniform() < 0.5:
        colours = np.sort(colours, axis=0) * np.array([1.0, 0.8, 0.65])
    return colours[0] + (colours[1] - colours[0]) * value[..., None]


def _disc(
    row: float, column: float, radius: float, *, softness: float, generator: np.random.Generator | None = None
) -> np.ndarray:
    """Coverage in [0, 1] of a disc, with a wavy outline if there is a generator."""
    y, x = np.indices(HALF)
    edge = np.full(HALF, radius)
    if generator is not None:
        waves, phase = int(generator.integers(2, 7)), generator.uniform(0, 2 * np.pi)
        edge = radius * (1 + generator.uniform(0, 0.25) * np.sin(waves * np.arctan2(y - row, x - column) + phase))
    return np.clip((edge - np.hypot(y - row, x - column)) / (softness * radius) + 0.5, 0, 1)


def _finish(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).resize(SIZE, Image.Resampling.BICUBIC)
