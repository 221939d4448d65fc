"""One pass over a part of a split: the network, every kind of heat map, and the scores of each."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from datasets import Dataset
from scipy.stats import rankdata
from torch import Tensor
from tqdm.auto import tqdm

from skinvision_hf.config import CAM_METHODS
from skinvision_hf.data.images import to_rgb
from skinvision_hf.data.transforms import crop_box, eval_transform
from skinvision_hf.errors import DataError
from skinvision_hf.explain.cam import heat_maps
from skinvision_hf.explain.cells import cell_centres
from skinvision_hf.explain.controls import CONTROLS, NOISE, centre_prior, noise_maps
from skinvision_hf.explain.geometry import place_maps, relative
from skinvision_hf.explain.scores import LocalisationScores, score_maps
from skinvision_hf.models.modeling import SkinVisionForImageClassification

__all__ = [
    "NO_NETWORK",
    "STRETCHED",
    "TRAINED",
    "Collected",
    "Kind",
    "collect_scores",
    "control",
    "explain_batch",
    "rank_correlation",
]

BATCH_SIZE = 32
TRAINED, STRETCHED, NO_NETWORK = "trained", "trained, stretched", "none"


class Kind(NamedTuple):
    """A kind of heat map: a method, and the weights of the network that it looks into.

    Maps are laid where their cells look; only those that are `STRETCHED` share the image evenly, as is usual elsewhere.
    """

    map: str
    network: str = TRAINED


def control(name: str) -> Kind:
    """A map that looks into no network; see `skinvision_hf.explain.controls`."""
    return Kind(name, NO_NETWORK)


@dataclass(frozen=True, eq=False)
class Collected:
    """What a pass over a part of a split found out, for the n images whose mask has an inside and an outside.

    Attributes:
        kinds: Every method on every network, and the controls.
        scores: Scores (kinds, n).
        similarity: Spearman's correlation of a map with the one of the same method on the trained network, (n,), for
            each kind on another network.
        labels: True class of each image (n,).
        predicted: Class that the trained network predicts (n,), which is also the one that was explained.
        lesion_ids: Lesion of each image.
        rows: Row of each image in the data set.
    """

    kinds: tuple[Kind, ...]
    scores: LocalisationScores
    similarity: Mapping[Kind, np.ndarray]
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
    networks = {TRAINED: model, **(others or {})}
    looking = tuple(Kind(method, name) for name in networks for method in CAM_METHODS)
    count = len(CAM_METHODS)
    stretched_kinds = (Kind(method, STRETCHED) for method in CAM_METHODS)
    kinds = (*looking[:count], *stretched_kinds, *looking[count:], *map(control, CONTROLS))
    cfg, centres, generator = model.config.pretrained_cfg, cell_centres(model), np.random.default_rng(seed)
    scores: list[LocalisationScores] = []
    similarity: dict[Kind, list[np.ndarray]] = {kind: [] for kind in kinds if kind.network in (others or {})}
    predicted: list[int] = []
    rows: list[int] = []
    for batch in tqdm(_batches(dataset, cfg), desc=description, unit="batch", total=-(-len(dataset) // BATCH_SIZE)):
        targets, maps = explain_batch(networks, batch.pixels)
        for kind, values in similarity.items():
            values.append(rank_correlation(maps[Kind(kind.map)], maps[kind]))
        maps[control(NOISE)] = noise_maps(len(targets), maps[kinds[0]].shape[1:], generator)
        for n, (size, lesion) in enumerate(zip(batch.sizes, batch.lesions, strict=True)):
            target, box = lesion.shape[::-1], crop_box(cfg, size)
            coarse = np.stack([maps[kind][n] for kind in (*looking, control(NOISE))])
            placed = relative(place_maps(coarse, box, size, target=target, centres=centres))
            stretched = relative(place_maps(coarse[:count], box, size, target=target))
            heat = [*placed[:count], *stretched, *placed[count:-1], centre_prior(target), placed[-1]]
            scores.append(score_maps(np.stack(heat), lesion))
        rows += batch.rows
        predicted += targets
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


def explain_batch(
    networks: Mapping[str, SkinVisionForImageClassification], pixels: Tensor
) -> tuple[list[int], dict[Kind, np.ndarray]]:
    """Explain images in every way; each network sees them once.

    Args:
        networks: By name; the first one predicts what all of them explain.
        pixels: Normalised images (n, 3, height, width).

    Returns:
        The predicted classes, and the heat maps (n, h, w) by kind.
    """
    targets: Sequence[int] = []
    maps: dict[Kind, np.ndarray] = {}
    for name, model in networks.items():
        network = model.timm_model
        with torch.inference_mode():
            device = next(network.parameters()).device
            features = network.forward_features(pixels.to(device).contiguous(memory_format=torch.channels_last))
            targets = targets or network.forward_head(features).argmax(dim=1).tolist()
        maps |= {Kind(method, name): heat_maps(network, features, targets, method) for method in CAM_METHODS}
    return list(targets), maps


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
                pixels.append(transform(to_rgb(record["image"])))
                rows.append(row)
                sizes.append(record["image"].size)
                lesions.append(lesion)
        if rows:
            yield _Batch(torch.stack(pixels), rows, sizes, lesions)


def rank_correlation(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Spearman's correlation of maps (n, h, w), cell by cell; 0 where one of them has no contrast."""
    a, b = (rankdata(maps.reshape(len(maps), -1), axis=1) for maps in (first, second))
    a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    norm = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    return (a * b).sum(axis=1) / np.where(norm == 0, 1, norm)
