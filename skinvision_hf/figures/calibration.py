"""Pictures of calibration: reliability before and after the temperature, and prediction sets by diagnosis."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from skinvision_hf.evaluation.calibration import CalibrationErrors, CalibrationReport
from skinvision_hf.evaluation.conformal import ConformalReport
from skinvision_hf.figures.style import ACCENT, MUTED, PALETTE, new_figure, save_figure
from skinvision_hf.records import Estimate

__all__ = ["plot_prediction_sets", "plot_reliability"]

COLOUR = PALETTE[5]


def plot_reliability(report: CalibrationReport, path: str | Path) -> Path:
    """Draw how often answers are right against how sure they are, before and after the temperature."""
    with new_figure(9, 4.6) as figure:
        axes = figure.subplots(1, 2, sharey=True)
        titles = ("As trained", f"Calibrated (temperature {report.temperature:.2f})")
        for axis, errors, title in zip(axes, (report.before, report.after), titles, strict=True):
            _reliability(axis, errors)
            axis.set(title=title, xlabel="Probability of the answer", xlim=(0, 1.02), ylim=(0, 1.02))
        axes[0].set_ylabel("Share of right answers")
        axes[0].legend(loc="upper left", fontsize=8)
        return save_figure(figure, path)


def plot_prediction_sets(report: ConformalReport, path: str | Path, *, target: float = 0.9) -> Path:
    """Draw coverage and size of the prediction sets of each diagnosis, for both kinds of promise."""
    kinds = {True: ("for each diagnosis", COLOUR), False: ("over all images", ACCENT)}
    with new_figure(9, 4) as figure:
        left, right = figure.subplots(1, 2)
        for offset, (conditional, (label, colour)) in zip((-0.15, 0.15), kinds.items(), strict=True):
            quality = report.find(target, class_conditional=conditional)
            for axis, index in ((left, 0), (right, 1)):
                estimates = [pair[index] for pair in quality.per_class.values()]
                places = np.arange(len(estimates)) + offset
                value, errors = _bars(estimates)
                axis.errorbar(places, value, errors, fmt="o", color=colour, label=label, capsize=2, markersize=5)
                axis.set_xticks(range(len(estimates)), list(quality.per_class))
        left.axhline(target, color=MUTED, linestyle=":")
        left.set(title=f"How often the set holds the truth (asked for: {target:.0%})", ylim=(0, 1.04))
        left.set_ylabel("Coverage")
        right.set(title="How many diagnoses it holds", ylim=(0, 7.2), ylabel="Mean size of the set")
        left.legend(title="Coverage promised", loc="lower left", fontsize=8)
        return save_figure(figure, path)


def _reliability(axis: Axes, errors: CalibrationErrors) -> None:
    value, spread = _bars([entry.accuracy for entry in errors.bins])
    axis.plot([0, 1], [0, 1], color=MUTED, linestyle=":", label="perfect calibration")
    axis.errorbar(
        [entry.confidence for entry in errors.bins],
        value,
        spread,
        fmt="o",
        color=COLOUR,
        markersize=4,
        capsize=2,
        label="a fifteenth of the images, 95% interval",
    )
    axis.text(0.97, 0.05, f"ECE {errors.ece}", ha="right", transform=axis.transAxes)


def _bars(estimates: list[Estimate]) -> tuple[np.ndarray, np.ndarray]:
    """Values (n,) and the lengths of their error bars (2, n); NaN where unknown."""
    value, low, high = np.array([[e.value, e.low, e.high] for e in estimates], dtype=float).T
    return value, np.stack([value - low, high - value]).clip(min=0)
