"""Figures of how good heat maps are, beside the baselines that they must beat, and panels of heat maps."""

from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from matplotlib.axes import Axes
from PIL import Image, ImageChops, ImageFilter

from skinvision_hf.config import CAM_METHOD, CAM_METHODS
from skinvision_hf.data.images import to_rgb
from skinvision_hf.explain.cam import heat_maps
from skinvision_hf.explain.explanation import View, explain_heat
from skinvision_hf.explain.explanation_report import CENTRE, NO_NETWORK, NOISE, TRAINED, ExplanationReport
from skinvision_hf.explain.localisation import ScoredMaps
from skinvision_hf.figures import style
from skinvision_hf.labels import CODES, diagnosis
from skinvision_hf.models.modeling import SkinVisionForImageClassification
from skinvision_hf.models.outputs import softmax
from skinvision_hf.models.prediction import Prediction
from skinvision_hf.models.torch_runtime import TorchRuntime

TITLES = {"pointing_game": "Pointing game", "energy_inside": "Energy inside", "road": "ROAD"}
MAPS = {method: method for method in CAM_METHODS} | {CENTRE: "centre bias", NOISE: "noise"}
NETWORKS = {
    TRAINED: ("trained network", style.MAIN, -0.27),
    "classifier": ("random classifier", style.PALETTE[1], 0.0),
    "all": ("random in all layers", style.PALETTE[6], 0.27),
    NO_NETWORK: ("no network", style.MUTED, 0.0),
}
"""Name, colour and place of the bars of each network."""

PANEL_IMAGES = 4
"""Images a diagnosis."""


def draw_explanation_scores(report: ExplanationReport, folder: str | Path) -> None:
    """Draw every figure of the report into a folder."""
    _plot_scores(report, Path(folder, "explanation_scores.png"))
    _plot_by_class(report, Path(folder, "explanation_by_class.png"))
    _plot_randomisation(report, Path(folder, "explanation_randomisation.png"))


def _plot_scores(report: ExplanationReport, path: Path) -> None:
    """Each score of each method on the trained and on random networks, and of the baselines."""
    chance = {"energy_inside": report.lesion_area.value, "road": 0.0}
    with style.new_figure(11, 5.4) as figure:
        axes = figure.subplots(1, len(TITLES), sharey=True)
        for axis, (name, title) in zip(axes, TITLES.items(), strict=True):
            _draw_bars(axis, report, name)
            if name in chance:
                axis.axvline(chance[name], color=style.ACCENT, linestyle=":", linewidth=1.3)
            axis.set_title(title)
        axes[0].set_yticks(range(len(MAPS)), MAPS.values())
        axes[0].invert_yaxis()
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower left", ncols=4, fontsize=9)
        figure.suptitle(f"Heat maps of {report.images:,} {report.split} images; dotted: a map without contrast")
        style.save_figure(figure, path, note=style.INTERVAL_NOTE)


def _plot_randomisation(report: ExplanationReport, path: Path) -> None:
    """How much the maps of random networks resemble those of the trained one."""
    with style.new_figure(7.5, 3.9) as figure:
        axis = figure.subplots()
        _draw_bars(axis, report, "rank_correlation")
        axis.set_yticks(range(len(CAM_METHODS)), CAM_METHODS)
        axis.invert_yaxis()
        axis.set(xlabel="Rank correlation with the map of the trained network", xlim=(None, 1.02))
        axis.set_title("Do heat maps depend on the weights? (near 0: yes)")
        figure.legend(loc="outside upper center", ncols=2, fontsize=9)
        style.save_figure(figure, path, note=style.INTERVAL_NOTE)


