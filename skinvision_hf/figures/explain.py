"""Pictures of where a network looks."""

import io
import textwrap
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from PIL import Image

from skinvision_hf.figures.style import MUTED, new_figure
from skinvision_hf.labels import DISCLAIMER, diagnosis

if TYPE_CHECKING:
    from skinvision_hf.explain import Explanation

__all__ = ["COLOUR_MAP", "blend", "draw_explanation"]

COLOUR_MAP = "viridis"
LARGEST_SIDE = 800


def blend(image: Image.Image, heatmap: np.ndarray, opacity: float = 0.5) -> Image.Image:
    """Lay a heat map over an image; the hotter, the less of the image shines through.

    Args:
        image: RGB.
        heatmap: (height, width) in [0, 1].
        opacity: Of the hottest pixels, in [0, 1].
    """
    colours = mpl.colormaps[COLOUR_MAP](np.arange(256), bytes=True)[:, :3]
    hot = Image.fromarray(colours[(heatmap * 255).astype(np.uint8)])
    alpha = Image.fromarray((heatmap * (255 * opacity)).astype(np.uint8))
    return Image.composite(hot, image, alpha)


def draw_explanation(explanation: "Explanation") -> Image.Image:
    """Draw the image, its heat map and both together, with the prediction and the disclaimer.

    Returns:
        An RGB picture of fixed width.
    """
    prediction, target = explanation.prediction, diagnosis(explanation.target)
    image, heatmap = _shrink(explanation.image, explanation.heatmap)
    share = prediction.probabilities[explanation.target]
    height = 1.7 + min(3.3 * image.height / image.width, 6)
    with new_figure(11, height) as figure:
        axes: list[Axes] = list(figure.subplots(1, 3))
        shown = axes[1].imshow(heatmap, cmap=COLOUR_MAP, vmin=0, vmax=1)
        axes[0].imshow(image)
        axes[2].imshow(blend(image, heatmap))
        titles = ("Image", f"What speaks for {target.name}", "Both")
        for axis, title in zip(axes, titles, strict=True):
            axis.set_title(title)
            axis.set_axis_off()
        figure.colorbar(shown, ax=axes, fraction=0.02, label="relative to the hottest pixel")
        figure.suptitle(
            f"Prediction: {prediction}\nExplained: {target.name}, probability {share:.1%}, {explanation.method}"
        )
        figure.supxlabel("\n".join(textwrap.wrap(DISCLAIMER, 150)), fontsize=8, color=MUTED)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png")
    return Image.open(buffer).convert("RGB")


def _shrink(image: Image.Image, heatmap: np.ndarray) -> tuple[Image.Image, np.ndarray]:
    """No more pixels than a figure can show."""
    step = max(1, -(-max(image.size) // LARGEST_SIDE))
    return image.reduce(step), np.asarray(Image.fromarray(heatmap).reduce(step))
