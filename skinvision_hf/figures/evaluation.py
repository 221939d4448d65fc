"""Pictures of an evaluation: where the model is right, where it is wrong, and how it was trained."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from datasets import Dataset
from matplotlib.axes import Axes

from skinvision_hf.errors import DataError
from skinvision_hf.evaluation.metrics import CLASS_METRICS, metric_title, precision_recall_points, roc_points
from skinvision_hf.evaluation.predictions import Predictions
from skinvision_hf.evaluation.report import EvalReport
from skinvision_hf.figures.style import ACCENT, CLASS_COLOURS, MUTED, SPLIT_COLOURS, new_figure, save_figure
from skinvision_hf.labels import CODES, DIAGNOSES

__all__ = [
    "MISCLASSIFIED",
    "draw_evaluation",
    "plot_class_metrics",
    "plot_confidence",
    "plot_confusion",
    "plot_misclassified",
    "plot_precision_recall",
    "plot_roc_by_class",
    "plot_training",
]

# Shows images of the data set, so it stays with the user: no release and no repository holds it.
MISCLASSIFIED = "data_set_images_misclassified.png"


def draw_evaluation(folder: str | Path, predictions: Predictions, report: EvalReport) -> list[Path]:
    """Draw every figure that shows numbers only.

    Args:
        folder: Where to.
        predictions: Of the part.
        report: The numbers about them.

    Returns:
        The files.
    """
    folder = Path(folder)
    return [
        plot_confusion(report, folder / "confusion_matrix.png"),
        plot_roc_by_class(predictions, report, folder / "roc_curves.png"),
        plot_precision_recall(predictions, report, folder / "precision_recall_curves.png"),
        plot_class_metrics(report, folder / "per_class_metrics.png"),
        plot_confidence(predictions, folder / "confidence.png"),
    ]


def plot_confusion(report: EvalReport, path: str | Path) -> Path:
    """Draw the confusion matrix twice: as counts, and as shares of each true diagnosis."""
    counts = np.asarray(report.confusion_matrix)
    with np.errstate(invalid="ignore"):
        shares = counts / counts.sum(axis=1, keepdims=True)
    with new_figure(10.5, 5) as figure:
        axes = figure.subplots(1, 2)
        for axis, texts, title in (
            (axes[0], [[f"{n}" for n in row] for row in counts], "Images"),
            (
                axes[1],
                [[f"{s:.0%}" if np.isfinite(s) else "" for s in row] for row in shares],
                "Share of each diagnosis",
            ),
        ):
            axis.imshow(np.nan_to_num(shares), cmap="Blues", vmin=0, vmax=1)
            for row in range(len(CODES)):
                for column in range(len(CODES)):
                    colour = "white" if shares[row, column] > 0.5 else "black"
                    axis.text(column, row, texts[row][column], ha="center", va="center", color=colour, fontsize=9)
            axis.set(xticks=range(7), yticks=range(7), xticklabels=CODES, yticklabels=CODES, title=title)
            axis.set(xlabel="Answer of the model", ylabel="True diagnosis")
            axis.grid(visible=False)
        return save_figure(figure, path)


def plot_roc_by_class(predictions: Predictions, report: EvalReport, path: str | Path) -> Path:
    """Draw the ROC curve of each diagnosis against the rest."""

    def finish(axis: Axes) -> None:
        axis.plot([0, 1], [0, 1], color=MUTED, linestyle=":", label="guessing")
        axis.set(xlabel="False positive rate (1 - specificity)", ylabel="Sensitivity", aspect="equal")
        axis.set_title("Each diagnosis against the rest: ROC curves")

    return _plot_curves(predictions, report, path, roc_points, "auc", "AUC", finish)


def plot_precision_recall(predictions: Predictions, report: EvalReport, path: str | Path) -> Path:
    """Draw the precision-recall curve of each diagnosis against the rest."""

    def finish(axis: Axes) -> None:
        axis.set(xlabel="Sensitivity (recall)", ylabel="Precision", aspect="equal", ylim=(0, 1.02), xlim=(0, 1.02))
        axis.set_title("Each diagnosis against the rest: precision and recall")

    return _plot_curves(predictions, report, path, precision_recall_points, "average_precision", "AP", finish)


def _plot_curves(
    predictions: Predictions,
    report: EvalReport,
    path: str | Path,
    points: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]],
    metric: str,
    short: str,
    finish: Callable[[Axes], None],
) -> Path:
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


def plot_class_metrics(report: EvalReport, path: str | Path) -> Path:
    """Draw the metrics of each diagnosis with their intervals."""
    with new_figure(10, 5.2) as figure:
        axes = figure.subplots(2, 3, sharey=True).ravel()
        names = [f"{code} (n = {report.per_class[code]['sensitivity'].n})" for code in CODES]
        for axis, metric in zip(axes, CLASS_METRICS, strict=True):
            for row, code in enumerate(CODES):
                estimate = report.per_class[code][metric]
                if estimate.value is None:
                    continue
                if estimate.low is not None and estimate.high is not None:
                    axis.plot([estimate.low, estimate.high], [row, row], color=MUTED, linewidth=2)
                axis.plot(estimate.value, row, "o", color=CLASS_COLOURS[code], markeredgecolor="black")
            title = metric_title(metric)
            axis.set(title=title[0].upper() + title[1:], xlim=(-0.02, 1.02), yticks=range(7), yticklabels=names)
        axes[0].invert_yaxis()
        return save_figure(figure, path, note="Lines: 95 % intervals over lesions. Educational, not a medical device")


def plot_confidence(predictions: Predictions, path: str | Path) -> Path:
    """Draw how sure the model was when it was right and when it was wrong."""
    probabilities = predictions.probabilities
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == predictions.labels
    bins = np.linspace(0, 1, 21)
    with new_figure(9, 4) as figure:
        axes = figure.subplots(1, 2)
        for chosen, colour, name in ((right, "#0072B2", "right"), (~right, ACCENT, "wrong")):
            median = f", median {np.median(confidence[chosen]):.2f}" if chosen.any() else ""
            label = f"{name} ({chosen.sum()} images{median})"
            axes[0].hist(confidence[chosen], bins, color=colour, alpha=0.6, label=label)
        axes[0].set(xlabel="Probability of the answer", ylabel="Images", title="How sure, when right and when wrong")
        axes[0].legend(fontsize=8)
        shown = [k for k in range(len(CODES)) if (predictions.labels == k).any()]
        truth = [probabilities[predictions.labels == k, k] for k in shown]
        boxes = axes[1].boxplot(truth, patch_artist=True, medianprops={"color": "black"}, flierprops={"markersize": 2})
        for box, k in zip(boxes["boxes"], shown, strict=True):
            box.set_facecolor(CLASS_COLOURS[CODES[k]])
        axes[1].set_xticks(range(1, len(shown) + 1), [CODES[k] for k in shown])
        axes[1].set(xlabel="True diagnosis", ylabel="Its probability", title="Probability given to the truth")
        return save_figure(figure, path)


def plot_misclassified(dataset: Dataset, predictions: Predictions, path: str | Path, *, seed: int = 0) -> Path:
    """Draw up to three wrongly classified images of each diagnosis, drawn at random with a seed.

    Args:
        dataset: The part that was predicted, in the same order.
        predictions: Of it.
        path: Where to.
        seed: Seed of the choice.
    """
    generator = np.random.default_rng(seed)
    probabilities = predictions.probabilities
    answers = probabilities.argmax(axis=1)
    with new_figure(12, 6) as figure:
        axes = figure.subplots(3, len(CODES))
        for k, diagnosis in enumerate(DIAGNOSES):
            wrong = np.flatnonzero((predictions.labels == k) & (answers != k))
            chosen = generator.permutation(wrong)[:3].tolist()
            axes[0, k].set_title(f"{diagnosis.code} ({len(wrong)} wrong)", fontsize=9)
            for axis, row in zip(axes[:, k], [*chosen, None, None, None], strict=False):
                axis.axis("off")
                if row is not None:
                    axis.imshow(dataset[row]["image"].convert("RGB"))
                    label = f"{CODES[answers[row]]} {probabilities[row, answers[row]]:.0%}"
                    axis.text(0.5, -0.02, label, transform=axis.transAxes, ha="center", va="top", fontsize=8)
        return save_figure(figure, path, note="HAM10000 images are CC BY-NC 4.0. Educational, not a medical device")


def plot_training(history: str | Path, path: str | Path) -> Path:
    """Draw loss, learning rate and validation metrics over the epochs of both phases.

    Args:
        history: The `history.jsonl` of a release.
        path: Where to.

    Raises:
        DataError: If the history cannot be read.
    """
    try:
        records = [json.loads(line) for line in Path(history).read_text(encoding="utf-8").splitlines()]
        epochs = range(1, len(records) + 1)
        with new_figure(11, 3.8) as figure:
            axes = figure.subplots(1, 3)
            axes[0].plot(
                epochs, [r["train_loss"] for r in records], ".-", color=SPLIT_COLOURS["train"], label="training"
            )
            loss = [r["validation_log_loss"] for r in records]
            axes[0].plot(epochs, loss, ".-", color=SPLIT_COLOURS["validation"], label="validation (log loss)")
            axes[0].set(title="Loss", ylabel="Weighted loss, log loss")
            for key, colour in zip(("balanced_accuracy", "macro_f1", "mean_auc", "accuracy"), _colours(), strict=False):
                values = [r[f"validation_{key}"] for r in records]
                axes[1].plot(epochs, values, ".-", color=colour, label=metric_title(key))
            axes[1].set(title="Validation", ylabel="Metric", ylim=(0, 1))
            axes[2].semilogy(epochs, [max(r["learning_rate"], 1e-7) for r in records], ".-", color=MUTED)
            axes[2].set(title="Learning rate at the end of the epoch", ylabel="Rate")
            heads = sum(r["phase"] == "head" for r in records)
            for axis in axes:
                axis.set_xlabel("Epoch (head phase shaded)")
                axis.xaxis.get_major_locator().set_params(integer=True)
                if heads:
                    axis.axvspan(0.5, heads + 0.5, color=MUTED, alpha=0.15)
            axes[0].legend(fontsize=8)
            axes[1].legend(fontsize=8, loc="lower right")
            return save_figure(figure, path)
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{history} is no training history ({error}); leave it out or train again") from error


def _colours() -> Sequence[str]:
    return ("#D55E00", "#CC79A7", "#0072B2", "#009E73")
