"""Pictures of the guard: what it lets through, and what changes of real images do."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from skinvision_hf.figures.style import ACCENT, MUTED, PALETTE, new_figure, save_figure
from skinvision_hf.ood.evaluation import GuardReport, ShiftedAccuracy
from skinvision_hf.ood.shifts import SEVERITIES, SHIFTS
from skinvision_hf.records import Estimate

__all__ = ["plot_far", "plot_shifts"]


def plot_far(report: GuardReport, path: str | Path) -> Path:
    """Draw the share of each kind of picture that passes the guard."""
    bars = {"real test images": (report.kept, PALETTE[2])}
    bars |= {kind: (e, ACCENT) for kind, e in report.far_accepted.items() if kind != "all"}
    bars |= {kind: (e, MUTED) for kind, e in report.ambiguous_accepted.items()}
    with new_figure(7, 0.9 + 0.42 * len(bars)) as figure:
        axis = figure.subplots()
        for place, (estimate, colour) in enumerate(bars.values()):
            value = estimate.value or 0.0
            axis.barh(place, value, color=colour, height=0.65)
            _interval(axis, place, estimate)
            axis.text(1.02, place, f"{value:.0%}", va="center", transform=axis.get_yaxis_transform())
        axis.set_yticks(range(len(bars)), [f"{kind} ({e.n})" for kind, (e, _) in bars.items()])
        axis.invert_yaxis()
        axis.grid(visible=False, axis="y")
        axis.set(
            xlim=(0, 1),
            xlabel="Share that the guard takes for a skin lesion",
            title=f"What passes the guard (AUROC {report.far['all'].auroc})",
        )
        return save_figure(figure, path)


def plot_shifts(report: GuardReport, path: str | Path) -> Path:
    """Draw accuracy and acceptance against the severity of each change."""
    plain = report.shifted[0]
    with new_figure(10, 5) as figure:
        axes = figure.subplots(2, 4, sharex=True, sharey=True).flat
        for axis, shift in zip(axes, SHIFTS, strict=True):
            entries = [plain, *(entry for entry in report.shifted if entry.shift == shift)]
            _line(axis, entries, "accuracy", PALETTE[5], "o-")
            _line(axis, entries, "accepted", ACCENT, "s--")
            axis.set(title=shift, ylim=(0, 1.02), xticks=(0, *SEVERITIES))
        axes = figure.axes
        figure.legend(*axes[0].get_legend_handles_labels(), fontsize=8, loc="outside lower left", ncols=2)
        for axis in axes[4:]:
            axis.set_xlabel("Severity")
        for axis in axes[::4]:
            axis.set_ylabel("Share of images")
        figure.suptitle(f"Real test images, changed (n = {plain.accuracy.n})", fontsize=11)
        return save_figure(figure, path)


def _line(axis: Axes, entries: list[ShiftedAccuracy], name: str, colour: str, style: str) -> None:
    estimates: list[Estimate] = [getattr(entry, name) for entry in entries]
    severities = [entry.severity for entry in entries]
    value, low, high = np.array([[e.value, e.low, e.high] for e in estimates], dtype=float).T
    label = {"accuracy": "classified correctly", "accepted": "passes the guard"}[name]
    axis.plot(severities, value, style, color=colour, markersize=4, label=label)
    axis.fill_between(severities, low, high, color=colour, alpha=0.15, linewidth=0)


def _interval(axis: Axes, place: int, estimate: Estimate) -> None:
    if estimate.low is not None and estimate.high is not None:
        axis.plot([estimate.low, estimate.high], [place, place], color="black", linewidth=1.2)
