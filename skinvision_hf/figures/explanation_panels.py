"""Heat maps on images of the data set: figures for the user alone, which no release and no repository holds."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from matplotlib.axes import Axes
from PIL import Image

from skinvision_hf.config import CAM_METHODS
from skinvision_hf.data.images import to_rgb
from skinvision_hf.explain.explanation import explain_image
from skinvision_hf.explain.localisation import ScoredMaps
from skinvision_hf.figures.style import IMAGE_NOTE, hide_axes, new_figure, save_figure
from skinvision_hf.labels import CODES, diagnosis
from skinvision_hf.models.modeling import SkinVisionForImageClassification

__all__ = ["draw_panels"]

IMAGES = 4
"""Images a diagnosis."""


def draw_panels(
    model: SkinVisionForImageClassification, dataset: Dataset, scored: ScoredMaps, folder: str | Path, *, seed: int = 0
) -> list[Path]:
    """Draw images of each diagnosis, randomly drawn, with the heat maps of all methods for the predicted diagnosis.

    Args:
        model: The network.
        dataset: The split that was scored, with the column `mask`.
        scored: Its scores; the images are drawn from those that have one.
        folder: Where to.
        seed: Seed of the draw.

    Returns:
        The files.
    """
    shuffled = np.random.default_rng(seed).permutation(len(scored.rows))
    panels = []
    for k, code in enumerate(CODES):
        rows = scored.rows[[n for n in shuffled if scored.labels[n] == k][:IMAGES]].tolist()
        if rows:
            panels.append(_plot_panel(model, dataset, code, rows, Path(folder) / f"{code}.png"))
    return panels


def _plot_panel(
    model: SkinVisionForImageClassification, dataset: Dataset, code: str, rows: Sequence[int], path: Path
) -> Path:
    with new_figure(13, 0.9 + 1.62 * len(rows)) as figure:
        axes = figure.subplots(len(rows), 1 + len(CAM_METHODS), squeeze=False)
        for line, row in zip(axes, rows, strict=True):
            record = dataset[row]
            image = to_rgb(record["image"])
            _show(line[0], image, record["mask"])
            for axis, method in zip(line[1:], CAM_METHODS, strict=True):
                explanation = explain_image(model, image, method=method)
                _show(axis, explanation.overlay(), record["mask"])
            answer = f"{explanation.prediction.label} {explanation.prediction.confidence:.0%}"
            line[0].set_ylabel(f"answer: {answer}", fontsize=9)
        for axis, title in zip(axes[0], ("image", *CAM_METHODS), strict=True):
            axis.set_title(title, fontsize=10)
        figure.suptitle(f"Ground truth: {diagnosis(code).name} ({code}), randomly drawn images", fontsize=10)
        return save_figure(figure, path, note=f"White line: outline of the lesion. {IMAGE_NOTE}")


def _show(axis: Axes, image: Image.Image, mask: Any) -> None:
    outline = np.asarray(mask.convert("L").resize(image.size, Image.Resampling.NEAREST)) > 127
    axis.imshow(image)
    axis.contour(outline, [0.5], colors="white", linewidths=1)
    hide_axes(axis)
