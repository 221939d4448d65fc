"""Lesion-like pictures drawn in code, so that no test needs an image file of the data set."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter


def draw_lesion(seed: int = 0, size: tuple[int, int] = (200, 150)) -> Image.Image:
    """A brown blot on skin: same seed, same pixels. `size` is (width, height)."""
    generator = np.random.default_rng(seed)
    width, height = size
    skin = generator.integers((205, 150, 125), (240, 190, 165))
    blot = generator.integers((60, 30, 20), (150, 90, 75))
    image = Image.new("RGB", size, tuple(int(c) for c in skin))
    radius = min(size) * generator.uniform(0.2, 0.4)
    centre = np.array([width, height]) / 2 + generator.uniform(-0.1, 0.1, 2) * min(size)
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    radii = radius * generator.uniform(0.75, 1.15, 24)
    outline = centre + radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    ImageDraw.Draw(image).polygon([tuple(p) for p in outline.tolist()], fill=tuple(int(c) for c in blot))
    pixels = np.asarray(image.filter(ImageFilter.GaussianBlur(min(size) / 60)), dtype=np.float64)
    noisy = pixels + generator.normal(0, 4, pixels.shape)
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))
