"""Photographs that installed Python packages ship."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

__all__ = ["REPORT_PHOTOGRAPHS", "SELECTION_PHOTOGRAPHS", "SIZE", "Drawing", "photographs"]

SIZE = (600, 450)
"""Width and height of every picture, those of HAM10000."""

Drawing = Callable[[int, np.random.Generator], tuple[str, Image.Image] | None]
"""From a number and a generator to a source and its picture; None when there is nothing to show."""

# Folders below an installed package. Choosing the guard and reporting on it use different ones.
SELECTION_PHOTOGRAPHS = ("sklearn/datasets/images",)
REPORT_PHOTOGRAPHS = ("matplotlib/mpl-data/sample_data", "skimage/data", "gradio/media_assets/images")
SUFFIXES = {".jpg", ".jpeg", ".png"}
SMALLEST_SIDE = 128


def photographs(folders: tuple[str, ...]) -> Drawing:
    """Make the drawing that shows the installed photographs in turn: whole at first, and parts of them later."""

    def draw(number: int, generator: np.random.Generator) -> tuple[str, Image.Image] | None:
        paths = _photograph_paths(folders)
        if not paths:
            return None
        path = paths[number % len(paths)]
        with Image.open(path) as image:
            rgb = image.convert("RGBA") if image.mode in ("P", "RGBA", "LA") else image.convert("RGB")
        if rgb.mode == "RGBA":
            rgb = Image.alpha_composite(Image.new("RGBA", rgb.size, "white"), rgb).convert("RGB")
        share = 1.0 if number < len(paths) else generator.uniform(0.4, 0.9)
        width, height = (max(1, int(side * share)) for side in rgb.size)
        left, top = (int(generator.integers(0, s - c + 1)) for s, c in zip(rgb.size, (width, height), strict=True))
        return path.name, rgb.resize(SIZE, Image.Resampling.BICUBIC, (left, top, left + width, top + height))

    return draw


def _photograph_paths(folders: tuple[str, ...]) -> list[Path]:
    """The photographs that are installed; finding a package does not import it."""
    found = []
    for folder in folders:
        package, _, inside = folder.partition("/")
        spec = find_spec(package)
        for root in spec.submodule_search_locations or [] if spec else []:
            found += [p for p in sorted(Path(root, inside).iterdir()) if p.suffix.lower() in SUFFIXES]
    return [path for path in found if _is_large(path)]


def _is_large(path: Path) -> bool:
    with Image.open(path) as image:
        return min(image.size) >= SMALLEST_SIDE
