"""Measures the heat maps of a network: a network and a split with lesion masks to an `ExplanationReport`."""

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor

from skinvision_hf.config import CAM_METHODS, ROAD_IMAGES
from skinvision_hf.errors import DataError
from skinvision_hf.evaluation.bootstrap import Mean, bootstrap, lesion_counts
from skinvision_hf.explain.explanation_report import CENTRE, RANDOMISATIONS, ExplanationReport, MapScores
from skinvision_hf.explain.faithfulness import collect_faithfulness
from skinvision_hf.explain.localisation import BASELINES, ScoredMaps, score_dataset
from skinvision_hf.labels import CODES
from skinvision_hf.models.modeling import EvaluationMode, SkinVisionForImageClassification
from skinvision_hf.records import Estimate

NORM_IMAGES = 64


def evaluate_explanations(
    model: SkinVisionForImageClassification,
    dataset: Dataset,
    *,
    split_scheme: str,
    split: str,
    limit: int = 0,
    road_images: int = ROAD_IMAGES,
    seed: int = 0,
) -> tuple[ExplanationReport, ScoredMaps]:
    """Measure the heat maps of a network against lesion masks, baselines, and networks with random weights.

    The network is handed back as it was. At most `limit` images of the split are drawn, all of them if it is 0, and of
    these `road_images`, on which faithfulness is measured.

    Returns:
        The report, and the scores of each image that it is made of.

    Raises:
        DataError: If there are no masks, or a number of images is not positive.
        ModelError: If the network has no feature maps to look at.
    """
    if limit < 0 or road_images < 1:
        raise DataError(f"{min(limit, road_images)} images are too few; use at least 1")
    chosen = _draw(dataset, limit, seed) if limit else np.arange(len(dataset))
    subset = dataset.select(chosen)
    with EvaluationMode(model):
        pixels = model.prepare(subset.select(_draw(subset, NORM_IMAGES, seed))["image"][:])
        others = {name: randomise(model, name, pixels, seed=seed) for name in RANDOMISATIONS}
        scored = score_dataset(model, subset, others=others, seed=seed)
        measured = subset.select(scored.rows)
        measured = measured.select(_draw(measured, road_images, seed))
        road = collect_faithfulness(model, measured, seed=seed)
    report = summarise(scored, road, road_lesions=measured["lesion_id"][:], split_scheme=split_scheme, split=split)
    return report, replace(scored, rows=chosen[scored.rows])


def summarise(
    scored: ScoredMaps, road: Mapping[str, np.ndarray], *, road_lesions: list[str], split_scheme: str, split: str
) -> ExplanationReport:
    """Estimate how good each kind of map is, from scores and, for the images of `road_lesions`, ROAD scores by name."""
    counts, road_counts = lesion_counts(scored.lesion_ids), lesion_counts(road_lesions)
    right = scored.predicted == scored.labels
    groups = {code: scored.labels == k for k, code in enumerate(CODES)}
    outcomes = {"correct": right, "incorrect": ~right}
    centre = scored.kinds.index(BASELINES[0])

    def estimates(row: int, among: np.ndarray | None = None) -> dict[str, Estimate]:
        columns = {"pointing_game": scored.pointing[row], "energy_inside": scored.energy[row]}
        if scored.kinds[row].map in CAM_METHODS:
            columns["corner"] = scored.corner[row]
        return {name: bootstrap(Mean(values, among), counts) for name, values in columns.items()}

    maps, pointing = [], scored.pointing.astype(float)
    for row, kind in enumerate(scored.kinds):
        over_centre = {
            "pointing_game": bootstrap(Mean(pointing[row] - pointing[centre]), counts),
            "energy_inside": bootstrap(Mean(scored.energy[row] - scored.energy[centre]), counts),
        }
        details: dict[str, Any] = {**estimates(row)}
        if kind.network in RANDOMISATIONS:
            details["rank_correlation"] = bootstrap(Mean(scored.similarity[row]), counts)
        else:
            over_centre["road"] = bootstrap(Mean(road[kind.map] - road[CENTRE]), road_counts)
            details["road"] = bootstrap(Mean(road[kind.map]), road_counts)
            details["per_class"] = {code: estimates(row, among) for code, among in groups.items()}
            details["by_outcome"] = {name: estimates(row, among) for name, among in outcomes.items()}
        maps.append(MapScores(map=kind.map, network=kind.network, over_centre=over_centre, **details))
    return ExplanationReport(
        split_scheme=split_scheme,
        split=split,
        images=len(scored.rows),
        lesions=len(set(scored.lesion_ids)),
        lesion_area=bootstrap(Mean(scored.area), counts),
        maps=tuple(maps),
    )


def randomise(
    model: SkinVisionForImageClassification, what: str, pixels: Tensor, *, seed: int = 0
) -> SkinVisionForImageClassification:
    """Copy a network with random weights, to see whether its heat maps change (Adebayo et al. 2018, arXiv:1810.03292).

    The weights of its `classifier` are random, or those of `all` layers. In the latter case, the statistics of batch
    norms come from normalised images (n, 3, height, width); without them the signal would vanish.
    """
    random = copy.deepcopy(model).eval()
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        if what == "classifier":
            random.timm_model.get_classifier().reset_parameters()
            return random
        for module in random.modules():
            if callable(reset := getattr(module, "reset_parameters", None)):
                reset()
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = None
        random.train()(pixels)
    return random.eval()


def _draw(dataset: Dataset, count: int, seed: int) -> np.ndarray:
    """Rows of at most `count` images, drawn at random, in ascending order."""
    return np.sort(np.random.default_rng(seed).permutation(len(dataset))[:count])