def _draw_bars(axis: Axes, report: ExplanationReport, name: str) -> None:
    """Draw one score of every heat map that has it: a row for each map, a colour for each network."""
    for network, (label, colour, offset) in NETWORKS.items():
        scores = {e.map: getattr(e, name) for e in report.maps if e.network == network and getattr(e, name)}
        if scores:
            value, bars = style.with_error_bars(scores.values())
            places = [list(MAPS).index(map_name) + offset for map_name in scores]
            axis.barh(places, value, 0.25, xerr=bars, color=colour, label=label, error_kw={"linewidth": 1.2})
    axis.grid(visible=False, axis="y")


def _plot_by_class(report: ExplanationReport, path: Path) -> None:
    """Where the heat of the usual method lies for each diagnosis, beside the baselines."""
    kinds = {CAM_METHOD: (style.MAIN, "o"), CENTRE: (style.ACCENT, "s"), NOISE: (style.MUTED, "^")}
    names = ("pointing_game", "energy_inside")
    counts = dict.fromkeys(CODES, 0)
    with style.new_figure(9, 4.4) as figure:
        axes = figure.subplots(1, len(names), sharey=True)
        for place, (name, (colour, marker)) in enumerate(kinds.items()):
            groups = report.find(name, TRAINED if name == CAM_METHOD else NO_NETWORK).per_class or {}
            counts |= {code: scores["pointing_game"].n for code, scores in groups.items()}
            for axis, score in zip(axes, names, strict=True):
                value, bars = style.with_error_bars(scores[score] for scores in groups.values())
                rows = [CODES.index(code) + 0.22 * (place - 1) for code in groups]
                axis.errorbar(value, rows, xerr=bars, fmt=marker, color=colour, markersize=4, label=MAPS[name])
                axis.set_title(TITLES[score])
                axis.set_xlim(left=0)
        axes[0].set_yticks(range(len(CODES)), [f"{code} ({counts[code]})" for code in CODES])
        axes[0].invert_yaxis()
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3, fontsize=9)
        style.save_figure(figure, path, note=style.INTERVAL_NOTE)


def draw_panels(
    model: SkinVisionForImageClassification, dataset: Dataset, scored: ScoredMaps, folder: str | Path, *, seed: int = 0
) -> None:
    """Draw images of each diagnosis, at random, with the heat maps of all methods for the predicted diagnosis.

    The images are those of the data set, with masks, that were scored. The panels are for the user alone: no release
    and no repository holds them.
    """
    runtime = TorchRuntime(model, model.device)
    shuffled = np.random.default_rng(seed).permutation(len(scored.rows))
    for k, code in enumerate(CODES):
        chosen = scored.rows[shuffled[scored.labels[shuffled] == k][:PANEL_IMAGES]]
        if len(chosen):
            title = f"Ground truth: {diagnosis(code).name} ({code}); white: outline of the lesion"
            rows = [_explain(runtime, record) for record in dataset.select(chosen)]
            style.save_grid(rows, Path(folder) / f"{code}.png", title=title)


def _explain(runtime: TorchRuntime, record: dict[str, Any]) -> style.Row:
    """The answer to an image, the image and its heat maps, all with the outline of the lesion."""
    image = to_rgb(record["image"])
    mask = record["mask"].convert("L").resize(image.size, Image.Resampling.NEAREST)
    outline = ImageChops.difference(mask, mask.filter(ImageFilter.MaxFilter(5)))
    outputs = runtime.compute([runtime.prepare(image)])
    prediction = Prediction.from_probabilities(softmax(outputs.logits[0]).tolist())
    view, target = View(runtime.view(image.size), runtime.cell_centres), prediction.label
    explanations = [
        explain_heat(heat[0], image, prediction, view, target=target, method=method)
        for method in CAM_METHODS
        for heat in [heat_maps(runtime.model.timm_model, outputs.maps, [CODES.index(target)], method)]
    ]
    pictures = [image, *(explanation.overlay() for explanation in explanations)]
    for picture in pictures:
        picture.paste("white", mask=outline)
    answer = f"{prediction.label}\n{prediction.confidence:.0%}"
    return answer, list(zip(pictures, ("image", *CAM_METHODS), strict=True))
