"""Figures of how good heat maps are, beside the baselines that they must beat."""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.container import BarContainer

from skinvision_hf.config import CAM_METHOD, CAM_METHODS
from skinvision_hf.explain.explanation_report import (
    CENTRE,
    NO_NETWORK,
    NOISE,
    RANDOMISATIONS,
    TRAINED,
    ExplanationReport,
)
from skinvision_hf.figures.style import ACCENT, MAIN, MUTED, PALETTE, new_figure, save_figure, with_error_bars
from skinvision_hf.labels import CODES
from skinvision_hf.records import Estimate

__all__ = ["draw_explanation_scores"]

TITLES = {"pointing_game": "Pointing game", "energy_inside": "Energy inside", "road": "ROAD"}
COLOURS = dict(zip((TRAINED, *RANDOMISATIONS), (MAIN, PALETTE[1], PALETTE[6]), strict=True))
NETWORKS = {TRAINED: "trained network", "classifier": "random classifier", "all": "random in all layers"}
BASELINES = {CENTRE: "centre bias", NOISE: "noise"}
NOTE = "Lines: 95 % confidence intervals over lesions. Educational, not a medical device"


def draw_explanation_scores(report: ExplanationReport, folder: str | Path) -> list[Path]:
    """Draw every figure of the report.

    Returns:
        The files.
    """
    folder = Path(folder)
    return [
        _plot_scores(report, folder / "explanation_scores.png"),
        _plot_by_class(report, folder / "explanation_by_class.png"),
        _plot_randomisation(report, folder / "explanation_randomisation.png"),
    ]


def _plot_scores(report: ExplanationReport, path: Path) -> Path:
    """Each score of each method on the trained and on random networks, and of the baselines."""
    chance = {"energy_inside": report.lesion_area.value, "road": 0.0}
    with new_figure(11, 5.4) as figure:
        axes = figure.subplots(1, len(TITLES), sharey=True)
        for axis, (name, title) in zip(axes, TITLES.items(), strict=True):
            for entry in report.maps:
                estimate = getattr(entry, name)
                if estimate is None:
                    continue
                if entry.network == NO_NETWORK:
                    _bar(axis, len(CAM_METHODS) + list(BASELINES).index(entry.map), estimate, MUTED, 0.6)
                else:
                    offset, height = (0.0, 0.75) if name == "road" else (0.27 * _place(entry.network), 0.25)
                    _bar(axis, CAM_METHODS.index(entry.map) + offset, estimate, COLOURS[entry.network], height)
            if name in chance:
                axis.axvline(chance[name], color=ACCENT, linestyle=":", linewidth=1.3)
            axis.set_title(title)
            axis.grid(visible=False, axis="y")
        axes[0].set_yticks(range(len(CAM_METHODS) + len(BASELINES)), [*CAM_METHODS, *BASELINES.values()])
        axes[0].invert_yaxis()
        keys = _keys(axes[0], (TRAINED, *RANDOMISATIONS))
        figure.legend(handles=keys, loc="outside lower left", ncols=3, fontsize=9)
        figure.suptitle(f"Heat maps of {report.images:,} {report.split} images; dotted: a map without contrast")
        return save_figure(figure, path, note=NOTE)


def _plot_by_class(report: ExplanationReport, path: Path) -> Path:
    """Where the heat of the usual method lies for each diagnosis, beside the baselines."""
    kinds = {(CAM_METHOD, TRAINED): (MAIN, "o", CAM_METHOD)}
    kinds |= {(CENTRE, NO_NETWORK): (ACCENT, "s", BASELINES[CENTRE]), (NOISE, NO_NETWORK): (MUTED, "^", "noise")}
    names = ("pointing_game", "energy_inside")
    with new_figure(9, 4.4) as figure:
        axes = figure.subplots(1, len(names), sharey=True)
        for axis, name in zip(axes, names, strict=True):
            for place, (kind, (colour, marker, label)) in enumerate(kinds.items()):
                groups = report.find(*kind).per_class
                if groups is None:
                    continue
                value, bars = with_error_bars(groups[code][name] for code in CODES)
                rows = [row + 0.22 * (place - 1) for row in range(len(CODES))]
                axis.errorbar(value, rows, xerr=bars, fmt=marker, color=colour, markersize=4, label=label)
            axis.set_title(TITLES[name])
            axis.set_xlim(left=0)
        counts = {code: groups["pointing_game"].n for code, groups in (report.find(CAM_METHOD).per_class or {}).items()}
        axes[0].set_yticks(range(len(CODES)), [f"{code} ({counts.get(code, 0)})" for code in CODES])
        axes[0].invert_yaxis()
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3, fontsize=9)
        return save_figure(figure, path, note=NOTE)


def _plot_randomisation(report: ExplanationReport, path: Path) -> Path:
    """How much the maps of random networks resemble those of the trained one."""
    with new_figure(7.5, 3.9) as figure:
        axis = figure.subplots()
        for entry in report.maps:
            if entry.rank_correlation is not None:
                place = CAM_METHODS.index(entry.map) + 0.36 * (_place(entry.network) - 0.5)
                _bar(axis, place, entry.rank_correlation, COLOURS[entry.network], 0.34)
        axis.set_yticks(range(len(CAM_METHODS)), CAM_METHODS)
        axis.invert_yaxis()
        axis.grid(visible=False, axis="y")
        axis.set(xlabel="Rank correlation with the map of the trained network", xlim=(None, 1.02))
        axis.set_title("Do heat maps depend on the weights? (near 0: yes)")
        figure.legend(handles=_keys(axis, RANDOMISATIONS), loc="outside upper center", ncols=2, fontsize=9)
        return save_figure(figure, path, note=NOTE)


def _place(network: str) -> int:
    """-1 for the trained network, 0 and 1 for the random ones."""
    return list(COLOURS).index(network) - 1


def _bar(axis: Axes, place: float, estimate: Estimate, colour: str, height: float) -> None:
    value, error = with_error_bars([estimate])
    axis.barh(place, value, xerr=error, height=height, color=colour, error_kw={"linewidth": 1.2})


def _keys(axis: Axes, networks: tuple[str, ...]) -> list[BarContainer]:
    """What a legend of the networks shows."""
    return [axis.barh(0, 0, color=COLOURS[network], label=NETWORKS[network]) for network in networks]
