"""Drawn lesions by number, so that no test needs an image file of the data set, and a check of drawn figures."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from skinvision_hf.data.synthetic import draw_image
from skinvision_hf.labels import CODES


def draw_lesion(seed: int = 0, size: tuple[int, int] = (200, 150)) -> Image.Image:
    """A lesion on skin: same seed, same pixels. `size` is (width, height)."""
    image, _ = draw_image(CODES[seed % len(CODES)], seed)
    return image if image.size == size else image.resize(size, Image.Resampling.BICUBIC)


def assert_not_blank(paths: Iterable[Path]) -> None:
    """Figures are of some size, and have dark and light parts."""
    for path in paths:
        with Image.open(path) as image:
            assert min(image.size) > 300, path
            grey = np.asarray(image.convert("L"))
            assert grey.min() < 128 and grey.std() > 5, f"{path.name} is blank"
