"""All figures of a release, which show numbers and no image of the data set; among them OOD detection and training."""

import json
from pathlib import Path

from skinvision_hf.errors import DataError
from skinvision_hf.evaluation.metrics import metric_title
from skinvision_hf.evaluation.predictions import Predictions
from skinvision_hf.evaluation.report import EvalReport
from skinvision_hf.figures import evaluation_plots, probability_plots
from skinvision_hf.figures.style import ACCENT, COLOURS, MAIN, MUTED, PALETTE, new_figure, save_figure, with_error_bars
from skinvision_hf.models.release import HISTORY_FILE
from skinvision_hf.ood.ood_report import OODReport, RobustnessReport
from skinvision_hf.records import Estimate

METRICS = {"balanced_accuracy": PALETTE[4], "macro_f1": PALETTE[5], "mean_auc": PALETTE[6], "accuracy": PALETTE[2]}


def draw_release(
    release: str | Path,
    predictions: Predictions,
    report: EvalReport,
    *,
    ood: OODReport | None = None,
    robustness: RobustnessReport | None = None,
) -> None:
    """Draw the predictions of a split, and all that was measured, into the folder `figures` of a release.

    The training history is drawn where the release has one. No figure shows an image of the data set.
    """
    release = Path(release)
    figures = release / "figures"
    evaluation_plots.plot_confusion(report, figures / "confusion_matrix.png")
    evaluation_plots.plot_curves(predictions, report, "auc", figures / "roc_curves.png")
    evaluation_plots.plot_curves(predictions, report, "average_precision", figures / "precision_recall_curves.png")
    evaluation_plots.plot_class_metrics(report, figures / "per_class_metrics.png")
    evaluation_plots.plot_confidence(predictions, figures / "confidence.png")
    if report.calibration:
        probability_plots.plot_reliability(report.calibration, figures / "reliability.png")
    if report.conformal:
        probability_plots.plot_prediction_sets(report.conformal, figures / "prediction_sets.png")
    if report.operating_points:
        probability_plots.plot_roc(report.operating_points, figures / "operating_points.png")
        probability_plots.plot_decision(report.operating_points, figures / "decision_curve.png")
        probability_plots.plot_abstention(report.operating_points.abstention, figures / "abstention.png")
    if report.subgroups:
        evaluation_plots.plot_subgroups(report.subgroups, figures / "subgroups.png")
    if ood and ood.far:
        plot_far(ood, figures / "ood_far.png")
    if robustness:
        plot_robustness(robustness, figures / "robustness.png")
    if (release / HISTORY_FILE).is_file():
        plot_training(release / HISTORY_FILE, figures / "training_curves.png")


def plot_far(report: OODReport, path: str | Path) -> Path:
    """Draw the share of each kind of image that is not refused."""
    bars = {"test images": (report.kept, PALETTE[2])}
    bars |= {kind: (entry.accepted, ACCENT) for kind, entry in (report.far or {}).items() if kind != "all"}
    bars |= {kind: (entry, MUTED) for kind, entry in (report.ambiguous_accepted or {}).items()}
    estimates, places = [estimate for estimate, _ in bars.values()], range(len(bars))
    value, errors = with_error_bars(estimates)
    with new_figure(7, 0.9 + 0.42 * len(bars)) as figure:
        axis = figure.subplots()
        colours = [colour for _, colour in bars.values()]
        axis.barh(places, value, xerr=errors, color=colours, height=0.65, error_kw={"linewidth": 1.2})
        for place, estimate in enumerate(estimates):
            axis.text(1.02, place, f"{estimate.value:.0%}", va="center", transform=axis.get_yaxis_transform())
        axis.set_yticks(places, [f"{kind} ({estimate.n})" for kind, estimate in zip(bars, estimates, strict=True)])
        axis.invert_yaxis()
        axis.grid(visible=False, axis="y")
        axis.set(xlim=(0, 1), xlabel="Share that OOD detection accepts as dermatoscopic images of lesions")
        return save_figure(figure, path)


def plot_robustness(report: RobustnessReport, path: str | Path) -> Path:
    """Draw balanced accuracy, changed answers and refused images after each change of the images."""
    rows, places = report.rows, range(len(report.rows))
    columns: dict[str, tuple[list[Estimate], str]] = {
        "Balanced accuracy": ([row.balanced_accuracy for row in rows], MAIN),
        "Another diagnosis than before": ([row.relabelled for row in rows], ACCENT),
    }
    if refused := [row.refused for row in rows if row.refused]:
        columns["Refused"] = (refused, MUTED)
    with new_figure(11, 1.1 + 0.27 * len(rows)) as figure:
        axes = figure.subplots(1, len(columns), sharey=True)
        for axis, (title, (estimates, colour)) in zip(axes, columns.items(), strict=True):
            value, errors = with_error_bars(estimates)
            axis.errorbar(value, places, xerr=errors, fmt="o", color=colour, markersize=4, capsize=2)
            axis.axvline(value[0], color=MUTED, linestyle=":", linewidth=1)
            axis.set(title=title, xlim=(0, None), xlabel="Share of images" if colour != MAIN else None)
        axes[0].set_yticks(places, ["as they are" if row.change == "none" else row.change for row in rows])
        axes[0].invert_yaxis()
        return save_figure(figure, path)


def plot_training(history: str | Path, path: str | Path) -> Path:
    """Draw loss, validation metrics and learning rate over the epochs of a history.jsonl; DataError if damaged."""
    try:
        records = [json.loads(line) for line in Path(history).read_text(encoding="utf-8").splitlines()]
        loss = {"train": [r["train_loss"] for r in records], "validation": [r["validation_log_loss"] for r in records]}
        metrics = {key: [r[f"validation_{key}"] for r in records] for key in METRICS}
        rates = [max(r["learning_rate"], 1e-7) for r in records]
        heads = sum(r["phase"] == "head" for r in records)
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{history} is not a valid training history ({error}); leave it out or train again") from error
    epochs = range(1, len(records) + 1)
    with new_figure(11, 4.2) as figure:
        axes = figure.subplots(1, 3)
        for split, values in loss.items():
            axes[0].plot(epochs, values, ".-", color=COLOURS[split], label=split)
        for key, values in metrics.items():
            axes[1].plot(epochs, values, ".-", color=METRICS[key], label=metric_title(key))
        axes[2].semilogy(epochs, rates, ".-", color=MUTED)
        axes[0].set(title="Loss", ylabel="Training loss, validation log loss")
        axes[1].set(title="Validation", ylabel="Metric", ylim=(0, 1))
        axes[2].set(title="Learning rate at the end of the epoch", ylabel="Rate")
        for axis in axes:
            axis.set_xlabel("Epoch (head phase shaded)")
            axis.xaxis.get_major_locator().set_params(integer=True)
            if heads:
                axis.axvspan(0.5, heads + 0.5, color=MUTED, alpha=0.15)
        for axis in axes[:2]:  # below the axes, where a legend covers no line
            axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2, fontsize=8)
        return save_figure(figure, path)
