"""How every figure looks: one size of type, colours that survive colour blindness, one way to save."""

import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from skinvision_hf.files import atomic_write
from skinvision_hf.labels import CODES
from skinvision_hf.records import Estimate

__all__ = [
    *("ACCENT", "CLASS_COLOURS", "IMAGE_NOTE", "MAIN", "MUTED", "PALETTE", "SPLIT_COLOURS"),
    *("hide_axes", "new_figure", "save_figure", "with_error_bars"),
]

# The palette of Okabe and Ito (2008), which readers with any colour vision can tell apart.
PALETTE = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#D55E00", "#0072B2", "#CC79A7")
CLASS_COLOURS = dict(zip(CODES, PALETTE, strict=True))
SPLIT_COLOURS = {"train": "#0072B2", "validation": "#E69F00", "test": "#009E73"}
MAIN, ACCENT, MUTED = "#0072B2", "#D55E00", "#8A8A8A"

STYLE: Any = {
    "figure.dpi": 110,
    "savefig.dpi": 150,
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
}
NOTE = "Educational, not a medical device"
IMAGE_NOTE = f"HAM10000 images are CC BY-NC 4.0. {NOTE}"


@contextmanager
def new_figure(width: float = 7.0, height: float = 4.5) -> Iterator[Figure]:
    """A figure in the common style, without pyplot's global state, so that threads may draw.

    Args:
        width: In inches.
        height: In inches.
    """
    with mpl.rc_context(STYLE):
        yield Figure(figsize=(width, height), layout="constrained")


def save_figure(figure: Figure, path: str | Path, *, note: str = NOTE) -> Path:
    """Write a figure as PNG, atomically, with a small note at its foot.

    Returns:
        The path.
    """
    figure.supxlabel(note, fontsize=7, color=MUTED, x=0.995, ha="right")
    buffer = io.BytesIO()
    with mpl.rc_context(STYLE):
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return atomic_write(path, buffer.getvalue())


def with_error_bars(estimates: Iterable[Estimate]) -> tuple[np.ndarray, np.ndarray]:
    """Values (n,) and the lengths of their error bars (2, n); NaN where unknown."""
    value, low, high = np.array([[e.value, e.low, e.high] for e in estimates], dtype=float).T
    return value, np.stack([value - low, high - value]).clip(min=0)


def hide_axes(axis: Axes) -> None:
    """Leave nothing of a pair of axes but what is drawn in it and its labels."""
    axis.set(xticks=[], yticks=[])
    axis.grid(visible=False)
    axis.spines[:].set_visible(False)
