"""Drawn lesions by number, so that no test needs an image file of the data set."""

from PIL import Image

from skinvision_hf.data.synthetic import draw_image
from skinvision_hf.labels import CODES


def draw_lesion(seed: int = 0, size: tuple[int, int] = (200, 150)) -> Image.Image:
    """A lesion on skin: same seed, same pixels. `size` is (width, height)."""
    image, _ = draw_image(CODES[seed % len(CODES)], seed)
    return image if image.size == size else image.resize(size, Image.Resampling.BICUBIC)
