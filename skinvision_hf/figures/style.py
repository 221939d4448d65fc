"""How every picture looks: one size of type, one set of colours that survives colour blindness, one way to save."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from skinvision_hf.files import atomic_write
from skinvision_hf.labels import CODES

__all__ = ["ACCENT", "CLASS_COLOURS", "MUTED", "PALETTE", "SPLIT_COLOURS", "new_figure", "save_figure"]

# The palette of Okabe and Ito (2008), which readers with any colour vision can tell apart.
PALETTE = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#D55E00", "#0072B2", "#CC79A7")
CLASS_COLOURS = dict(zip(CODES, PALETTE, strict=True))
SPLIT_COLOURS = {"train": "#0072B2", "validation": "#E69F00", "test": "#009E73"}
ACCENT = "#D55E00"
MUTED = "#8A8A8A"

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
    if note:
        figure.supxlabel(note, fontsize=7, color=MUTED, x=0.995, ha="right")
    buffer = io.BytesIO()
    with mpl.rc_context(STYLE):
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return atomic_write(path, buffer.getvalue())
