"""The figure of one explanation: image, heat map and overlay side by side."""

import io
import textwrap

from PIL import Image

from skinvision_hf.explain.explanation import Explanation
from skinvision_hf.figures.style import MUTED, new_figure
from skinvision_hf.labels import DISCLAIMER, diagnosis


def draw_explanation(explanation: Explanation) -> Image.Image:
    """Draw the image, its heat map and both together, with the prediction and the disclaimer, as RGB of fixed width."""
    prediction, target = explanation.prediction, diagnosis(explanation.target)
    image, share = explanation.image, prediction.probabilities[explanation.target]
    with new_figure(11, 1.7 + min(3.3 * image.height / image.width, 6)) as figure:
        axes = list(figure.subplots(1, 3))
        shown = axes[1].imshow(explanation.heatmap, cmap="viridis", vmin=0, vmax=1)
        axes[0].imshow(image)
        axes[2].imshow(explanation.overlay())
        for axis, title in zip(axes, ("Image", f"What supports {target.name}", "Both"), strict=True):
            axis.set_title(title)
            axis.set_axis_off()
        figure.colorbar(shown, ax=axes, fraction=0.02, label="relative to the hottest pixel")
        explained = f"{target.name}, probability {share:.1%}, {explanation.method}"
        figure.suptitle(f"{textwrap.fill(f'Prediction: {prediction}', 110)}\nExplained: {explained}")
        figure.supxlabel("\n".join(textwrap.wrap(DISCLAIMER, 150)), fontsize=8, color=MUTED)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png")
    return Image.open(buffer).convert("RGB")
