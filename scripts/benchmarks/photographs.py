"""Photographs and graphics that installed Python packages ship: a fixed list, so that numbers can be compared."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

from skinvision_hf.errors import DataError

__all__ = ["GRAPHICS", "PHOTOGRAPHS", "SIZE", "Drawing", "photographs"]

SIZE = (600, 450)
"""Width and height of every image, those of HAM10000."""

Drawing = Callable[[int, np.random.Generator], tuple[str, Image.Image]]
"""From a number and a generator to a source and its image."""

SCIKIT_IMAGE, MATPLOTLIB, SCIKIT_LEARN = "skimage/data", "matplotlib/mpl-data/sample_data", "sklearn/datasets/images"
PHOTOGRAPHS = (
    *(f"{SCIKIT_IMAGE}/{name}.png" for name in ("astronaut", "brick", "camera", "cell", "chelsea", "coffee", "coins")),
    *(f"{SCIKIT_IMAGE}/{name}.png" for name in ("grass", "gravel", "ihc", "moon", "motorcycle_left")),
    *(f"{SCIKIT_IMAGE}/{name}.jpg" for name in ("hubble_deep_field", "retina", "rocket")),
    f"{MATPLOTLIB}/grace_hopper.jpg",
    *(f"{SCIKIT_LEARN}/{name}.jpg" for name in ("china", "flower")),
)
GRAPHICS = (
    *(f"{SCIKIT_IMAGE}/{name}.png" for name in ("chessboard_RGB", "color", "horse", "logo", "page", "phantom", "text")),
    f"{MATPLOTLIB}/logo2.png",
    f"{MATPLOTLIB}/Minduka_Present_Blue_Pack.png",
)
"""Logos, pages of text, test patterns and drawings."""

SMALLEST_SHARE = 0.4
"""Smallest share of its width and height that a part of a photograph has."""


def photographs(names: tuple[str, ...]) -> Drawing:
    """Make the drawing that shows photographs in turn: whole at first, and parts of them later.

    Args:
        names: Files below installed packages.
    """

    def draw(number: int, generator: np.random.Generator) -> tuple[str, Image.Image]:
        name = names[number % len(names)]
        with Image.open(_find(name)) as image:
            rgba = image.convert("RGBA")
        rgb = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
        share = 1.0 if number < len(names) else generator.uniform(SMALLEST_SHARE, 0.9)
        width, height = (max(1, int(side * share)) for side in rgb.size)
        left, top = (int(generator.integers(0, s - c + 1)) for s, c in zip(rgb.size, (width, height), strict=True))
        return name, rgb.resize(SIZE, Image.Resampling.BICUBIC, (left, top, left + width, top + height))

    return draw


def _find(name: str) -> Path:
    """Finding a package does not import it."""
    package, _, inside = name.partition("/")
    spec = find_spec(package)
    for root in (spec.submodule_search_locations or []) if spec else []:
        if (path := Path(root, inside)).is_file():
            return path
    raise DataError(f"the photograph {name} is missing; pip install scikit-image matplotlib scikit-learn")
