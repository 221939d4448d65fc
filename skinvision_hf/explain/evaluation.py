"""A network and two parts of a split to an `ExplanationReport`."""

from typing import NamedTuple

import numpy as np
import torch
from datasets import Dataset, DatasetDict

from skinvision_hf.data.images import to_rgb
from skinvision_hf.data.transforms import eval_transform
from skinvision_hf.errors import DataError
from skinvision_hf.evaluation.bootstrap import Estimate, Mean, bootstrap, lesion_weights
from skinvision_hf.explain.collecting import Collected, Kind, collect_scores
from skinvision_hf.explain.controls import CENTRE, RANDOMISATIONS, randomise
from skinvision_hf.explain.faithfulness import collect_faithfulness
from skinvision_hf.explain.localisation import best_level, summarise
from skinvision_hf.explain.report import ExplanationReport, PartScores, favourite, mean_ranks
from skinvision_hf.models.evaluation_mode import EvaluationMode
from skinvision_hf.models.modeling import SkinVisionForImageClassification

__all__ = ["ROAD_IMAGES", "draw_parts", "evaluate_explanations"]

ROAD_IMAGES = 64
"""Images of each part on which faithfulness is measured; each of them takes seconds."""

NORM_IMAGES = 64


def draw_parts(data: DatasetDict, count: int, *, seed: int = 0) -> DatasetDict:
    """Draw at most so many images of each part by lot, for trial runs.

    Raises:
        DataError: If the count is below 1.
    """
    _check(count)
    return DatasetDict({name: _draw(split, count, seed) for name, split in data.items()})


def evaluate_explanations(
    model: SkinVisionForImageClassification,
    data: DatasetDict,
    *,
    split_scheme: str,
    road_images: int = ROAD_IMAGES,
    seed: int = 0,
) -> tuple[ExplanationReport, Collected]:
    """Measure the heat maps of a network against masks, against controls, and against the network itself.

    Args:
        model: The network; it is handed back as it was.
        data: The three parts, with the column `mask`.
        split: Name of the split.
        road_images: Images, drawn by lot, of validation and of test on which faithfulness is measured.
        seed: Seed of everything that is drawn.

    Returns:
        The report, and what it is made of: the scores of each test image.

    Raises:
        DataError: If there are no masks, or `road_images` is below 1.
        ModelError: If the network has no feature maps to look at.
    """
    _check(road_images)
    with EvaluationMode(model):
        pixels = _pixels(model, _draw(data["train"], NORM_IMAGES, seed))
        others = {name: randomise(model, name, pixels, seed=seed) for name in RANDOMISATIONS}
        splits = {
            name: collect_scores(model, data[name], others=others, description=f"explain {name}", seed=seed)
            for name in ("validation", "test")
        }
        roads = {
            name: _road(model, data[name].select(split.rows), road_images, name, seed) for name, split in splits.items()
        }
    tuning = splits["validation"]
    levels = {kind: best_level(tuning.scores, row) for row, kind in enumerate(tuning.kinds)}
    scores = {name: _scores(split, len(data[name]), levels, roads[name]) for name, split in splits.items()}
    ranks = mean_ranks(scores["validation"])
    report = ExplanationReport(
        split_scheme=split_scheme,
        validation=scores["validation"],
        test=scores["test"],
        ranks=ranks,
        favourite=favourite(ranks),
    )
    return report, splits["test"]


def _scores(collected: Collected, images: int, levels: dict[Kind, int], road: "_Road") -> PartScores:
    weights = lesion_weights(collected.lesion_ids)
    return PartScores(
        images=len(collected.rows),
        lesions=len(set(collected.lesion_ids)),
        left_out=images - len(collected.rows),
        lesion_area=bootstrap(Mean(collected.scores.area[0]), weights),
        localisation=summarise(collected, levels, weights),
        similarity={kind: bootstrap(Mean(values), weights) for kind, values in collected.similarity.items()},
        road=road.score,
        road_over_centre=road.over_centre,
    )


class _Road(NamedTuple):
    """Faithfulness, and how much larger it is than the centre prior's, by method and control."""

    score: dict[str, Estimate]
    over_centre: dict[str, Estimate]


def _road(model: SkinVisionForImageClassification, dataset: Dataset, count: int, split: str, seed: int) -> _Road:
    drawn = _draw(dataset, count, seed)
    weights = lesion_weights(drawn["lesion_id"][:])
    scores = collect_faithfulness(model, drawn, description=f"ROAD {split}", seed=seed)
    return _Road(
        {name: bootstrap(Mean(values), weights) for name, values in scores.items()},
        {name: bootstrap(Mean(values - scores[CENTRE]), weights) for name, values in scores.items()},
    )


def _check(count: int) -> None:
    if count < 1:
        raise DataError(f"{count} images are too few to measure anything; ask for at least 1")


def _draw(dataset: Dataset, count: int, seed: int) -> Dataset:
    """At most so many images, drawn by lot, in their order."""
    return dataset.select(np.sort(np.random.default_rng(seed).permutation(len(dataset))[:count]))


def _pixels(model: SkinVisionForImageClassification, dataset: Dataset) -> torch.Tensor:
    transform = eval_transform(model.config.pretrained_cfg)
    images = [transform(to_rgb(image)) for image in dataset.select_columns(["image"])["image"]]
    return torch.stack(images).to(next(model.parameters()).device)
