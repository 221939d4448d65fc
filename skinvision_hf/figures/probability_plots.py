"""Figures of probabilities: calibration, prediction sets, and acting on them."""

from pathlib import Path

from matplotlib.axes import Axes

from skinvision_hf.evaluation.calibration import CalibrationReport
from skinvision_hf.evaluation.conformal import ConformalReport
from skinvision_hf.evaluation.decisions import Abstention, Curve, DecisionReport
from skinvision_hf.figures.style import ACCENT, MAIN, MUTED, new_figure, save_figure, with_error_bars
from skinvision_hf.models.prediction import COVERAGE

TITLES = {"malignant": "Malignant or benign", "melanoma": "Melanoma or anything else"}
# Markers and their sizes, which show one inside the other where thresholds are the same.
MARKED_LEVELS = {0.8: ("s", 170), 0.9: ("o", 80), 0.95: ("d", 20)}


def plot_reliability(report: CalibrationReport, path: str | Path) -> Path:
    """Draw accuracy against confidence, before and after the temperature."""
    titles = ("As trained", f"Calibrated (temperature {report.temperature:.2f})")
    with new_figure(9, 4.6) as figure:
        axes = figure.subplots(1, 2, sharey=True)
        for axis, errors, title in zip(axes, (report.before, report.after), titles, strict=True):
            confidence = [entry.confidence for entry in errors.bins]
            value, bars = with_error_bars(entry.accuracy for entry in errors.bins)
            axis.plot([0, 1], [0, 1], color=MUTED, linestyle=":", label="perfect calibration")
            label = "a fifteenth of the images, 95 % confidence interval"
            axis.errorbar(confidence, value, bars, fmt="o", color=MAIN, markersize=4, capsize=2, label=label)
            axis.text(0.97, 0.05, f"ECE {errors.ece}", ha="right", transform=axis.transAxes)
            axis.set(title=title, xlabel="Confidence", xlim=(0, 1.02), ylim=(0, 1.02))
        axes[0].set_ylabel("Accuracy")
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=2, fontsize=8)
        return save_figure(figure, path)


def plot_prediction_sets(report: ConformalReport, path: str | Path) -> Path:
    """Draw coverage and size of the 90 % prediction sets of each diagnosis."""
    sets = report.find(COVERAGE).per_class
    with new_figure(9, 3.6) as figure:
        left, right = figure.subplots(1, 2)
        for axis, name in ((left, "coverage"), (right, "mean_size")):
            value, bars = with_error_bars(getattr(entry, name) for entry in sets.values())
            axis.errorbar(list(sets), value, bars, fmt="o", color=MAIN, capsize=2, markersize=5)
        left.axhline(COVERAGE, color=MUTED, linestyle=":")
        title = f"Sets that contain the ground truth (target: {COVERAGE:.0%})"
        left.set(title=title, ylabel="Coverage", ylim=(0, 1.04))
        right.set(title="Diagnoses in a set", ylabel="Mean size", ylim=(0, 7.2))
        return save_figure(figure, path)


def plot_roc(report: DecisionReport, path: str | Path) -> Path:
    """Draw the ROC curve of each question, its band, and the thresholds that were chosen on validation."""
    with new_figure(9, 5) as figure:
        axes = figure.subplots(1, len(report.tasks), sharey=True)
        for axis, (name, task) in zip(axes, report.tasks.items(), strict=True):
            _draw(axis, task.roc, f"AUC {task.auc}")
            axis.plot([0, 1], [0, 1], color=MUTED, linestyle=":", label="chance")
            for level, (marker, size) in MARKED_LEVELS.items():
                point, label = task.point("sensitivity", level), f"threshold for {level:.0%} on validation"
                x, y = 1 - (point.specificity.value or 0), point.sensitivity.value or 0
                axis.scatter(x, y, size, "none", marker=marker, linewidths=2, edgecolors=ACCENT, zorder=3, label=label)
            axis.set(title=TITLES[name], xlabel="False positive rate (1 - specificity)", aspect="equal")
            axis.legend(loc="lower right", fontsize=8)
        axes[0].set_ylabel("Sensitivity")
        return save_figure(figure, path)


def plot_decision(report: DecisionReport, path: str | Path) -> Path:
    """Draw the net benefit of acting on the model, on everyone and on no one."""
    with new_figure(9, 4) as figure:
        axes = figure.subplots(1, len(report.tasks))
        for axis, (name, task) in zip(axes, report.tasks.items(), strict=True):
            x = task.net_benefit.x
            _draw(axis, task.net_benefit, "act on the model")
            axis.plot(x, task.net_benefit_of_all, color=ACCENT, linestyle="--", label="act on everyone")
            axis.axhline(0, color=MUTED, linestyle=":", label="act on no one")
            axis.set(title=TITLES[name], xlabel="Threshold probability")
            axis.set(ylim=(-0.05, 1.15 * task.prevalence), xlim=(0, x[-1]))
        axes[0].set_ylabel("Net benefit (true positives per image)")
        axes[0].legend(fontsize=8)
        return save_figure(figure, path)


def plot_abstention(report: Abstention, path: str | Path) -> Path:
    """Draw how the error rate falls when the least confident images are left to a human."""
    with new_figure(6, 4) as figure:
        axis = figure.subplots()
        _draw(axis, report.risk, f"AURC {report.aurc}")
        axis.set(title="Error rate when the least confident images are left to a human", xlim=(0, 1))
        axis.set(xlabel="Share of images that the model answers", ylabel="Error rate among them")
        axis.set_ylim(bottom=0)
        axis.legend(loc="upper left")
        return save_figure(figure, path)


def _draw(axis: Axes, curve: Curve, label: str) -> None:
    band = "95 % confidence band"
    axis.fill_between(curve.x, curve.low, curve.high, color=MAIN, alpha=0.18, linewidth=0, label=band)
    axis.plot(curve.x, curve.y, color=MAIN, label=label)
