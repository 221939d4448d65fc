"""Figures of calibration: reliability before and after the temperature, and prediction sets by diagnosis."""

from pathlib import Path

import numpy as np

from skinvision_hf.evaluation.calibration import CalibrationReport
from skinvision_hf.evaluation.conformal import ConformalReport
from skinvision_hf.figures.style import ACCENT, MAIN, MUTED, new_figure, save_figure, with_error_bars

__all__ = ["plot_prediction_sets", "plot_reliability"]

TARGET = 0.9


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
    """Draw coverage and size of the 90 % prediction sets of each diagnosis, for both kinds of coverage."""
    kinds = {True: ("for each diagnosis", MAIN), False: ("over all images", ACCENT)}
    with new_figure(9, 4.2) as figure:
        left, right = figure.subplots(1, 2)
        for offset, (conditional, (label, colour)) in zip((-0.15, 0.15), kinds.items(), strict=True):
            sets = report.find(TARGET, class_conditional=conditional).per_class
            for axis, name in ((left, "coverage"), (right, "mean_size")):
                value, bars = with_error_bars(getattr(entry, name) for entry in sets.values())
                places = np.arange(len(sets)) + offset
                axis.errorbar(places, value, bars, fmt="o", color=colour, label=label, capsize=2, markersize=5)
                axis.set_xticks(range(len(sets)), list(sets))
        left.axhline(TARGET, color=MUTED, linestyle=":")
        left.set(title=f"Sets that contain the ground truth (target: {TARGET:.0%})", ylabel="Coverage", ylim=(0, 1.04))
        right.set(title="Diagnoses in a set", ylabel="Mean size", ylim=(0, 7.2))
        handles = left.get_legend_handles_labels()
        figure.legend(*handles, title="Coverage holds", loc="outside lower left", ncols=2, fontsize=8)
        return save_figure(figure, path)
