"""Figures of OOD detection and of robustness."""

from pathlib import Path

from skinvision_hf.figures.style import ACCENT, MAIN, MUTED, PALETTE, new_figure, save_figure, with_error_bars
from skinvision_hf.ood.ood_report import OODReport, RobustnessReport
from skinvision_hf.records import Estimate

__all__ = ["plot_far", "plot_robustness"]


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
        "Refused": ([row.refused for row in rows if row.refused], MUTED),
    }
    columns = {title: column for title, column in columns.items() if column[0]}
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
