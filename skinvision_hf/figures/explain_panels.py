"""Heat maps on images of the data set: pictures for the user alone, which no release and no repository holds."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from matplotlib.axes import Axes
from PIL import Image

from skinvision_hf.config import CAM_METHOD, CAM_METHODS
from skinvision_hf.data.images import to_rgb
from skinvision_hf.explain.collecting import Collected
from skinvision_hf.explain.examples import RULE, Example, choose_by_class, choose_by_outcome
from skinvision_hf.figures.explain import blend
from skinvision_hf.figures.style import new_figure, save_figure
from skinvision_hf.labels import CODES, diagnosis
from skinvision_hf.models.skinvision import SkinVision

__all__ = ["draw_panels", "plot_class_panel", "plot_outcomes"]

NOTE = "White line: outline of the lesion. HAM10000 images are CC BY-NC 4.0. Educational, not a medical device"


def draw_panels(
    vision: SkinVision, dataset: Dataset, collected: Collected, folder: str | Path, *, seed: int = 0
) -> list[Path]:
    """Draw a panel for each diagnosis, and one of right answers against wrong ones.

    Args:
        vision: The release that explains.
        dataset: The part of the split that was scored, with the column `mask`.
        collected: Its scores; the images are drawn from those that have one.
        folder: Where to.
        seed: Seed of the draw.

    Returns:
        The files.
    """
    folder, columns = Path(folder), (collected.rows, collected.labels, collected.predicted)
    drawn = choose_by_class(*columns, seed=seed)
    panels = [
        plot_class_panel(vision, dataset, code, examples, folder / f"{code}.png", seed=seed)
        for code, examples in drawn.items()
        if examples
    ]
    outcomes = choose_by_outcome(*columns, seed=seed)
    return [*panels, plot_outcomes(vision, dataset, outcomes, folder / "right_and_wrong.png", seed=seed)]


def plot_class_panel(
    vision: SkinVision, dataset: Dataset, code: str, examples: Sequence[Example], path: str | Path, *, seed: int
) -> Path:
    """Draw images of one diagnosis with the heat maps of all methods for the predicted one."""
    with new_figure(13, 0.9 + 1.62 * len(examples)) as figure:
        axes = figure.subplots(len(examples), 1 + len(CAM_METHODS), squeeze=False)
        for line, example in zip(axes, examples, strict=True):
            record = dataset[example.row]
            image = to_rgb(record["image"])
            _show(line[0], image, record["mask"])
            for axis, method in zip(line[1:], CAM_METHODS, strict=True):
                explanation = vision.explain(image, method=method)
                _show(axis, blend(image, explanation.heatmap), record["mask"])
            share = f"{explanation.prediction.label} {explanation.prediction.confidence:.0%}"
            line[0].set_ylabel(f"answer: {share}", fontsize=9)
        for axis, title in zip(axes[0], ("image", *CAM_METHODS), strict=True):
            axis.set_title(title, fontsize=10)
        figure.suptitle(
            f"True diagnosis: {diagnosis(code).name} ({code}). Shown: {RULE.format(seed=seed)}", fontsize=10
        )
        return save_figure(figure, path, note=NOTE)


def plot_outcomes(
    vision: SkinVision,
    dataset: Dataset,
    outcomes: dict[str, tuple[Example | None, Example | None]],
    path: str | Path,
    *,
    seed: int,
) -> Path:
    """Draw a right and a wrong answer for each diagnosis; with a wrong one, also what speaks for the truth."""
    titles = ("right answer", "for the answer", "wrong answer", "for the answer", "for the truth")
    with new_figure(11, 13.5) as figure:
        axes = figure.subplots(len(CODES), len(titles))
        for line, (code, (right, wrong)) in zip(axes, outcomes.items(), strict=True):
            _explain(line[:2], vision, dataset, right, [None])
            _explain(line[2:], vision, dataset, wrong, [None, code])
            line[0].set_ylabel(f"true: {code}", fontsize=9)
        for axis, title in zip(axes[0], titles, strict=True):
            axis.set_title(title, fontsize=10)
        figure.suptitle(f"{CAM_METHOD}, one of each kind. Shown: {RULE.format(seed=seed)}", fontsize=10)
        return save_figure(figure, path, note=NOTE)


def _explain(
    axes: Sequence[Axes], vision: SkinVision, dataset: Dataset, example: Example | None, targets: list[str | None]
) -> None:
    """Show an image, and what speaks for each target; an empty space where there is no example."""
    if example is None:
        for axis in axes:
            _empty(axis)
        return
    record = dataset[example.row]
    image = to_rgb(record["image"])
    _show(axes[0], image, record["mask"])
    for axis, target in zip(axes[1:], targets, strict=True):
        explanation = vision.explain(image, target=target)
        _show(axis, blend(image, explanation.heatmap), record["mask"])
        share = explanation.prediction.probabilities[explanation.target]
        axis.set_xlabel(f"{explanation.target} {share:.0%}", fontsize=9)


def _show(axis: Axes, image: Image.Image, mask: Any) -> None:
    outline = np.asarray(mask.convert("L").resize(image.size, Image.Resampling.NEAREST)) > 127
    axis.imshow(image)
    axis.contour(outline, [0.5], colors="white", linewidths=1)
    _empty(axis)


def _empty(axis: Axes) -> None:
    axis.set(xticks=[], yticks=[])
    axis.grid(visible=False)
    for spine in axis.spines.values():
        spine.set_visible(False)
