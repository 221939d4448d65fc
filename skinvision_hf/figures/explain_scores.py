"""Pictures of how good heat maps are, beside the controls that they must beat."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.container import BarContainer

from skinvision_hf.config import CAM_METHODS
from skinvision_hf.explain.collecting import TRAINED, Kind, control
from skinvision_hf.explain.controls import CENTRE, CONTROLS, NOISE, RANDOMISATIONS
from skinvision_hf.explain.localisation import MEASURES
from skinvision_hf.explain.report import ROAD, TITLES, ExplanationReport, PartScores
from skinvision_hf.figures.style import ACCENT, MUTED, PALETTE, new_figure, save_figure
from skinvision_hf.labels import CODES
from skinvision_hf.records import Estimate

__all__ = ["draw_scores", "plot_controls", "plot_localisation_by_class", "plot_randomisation"]

NETWORKS = (TRAINED, *RANDOMISATIONS)
COLOURS = dict(zip(NETWORKS, (PALETTE[5], PALETTE[1], PALETTE[6]), strict=True))
NAMES = {TRAINED: "trained network", "classifier": "random classifier", "all": "random in all layers"}
CONTROL_NAMES = {CENTRE: "blob in the centre", NOISE: "noise"}
NOTE = "Lines: 95 % intervals over lesions. Educational, not a medical device"


def draw_scores(report: ExplanationReport, folder: str | Path) -> list[Path]:
    """Draw every figure of the report.

    Args:
        report: The numbers.
        folder: Where to.

    Returns:
        The files.
    """
    folder = Path(folder)
    return [
        plot_controls(report.test, folder / "explanation_scores.png"),
        plot_localisation_by_class(report.test, report.favourite, folder / "explanation_by_class.png"),
        plot_randomisation(report.test, folder / "explanation_randomisation.png"),
    ]


def plot_controls(split: PartScores, path: str | Path) -> Path:
    """Draw each score of each method on the trained and on random networks, and of the controls."""
    with new_figure(13, 5.4) as figure:
        axes = figure.subplots(1, len(TITLES), sharey=True)
        for axis, (name, title) in zip(axes, TITLES.items(), strict=True):
            for row, method in enumerate(CAM_METHODS):
                for place, network in enumerate(NETWORKS):
                    if name == ROAD and network == TRAINED:
                        _bar(axis, row, split.road[method], COLOURS[network], 0.75)
                    elif name != ROAD:
                        estimate = split.localisation[Kind(method, network)].overall[name]
                        _bar(axis, row + 0.27 * (place - 1), estimate, COLOURS[network], 0.25)
            for row, name_of_control in enumerate(CONTROLS, start=len(CAM_METHODS)):
                overall = split.localisation[control(name_of_control)].overall
                _bar(axis, row, split.road[name_of_control] if name == ROAD else overall[name], MUTED, 0.6)
            chance = {"energy_inside": split.lesion_area.value, "inside_outside_ratio": 1.0, ROAD: 0.0}.get(name)
            if chance is not None:
                axis.axvline(chance, color=ACCENT, linestyle=":", linewidth=1.3)
            count = f", n = {split.road[NOISE].n}" if name == ROAD else ""
            axis.set_title(f"{title}{count}")
            axis.grid(visible=False, axis="y")
        axes[0].set_yticks(range(7), [*CAM_METHODS, *CONTROL_NAMES.values()])
        axes[0].invert_yaxis()
        figure.legend(handles=_keys(axes[0], NETWORKS), loc="outside lower center", ncols=3, fontsize=9)
        figure.suptitle(f"Do heat maps lie on the lesion? {split.images:,} test images; dotted: a map without contrast")
        return save_figure(figure, path, note=NOTE)


def plot_localisation_by_class(split: PartScores, method: str, path: str | Path) -> Path:
    """Draw how well one method finds the lesions of each diagnosis, beside the controls."""
    kinds = {Kind(method): (PALETTE[5], "o"), control(CENTRE): ("black", "s"), control(NOISE): (MUTED, "D")}
    with new_figure(11.5, 4.6) as figure:
        axes = figure.subplots(1, len(MEASURES), sharey=True)
        for axis, name in zip(axes, MEASURES, strict=True):
            for place, (kind, (colour, marker)) in enumerate(kinds.items()):
                for row, code in enumerate(CODES):
                    value, low, high = _numbers(split.localisation[kind].per_class[code][name])
                    height = row + 0.22 * (place - 1)
                    axis.plot([low, high], [height, height], color=colour, linewidth=1.5, alpha=0.6)
                    label = CONTROL_NAMES.get(kind.map, kind.map) if row == 0 else None
                    axis.plot(value, height, marker, color=colour, markersize=4, linestyle="none", label=label)
            axis.set_title(TITLES[name])
            axis.set_xlim(left=0)
        counts = (split.localisation[Kind(method)].per_class[code]["iou"].n for code in CODES)
        axes[0].set_yticks(range(7), [f"{code} ({count})" for code, count in zip(CODES, counts, strict=True)])
        axes[0].invert_yaxis()
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3, fontsize=9)
        return save_figure(figure, path, note=NOTE)


def plot_randomisation(split: PartScores, path: str | Path) -> Path:
    """Draw how much the maps of random networks resemble those of the trained one."""
    with new_figure(7.5, 3.9) as figure:
        axis = figure.subplots()
        for row, method in enumerate(CAM_METHODS):
            for place, network in enumerate(RANDOMISATIONS):
                _bar(axis, row + 0.36 * (place - 0.5), split.similarity[Kind(method, network)], COLOURS[network], 0.34)
        axis.set_yticks(range(len(CAM_METHODS)), CAM_METHODS)
        axis.invert_yaxis()
        axis.grid(visible=False, axis="y")
        axis.set(xlabel="Rank correlation with the map of the trained network", xlim=(None, 1.02))
        axis.set_title("Do heat maps depend on what the network learned? (near 0: yes)")
        figure.legend(handles=_keys(axis, RANDOMISATIONS), loc="outside upper center", ncols=2, fontsize=9)
        return save_figure(figure, path, note=NOTE)


def _bar(axis: Axes, place: float, estimate: Estimate, colour: str, height: float) -> None:
    value, low, high = _numbers(estimate)
    axis.barh(place, value, height=height, color=colour)
    axis.plot([low, high], [place, place], color="black", linewidth=1.2)


def _keys(axis: Axes, networks: tuple[str, ...]) -> list[BarContainer]:
    """What a legend of the networks shows."""
    return [axis.barh(0, 0, color=COLOURS[network], label=NAMES[network]) for network in networks]


def _numbers(estimate: Estimate) -> np.ndarray:
    """Value, low and high, NaN where there is none."""
    return np.array([estimate.value, estimate.low, estimate.high], dtype=float)
