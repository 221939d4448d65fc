"""One pass over a split: the network, every kind of heat map, and the scores of each."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from scipy.stats import rankdata
from torch import Tensor
from tqdm.auto import tqdm

from skinvision_hf.config import CAM_METHODS
from skinvision_hf.errors import DataError
from skinvision_hf.explain.cam import heat_maps
from skinvision_hf.explain.controls import CONTROLS, centre_prior, noise_maps
from skinvision_hf.explain.geometry import place_maps
from skinvision_hf.explain.scores import LocalisationScores, score_maps
from skinvision_hf.modeling import SkinVisionForImageClassification
from skinvision_hf.transforms import crop_box, eval_transform

__all__ = ["Collected", "collect_scores"]

BATCH_SIZE = 32


@dataclass(frozen=True, eq=False)
class Collected:
    """What a pass over a part of a split found out, for the n images whose mask has an inside and an outside.

    Attributes:
        kinds: Name of each kind of heat map: a method, a control, or `method of NAME` for the other network NAME.
        scores: Scores (kinds, n).
        similarity: Rank correlation of a method's map with the one it makes on another network, (n,), by kind.
        labels: True class of each image (n,).
        predicted: Predicted class (n,), which is also the one that was explained.
        lesion_ids: Lesion of each image.
        rows: Row of each image in the data set.
    """

    kinds: tuple[str, ...]
    scores: LocalisationScores
    similarity: Mapping[str, np.ndarray]
    labels: np.ndarray
    predicted: np.ndarray
    lesion_ids: tuple[str, ...]
    rows: np.ndarray


def collect_scores(
    model: SkinVisionForImageClassification,
    dataset: Dataset,
    *,
    others: Mapping[str, SkinVisionForImageClassification] | None = None,
    description: str = "explain",
    seed: int = 0,
) -> Collected:
    """Explain the predicted diagnosis of every image of a split in every way, and score the maps against the masks.

    Args:
        model: The network, in evaluation mode.
        dataset: A split with the columns image, mask, label and lesion_id.
        others: Networks by name that are explained on the same images and for the same diagnoses.
        description: What the progress bar says.
        seed: Seed of the noise.

    Raises:
        DataError: If there is no usable mask.
    """
    if "mask" not in dataset.column_names:
        raise DataError(
            "these images have no masks; use HAM10000 with its folder HAM10000_segmentations_lesion_tschandl"
        )
    others = others or {}
    networks = {"": model, **others}
    kinds = (*CAM_METHODS, *CONTROLS, *(f"{m} of {name}" for name in others for m in CAM_METHODS))
    cfg, generator = model.config.pretrained_cfg, np.random.default_rng(seed)
    scores: list[LocalisationScores] = []
    similarity: dict[str, list[np.ndarray]] = {f"{m} of {name}": [] for name in others for m in CAM_METHODS}
    predicted: list[int] = []
    rows: list[int] = []
    for batch in tqdm(_batches(dataset, cfg), desc=description, unit="batch", total=-(-len(dataset) // BATCH_SIZE)):
        targets, maps = _explain_all(networks, batch.pixels)
        for kind in similarity:
            similarity[kind].append(_rank_correlation(maps[kind.split(" of ")[0]], maps[kind]))
        maps["noise"] = noise_maps(len(targets), next(iter(maps.values())).shape[1:], generator)
        for n, (row, size, lesion) in enumerate(zip(batch.rows, batch.sizes, batch.lesions, strict=True)):
            target_size = lesion.shape[1], lesion.shape[0]
            coarse = np.stack([maps[kind][n] for kind in kinds if kind != "centre"])
            placed = place_maps(coarse, crop_box(cfg, size), size, target=target_size)
            placed = np.insert(placed, kinds.index("centre"), centre_prior(target_size), axis=0)
            scores.append(score_maps(placed, lesion))
            rows.append(row)
            predicted.append(targets[n])
    if not rows:
        raise DataError("no image has a mask with a lesion on it; check the folder with the masks")
    labels, lesion_ids = dataset["label"][:], dataset["lesion_id"][:]
    return Collected(
        kinds=kinds,
        scores=LocalisationScores.stack(scores),
        similarity={kind: np.concatenate(values) for kind, values in similarity.items()},
        labels=np.array([labels[row] for row in rows]),
        predicted=np.array(predicted),
        lesion_ids=tuple(lesion_ids[row] for row in rows),
        rows=np.array(rows),
    )


@dataclass(frozen=True, eq=False)
class _Batch:
    """Normalised pixels, and row, size and lesion of each image."""

    pixels: Tensor
    rows: list[int]
    sizes: list[tuple[int, int]]
    lesions: list[np.ndarray]


def _batches(dataset: Dataset, cfg: dict[str, Any]) -> Iterator[_Batch]:
    transform, view = eval_transform(cfg), dataset.select_columns(["image", "mask"])
    for start in range(0, len(view), BATCH_SIZE):
        pixels, rows, sizes, lesions = [], [], [], []
        for row in range(start, min(start + BATCH_SIZE, len(view))):
            record = view[row]
            lesion = np.asarray(record["mask"].convert("L")) > 127
            if lesion.any() and not lesion.all():
                pixels.append(transform(record["image"].convert("RGB")))
                rows.append(row)
                sizes.append(record["image"].size)
                lesions.append(lesion)
        if rows:
            yield _Batch(torch.stack(pixels), rows, sizes, lesions)


def _explain_all(
    networks: Mapping[str, SkinVisionForImageClassification], pixels: Tensor
) -> tuple[list[int], dict[str, np.ndarray]]:
    """The classes that the first network predicts, and the maps of all networks for them, by kind."""
    targets: Sequence[int] = []
    maps: dict[str, np.ndarray] = {}
    for name, model in networks.items():
        network = model.timm_model
        with torch.inference_mode():
            device = next(network.parameters()).device
            features = network.forward_features(pixels.to(device).contiguous(memory_format=torch.channels_last))
            targets = targets or network.forward_head(features).argmax(dim=1).tolist()
        for method in CAM_METHODS:
            maps[f"{method} of {name}" if name else method] = heat_maps(network, features, targets, method)
    return list(targets), maps


def _rank_correlation(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Spearman's correlation of maps (n, h, w), cell by cell; 0 where one of them has no contrast."""
    a, b = (rankdata(maps.reshape(len(maps), -1), axis=1) for maps in (first, second))
    a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    norm = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    return (a * b).sum(axis=1) / np.where(norm == 0, 1, norm)
