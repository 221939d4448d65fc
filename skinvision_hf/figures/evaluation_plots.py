"""Figures of an evaluation: where the model is right, where it is wrong, and how confident it was."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from datasets import Dataset
from PIL import Image
from sklearn.metrics import precision_recall_curve, roc_curve

from skinvision_hf.data.images import to_rgb
from skinvision_hf.evaluation.metrics import CLASS_METRICS, metric_title
from skinvision_hf.evaluation.predictions import Predictions
from skinvision_hf.evaluation.report import EvalReport
from skinvision_hf.evaluation.subgroups import SMALL_GROUP, SubgroupReport
from skinvision_hf.figures import style
from skinvision_hf.labels import CODES

# Shows images of the data set, so it stays with the user: no release and no repository holds it.
MISCLASSIFIED = "data_set_images_misclassified.png"
SHOWN_IMAGES = 4
"""Images a diagnosis."""

SUBGROUP_METRIC = "balanced_accuracy"
# The area's short name, the title, and the names of both axes.
CURVES = {
    "auc": ("AUC", "ROC curve of each diagnosis", "False positive rate (1 - specificity)", "Sensitivity"),
    "average_precision": ("AP", "Precision and recall of each diagnosis", "Sensitivity (recall)", "Precision"),
}


def plot_confusion(report: EvalReport, path: str | Path) -> Path:
    """Draw the confusion matrix twice: as counts, and as shares of each true diagnosis."""
    counts = np.asarray(report.confusion_matrix)
    shares = counts / counts.sum(axis=1, keepdims=True).clip(min=1)
    panels = {
        "Images": [[f"{n}" for n in row] for row in counts],
        "Share of each diagnosis": [[f"{s:.0%}" if row.any() else "" for s in row] for row in shares],
    }
    with style.new_figure(10.5, 5) as figure:
        for axis, (title, texts) in zip(figure.subplots(1, 2), panels.items(), strict=True):
            style.draw_table(axis, shares, texts)
            axis.set(xticks=range(7), yticks=range(7), xticklabels=CODES, yticklabels=CODES, title=title)
            axis.set(xlabel="Most probable diagnosis", ylabel="Ground truth")
        return style.save_figure(figure, path)


def plot_curves(predictions: Predictions, report: EvalReport, metric: str, path: str | Path) -> Path:
    """Draw a curve of each diagnosis against the rest: the one whose area is the metric, a key of `CURVES`."""
    short, title, xlabel, ylabel = CURVES[metric]
    with style.new_figure(7.5, 5) as figure:
        axis = figure.subplots()
        for k, code in enumerate(CODES):
            estimate = report.per_class[code][metric]
            if estimate.value is not None:
                positive, scores = predictions.labels == k, predictions.probabilities[:, k]
                if metric == "auc":
                    x, y, _ = roc_curve(positive, scores)
                else:  # scikit-learn adds a last point, which belongs to no threshold
                    y, x = (values[:-1] for values in precision_recall_curve(positive, scores)[:2])
                axis.plot(x, y, color=style.COLOURS[code], label=f"{code}: {short} {estimate}")
        if metric == "auc":
            axis.plot([0, 1], [0, 1], color=style.MUTED, linestyle=":", label="chance")
        axis.set(aspect="equal", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), title=title, xlabel=xlabel, ylabel=ylabel)
        figure.legend(loc="outside right upper", fontsize=8)
        return style.save_figure(figure, path)


def plot_class_metrics(report: EvalReport, path: str | Path) -> Path:
    """Draw the metrics of each diagnosis with their confidence intervals."""
    names = [f"{code} (n = {report.per_class[code]['sensitivity'].n})" for code in CODES]
    with style.new_figure(10, 5.2) as figure:
        axes = figure.subplots(2, 3, sharey=True).ravel()
        for axis, metric in zip(axes, CLASS_METRICS, strict=True):
            value, bars = style.with_error_bars(report.per_class[code][metric] for code in CODES)
            axis.errorbar(value, range(7), xerr=bars, fmt="none", ecolor=style.MUTED, elinewidth=2)
            axis.scatter(value, range(7), color=[style.COLOURS[code] for code in CODES], edgecolors="black", zorder=3)
            title = metric_title(metric)
            axis.set(title=title[0].upper() + title[1:], xlim=(-0.02, 1.02), yticks=range(7), yticklabels=names)
        axes[0].invert_yaxis()
        return style.save_figure(figure, path, note=style.INTERVAL_NOTE)


def plot_confidence(predictions: Predictions, path: str | Path) -> Path:
    """Draw how confident the model was when it was right and when it was wrong."""
    probabilities = predictions.probabilities
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == predictions.labels
    with style.new_figure(9, 4) as figure:
        left, axis = figure.subplots(1, 2)
        for chosen, colour, name in ((right, style.MAIN, "right"), (~right, style.ACCENT, "wrong")):
            median = f", median {np.median(confidence[chosen]):.2f}" if chosen.any() else ""
            label = f"{name} ({chosen.sum()} images{median})"
            left.hist(confidence[chosen], np.linspace(0, 1, 21), color=colour, alpha=0.6, label=label)
        left.set(xlabel="Confidence", ylabel="Images", title="Right and wrong answers")
        left.legend(fontsize=8)
        style.draw_boxes(axis, {code: probabilities[predictions.labels == k, k] for k, code in enumerate(CODES)})
        axis.set(xlabel="Ground truth", ylabel="Its probability", title="Probability of the true diagnosis")
        return style.save_figure(figure, path)


def plot_subgroups(report: SubgroupReport, path: str | Path) -> Path:
    """Draw balanced accuracy and its confidence interval in every subgroup; small groups are grey."""
    heights = [len(groups) for groups in report.groups.values()]
    with style.new_figure(7.5, 0.9 + 0.27 * sum(heights) + 0.35 * len(heights)) as figure:
        axes = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights, squeeze=False)[:, 0]
        for axis, (attribute, groups) in zip(axes, report.groups.items(), strict=True):
            value, bars = style.with_error_bars(group.metrics[SUBGROUP_METRIC] for group in groups)
            colours = [style.MUTED if group.small else style.MAIN for group in groups]
            axis.errorbar(value, range(len(groups)), xerr=bars, fmt="none", ecolor=colours)
            axis.scatter(value, range(len(groups)), 25, colours)
            axis.set_yticks(range(len(groups)), [f"{group.name} ({group.lesions})" for group in groups])
            axis.set(ylim=(len(groups) - 0.5, -0.5), xlim=(0, 1.02))
            gap = report.gap(attribute, SUBGROUP_METRIC)
            found = f": largest gap {gap.difference}, {'ex' if gap.excludes_zero else 'in'}cludes zero" if gap else ""
            axis.set_title(f"By {attribute}{found}", loc="left", fontsize=9)
        axes[-1].set_xlabel(f"{metric_title(SUBGROUP_METRIC).capitalize()} (grey: fewer than {SMALL_GROUP} lesions)")
        return style.save_figure(figure, path)


def plot_answers(
    dataset: Dataset,
    predictions: Predictions,
    path: str | Path,
    *,
    right: bool,
    picture: Callable[[Image.Image], Image.Image] = to_rgb,
) -> Path:
    """Draw some images of each diagnosis, at random, that are classified correctly or incorrectly.

    `picture` makes what is drawn of an image, such as the overlay of its explanation.
    """
    confidence, answers = predictions.probabilities.max(axis=1), predictions.probabilities.argmax(axis=1)
    generator, word = np.random.default_rng(0), "right" if right else "wrong"
    shown = []
    for k, code in enumerate(CODES):
        found = np.flatnonzero((predictions.labels == k) & ((answers == k) == right))
        rows = generator.permutation(found)[:SHOWN_IMAGES].tolist()
        images = [(picture(dataset[row]["image"]), f"{CODES[answers[row]]} {confidence[row]:.0%}") for row in rows]
        shown.append((f"{code}\n{len(found)} {word}", images))
    present = [row for row in shown if row[1]]
    return style.save_grid(present or shown, path, title=f"{word.capitalize()} answers and their confidence")
