"""Figures of an evaluation: where the model is right, where it is wrong, and how confident it was."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from datasets import Dataset
from matplotlib.axes import Axes

from skinvision_hf.data.images import to_rgb
from skinvision_hf.evaluation.metrics import CLASS_METRICS, metric_title, precision_recall_points, roc_points
from skinvision_hf.evaluation.predictions import Predictions
from skinvision_hf.evaluation.report import EvalReport
from skinvision_hf.evaluation.subgroups import SMALL_GROUP, SubgroupReport
from skinvision_hf.figures.style import (
    ACCENT,
    CLASS_COLOURS,
    IMAGE_NOTE,
    MAIN,
    MUTED,
    new_figure,
    save_figure,
    with_error_bars,
)
from skinvision_hf.labels import CODES

__all__ = ["MISCLASSIFIED", "draw_evaluation", "plot_misclassified", "plot_subgroups"]

# Shows images of the data set, so it stays with the user: no release and no repository holds it.
MISCLASSIFIED = "data_set_images_misclassified.png"

Points = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


def draw_evaluation(folder: str | Path, predictions: Predictions, report: EvalReport) -> list[Path]:
    """Draw the confusion matrix, the curves and metrics of each diagnosis, and confidence.

    Args:
        folder: Where to.
        predictions: Of the split.
        report: The numbers about them.

    Returns:
        The files.
    """
    folder = Path(folder)
    return [
        _plot_confusion(report, folder / "confusion_matrix.png"),
        _plot_roc_by_class(predictions, report, folder / "roc_curves.png"),
        _plot_precision_recall(predictions, report, folder / "precision_recall_curves.png"),
        _plot_class_metrics(report, folder / "per_class_metrics.png"),
        _plot_confidence(predictions, folder / "confidence.png"),
    ]


def plot_subgroups(report: SubgroupReport, path: str | Path, *, metric: str = "balanced_accuracy") -> Path:
    """Draw a metric and its confidence interval in every subgroup; small groups are grey."""
    heights = [len(groups) for groups in report.groups.values()]
    with new_figure(7.5, 0.9 + 0.27 * sum(heights) + 0.35 * len(heights)) as figure:
        axes = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights, squeeze=False)[:, 0]
        for axis, (attribute, groups) in zip(axes, report.groups.items(), strict=True):
            value, bars = with_error_bars(group.metrics[metric] for group in groups)
            for place, group in enumerate(groups):
                colour, row = MUTED if group.small else MAIN, slice(place, place + 1)
                axis.errorbar(value[row], [place], xerr=bars[:, row], fmt="o", color=colour, markersize=5)
            axis.set_yticks(range(len(groups)), [f"{group.name} ({group.lesions})" for group in groups])
            axis.set(ylim=(len(groups) - 0.5, -0.5), xlim=(0, 1.02))
            gap = report.gap(attribute, metric)
            found = f": largest gap {gap.difference}, {'ex' if gap.excludes_zero else 'in'}cludes zero" if gap else ""
            axis.set_title(f"By {attribute}{found}", loc="left", fontsize=9)
        axes[-1].set_xlabel(f"{metric_title(metric).capitalize()} (grey: fewer than {SMALL_GROUP} lesions)")
        return save_figure(figure, path)


def plot_misclassified(dataset: Dataset, predictions: Predictions, path: str | Path, *, seed: int = 0) -> Path:
    """Draw up to three wrongly classified images of each diagnosis, randomly drawn.

    Args:
        dataset: The split that was predicted, in the same order.
        predictions: Of it.
        path: Where to.
        seed: Seed of the draw.
    """
    generator = np.random.default_rng(seed)
    probabilities = predictions.probabilities
    answers = probabilities.argmax(axis=1)
    with new_figure(12, 6) as figure:
        axes = figure.subplots(3, len(CODES))
        for k, code in enumerate(CODES):
            wrong = np.flatnonzero((predictions.labels == k) & (answers != k))
            axes[0, k].set_title(f"{code} ({len(wrong)} wrong)", fontsize=9)
            for axis in axes[:, k]:
                axis.axis("off")
            for axis, row in zip(axes[:, k], generator.permutation(wrong)[:3].tolist(), strict=False):
                axis.imshow(to_rgb(dataset[row]["image"]))
                label = f"{CODES[answers[row]]} {probabilities[row, answers[row]]:.0%}"
                axis.text(0.5, -0.02, label, transform=axis.transAxes, ha="center", va="top", fontsize=8)
        return save_figure(figure, path, note=IMAGE_NOTE)


def _plot_confusion(report: EvalReport, path: Path) -> Path:
    """The confusion matrix twice: as counts, and as shares of each true diagnosis."""
    counts = np.asarray(report.confusion_matrix)
    shares = counts / counts.sum(axis=1, keepdims=True).clip(min=1)
    panels = {
        "Images": [[f"{n}" for n in row] for row in counts],
        "Share of each diagnosis": [[f"{s:.0%}" if row.any() else "" for s in row] for row in shares],
    }
    with new_figure(10.5, 5) as figure:
        for axis, (title, texts) in zip(figure.subplots(1, 2), panels.items(), strict=True):
            axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
            for (row, column), share in np.ndenumerate(shares):
                colour = "white" if share > 0.5 else "black"
                axis.text(column, row, texts[row][column], ha="center", va="center", color=colour, fontsize=9)
            axis.set(xticks=range(7), yticks=range(7), xticklabels=CODES, yticklabels=CODES, title=title)
            axis.set(xlabel="Most probable diagnosis", ylabel="Ground truth")
            axis.grid(visible=False)
        return save_figure(figure, path)


def _plot_roc_by_class(predictions: Predictions, report: EvalReport, path: Path) -> Path:
    def finish(axis: Axes) -> None:
        axis.plot([0, 1], [0, 1], color=MUTED, linestyle=":", label="chance")
        axis.set(xlabel="False positive rate (1 - specificity)", ylabel="Sensitivity", aspect="equal")
        axis.set_title("Each diagnosis against the rest: ROC curves")

    return _plot_curves(predictions, report, path, (roc_points, "auc", "AUC"), finish)


def _plot_precision_recall(predictions: Predictions, report: EvalReport, path: Path) -> Path:
    def finish(axis: Axes) -> None:
        axis.set(xlabel="Sensitivity (recall)", ylabel="Precision", aspect="equal", ylim=(0, 1.02), xlim=(0, 1.02))
        axis.set_title("Each diagnosis against the rest: precision and recall")

    return _plot_curves(predictions, report, path, (precision_recall_points, "average_precision", "AP"), finish)


def _plot_curves(
    predictions: Predictions,
    report: EvalReport,
    path: Path,
    curve: tuple[Points, str, str],
    finish: Callable[[Axes], None],
) -> Path:
    points, metric, short = curve
    with new_figure(7.5, 5) as figure:
        axis = figure.subplots()
        for k, code in enumerate(CODES):
            estimate = report.per_class[code][metric]
            if estimate.value is not None:
                x, y = points(predictions.probabilities[:, k], predictions.labels == k)
                axis.plot(x, y, color=CLASS_COLOURS[code], label=f"{code}: {short} {estimate}")
        finish(axis)
        figure.legend(loc="outside right upper", fontsize=8)
        return save_figure(figure, path)


def _plot_class_metrics(report: EvalReport, path: Path) -> Path:
    """The metrics of each diagnosis with their confidence intervals."""
    names = [f"{code} (n = {report.per_class[code]['sensitivity'].n})" for code in CODES]
    with new_figure(10, 5.2) as figure:
        axes = figure.subplots(2, 3, sharey=True).ravel()
        for axis, metric in zip(axes, CLASS_METRICS, strict=True):
            value, bars = with_error_bars(report.per_class[code][metric] for code in CODES)
            axis.errorbar(value, range(len(CODES)), xerr=bars, fmt="none", ecolor=MUTED, elinewidth=2)
            axis.scatter(value, range(len(CODES)), color=CLASS_COLOURS.values(), edgecolors="black", zorder=3)
            title = metric_title(metric)
            axis.set(title=title[0].upper() + title[1:], xlim=(-0.02, 1.02), yticks=range(7), yticklabels=names)
        axes[0].invert_yaxis()
        note = "Lines: 95 % confidence intervals over lesions. Educational, not a medical device"
        return save_figure(figure, path, note=note)


def _plot_confidence(predictions: Predictions, path: Path) -> Path:
    """How confident the model was when it was right and when it was wrong."""
    probabilities = predictions.probabilities
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == predictions.labels
    shown = [k for k in range(len(CODES)) if (predictions.labels == k).any()]
    with new_figure(9, 4) as figure:
        left, axis = figure.subplots(1, 2)
        for chosen, colour, name in ((right, MAIN, "right"), (~right, ACCENT, "wrong")):
            median = f", median {np.median(confidence[chosen]):.2f}" if chosen.any() else ""
            label = f"{name} ({chosen.sum()} images{median})"
            left.hist(confidence[chosen], np.linspace(0, 1, 21), color=colour, alpha=0.6, label=label)
        left.set(xlabel="Confidence", ylabel="Images", title="Right and wrong answers")
        left.legend(fontsize=8)
        values = [probabilities[predictions.labels == k, k] for k in shown]
        boxes = axis.boxplot(values, patch_artist=True, medianprops={"color": "black"}, flierprops={"markersize": 2})
        for box, k in zip(boxes["boxes"], shown, strict=True):
            box.set_facecolor(CLASS_COLOURS[CODES[k]])
        axis.set_xticks(range(1, len(shown) + 1), [CODES[k] for k in shown])
        axis.set(xlabel="Ground truth", ylabel="Its probability", title="Probability of the true diagnosis")
        return save_figure(figure, path)
