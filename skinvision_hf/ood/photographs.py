"""Photographs that installed Python packages ship."""

from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from skinvision_hf.errors import DataError

__all__ = ["REPORT_PHOTOGRAPHS", "SELECTION_PHOTOGRAPHS", "SIZE", "Drawing", "photographs", "photographs_used"]

SIZE = (600, 450)
"""Width and height of every picture, those of HAM10000."""

Drawing = Callable[[int, np.random.Generator], tuple[str, Image.Image] | None]
"""From a number and a generator to a source and its picture; None when there is nothing to show."""

# Folders below an installed package. Choosing the guard and reporting on it use different ones.
SELECTION_PHOTOGRAPHS = ("sklearn/datasets/images",)
REPORT_PHOTOGRAPHS = ("matplotlib/mpl-data/sample_data", "skimage/data", "gradio/media_assets/images")
GRAPHICS = {
    *("logo.png", "logo2.png", "hf-logo_transpng.png", "avatar.png", "page.png", "text.png", "phantom.png"),
    *("chessboard_GRAY.png", "chessboard_RGB.png", "color.png", "horse.png", "Minduka_Present_Blue_Pack.png"),
}
"""Pictures among them that are logos, pages of text, test patterns and drawings, and no photographs."""

SUFFIXES = {".jpg", ".jpeg", ".png"}
SMALLEST_SIDE = 128
DISTRIBUTIONS = {"skimage": "scikit-image"}


def photographs(folders: tuple[str, ...], *, smallest: float = 0.4, graphics: bool = False) -> Drawing:
    """Make the drawing that shows the installed photographs in turn: whole at first, and parts of them later.

    Args:
        folders: Where they are.
        smallest: Smallest share of its width and height that a part has.
        graphics: Whether to show what is no photograph, such as logos, instead.
    """

    def draw(number: int, generator: np.random.Generator) -> tuple[str, Image.Image] | None:
        paths = _picture_paths(folders, graphics=graphics)
        if not paths:
            return None
        path = paths[number % len(paths)]
        with Image.open(path) as image:
            rgb = image.convert("RGBA") if image.mode in ("P", "RGBA", "LA") else image.convert("RGB")
        if rgb.mode == "RGBA":
            rgb = Image.alpha_composite(Image.new("RGBA", rgb.size, "white"), rgb).convert("RGB")
        share = 1.0 if number < len(paths) else generator.uniform(smallest, 0.9)
        width, height = (max(1, int(side * share)) for side in rgb.size)
        left, top = (int(generator.integers(0, s - c + 1)) for s, c in zip(rgb.size, (width, height), strict=True))
        return path.name, rgb.resize(SIZE, Image.Resampling.BICUBIC, (left, top, left + width, top + height))

    return draw


def photographs_used() -> dict[str, Any]:
    """Tell the photographs and graphics that the report uses, and the versions of the packages that ship them.

    Raises:
        DataError: If no photographs are installed.
    """
    photographs = _picture_paths(REPORT_PHOTOGRAPHS, graphics=False)
    if not photographs:
        raise DataError(
            "there are no photographs to test the guard on; pip install scikit-image matplotlib, and run again"
        )
    packages = {folder.partition("/")[0]: folder for folder in REPORT_PHOTOGRAPHS}
    return {
        "files": len(photographs),
        "photographs": [path.name for path in photographs],
        "graphics": [path.name for path in _picture_paths(REPORT_PHOTOGRAPHS, graphics=True)],
        "packages": {name: version(DISTRIBUTIONS.get(name, name)) for name in packages if find_spec(name)},
    }


def _picture_paths(folders: tuple[str, ...], *, graphics: bool) -> list[Path]:
    """The pictures that are installed; finding a package does not import it."""
    found = []
    for folder in folders:
        package, _, inside = folder.partition("/")
        spec = find_spec(package)
        for root in spec.submodule_search_locations or [] if spec else []:
            found += [path for path in sorted(Path(root, inside).glob("*")) if path.suffix.lower() in SUFFIXES]
    return [path for path in found if (path.name in GRAPHICS) == graphics and _is_large(path)]


def _is_large(path: Path) -> bool:
    with Image.open(path) as image:
        return min(image.size) >= SMALLEST_SIDE
