"""How every figure looks: one size of type, colours that survive colour blindness, one way to save."""

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from skinvision_hf.files import atomic_write
from skinvision_hf.labels import CODES
from skinvision_hf.records import Estimate

# The palette of Okabe and Ito (2008), which readers with any colour vision can tell apart.
PALETTE = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#D55E00", "#0072B2", "#CC79A7")
COLOURS = dict(zip(CODES, PALETTE, strict=True)) | {"train": "#0072B2", "validation": "#E69F00", "test": "#009E73"}
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
    "boxplot.patchartist": True,
    "boxplot.medianprops.color": "black",
    "boxplot.flierprops.markersize": 2,
}
Row = tuple[str, list[tuple[Image.Image, str]]]
"""A name, and images with the text below each."""

NOTE = "Educational, not a medical device"
INTERVAL_NOTE = f"Lines: 95 % confidence intervals over lesions. {NOTE}"
IMAGE_NOTE = f"Real images are from HAM10000, CC BY-NC 4.0. {NOTE}"


@contextmanager
def new_figure(width: float = 7.0, height: float = 4.5) -> Iterator[Figure]:
    """A figure of this size in inches, in the common style, without pyplot's global state, so that threads may draw."""
    with mpl.rc_context(STYLE):
        yield Figure(figsize=(width, height), layout="constrained")


def save_figure(figure: Figure, path: str | Path, *, note: str = NOTE) -> Path:
    """Write a figure as PNG, atomically, with a small note at its foot, and return the path."""
    figure.supxlabel(note, fontsize=7, color=MUTED, x=0.995, ha="right")
    buffer = io.BytesIO()
    with mpl.rc_context(STYLE):
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return atomic_write(path, buffer.getvalue())


def with_error_bars(estimates: Iterable[Estimate]) -> tuple[np.ndarray, np.ndarray]:
    """Values (n,) and the lengths of their error bars (2, n); NaN where unknown."""
    value, low, high = np.array([[e.value, e.low, e.high] for e in estimates], dtype=float).reshape(-1, 3).T
    return value, np.stack([value - low, high - value]).clip(min=0)


def draw_boxes(axis: Axes, groups: Mapping[str, np.ndarray]) -> None:
    """Draw the quartiles of groups of values, each in the colour of its diagnosis or split, and count their values."""
    boxes = axis.boxplot(list(groups.values()), widths=0.6)
    for box, name in zip(boxes["boxes"], groups, strict=True):
        box.set_facecolor(COLOURS[name])
    axis.set_xticks(range(1, len(groups) + 1), [f"{name}\n{len(values):,}" for name, values in groups.items()])


def draw_table(axis: Axes, shares: np.ndarray, texts: Sequence[Sequence[str]]) -> None:
    """Draw shares (n, m) as cells, the larger the darker, with a text in each."""
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (row, column), share in np.ndenumerate(shares):
        colour = "white" if share > 0.5 else "black"
        axis.text(column, row, texts[row][column], ha="center", va="center", fontsize=8, color=colour)
    axis.grid(visible=False)


def save_grid(rows: Sequence[Row], path: str | Path, *, title: str) -> Path:
    """Draw rows of images of the data set, and save the figure."""
    columns = max(1, *(len(images) for _, images in rows))
    with new_figure(1.5 + 1.6 * columns, 0.9 + 1.45 * len(rows)) as figure:
        axes = figure.subplots(len(rows), columns, squeeze=False)
        for axis in axes.flat:
            axis.set(xticks=[], yticks=[])
            axis.grid(visible=False)
            axis.spines[:].set_visible(False)
        for line, (name, images) in zip(axes, rows, strict=True):
            line[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9)
            for axis, (image, text) in zip(line, images, strict=False):
                axis.imshow(image)
                axis.set_xlabel(text, fontsize=8)
        figure.suptitle(title, fontsize=10)
        return save_figure(figure, path, note=IMAGE_NOTE)
