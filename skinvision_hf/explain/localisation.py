"""One pass over a split: every kind of heat map for each image, and where its heat lies beside the lesion mask."""

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
from skinvision_hf.explain.baselines import centre_prior, noise_maps
from skinvision_hf.explain.cam import heat_maps
from skinvision_hf.explain.cells import cell_centres
from skinvision_hf.explain.explanation_report import CENTRE, NO_NETWORK, NOISE, TRAINED
from skinvision_hf.explain.placement import place_maps
from skinvision_hf.models.modeling import SkinVisionForImageClassification

__all__ = ["Kind", "ScoredMaps", "baseline", "explain_batch", "rank_correlation", "score_dataset", "score_map"]

BATCH_SIZE = 32


class Kind(NamedTuple):
    """A kind of heat map: a method, and the network that it looks into."""

    map: str
    network: str = TRAINED


def baseline(name: str) -> Kind:
    """A map that looks into no network; see `skinvision_hf.explain.baselines`."""
    return Kind(name, NO_NETWORK)


@dataclass(frozen=True, eq=False)
class ScoredMaps:
    """Scores of k kinds of heat map on the n images whose lesion mask has an inside and an outside.

    Attributes:
        kinds: Every method on every network, then the baselines.
        pointing: Whether the hottest pixel lies on the lesion (k, n); never in a map of zeros.
        energy: Share of the heat that lies on the lesion (k, n); none of it in a map of zeros.
        corner: Whether the hottest cell of the network's own map is in a corner (k, n); False for baselines.
        similarity: Spearman's correlation of a map with the one of the same method on the trained network, (n,), for
            each kind on another network.
        area: Share of the image that the lesion fills (n,).
        labels: True class of each image (n,).
        predicted: Class that the trained network predicts (n,), which is the one that is explained.
        lesion_ids: Lesion of each image.
        rows: Row of each image in the data set.
    """

    kinds: tuple[Kind, ...]
    pointing: np.ndarray
    energy: np.ndarray
    corner: np.ndarray
    similarity: Mapping[Kind, np.ndarray]
    area: np.ndarray
    labels: np.ndarray
    predicted: np.ndarray
    lesion_ids: tuple[str, ...]
    rows: np.ndarray


def score_dataset(
    model: SkinVisionForImageClassification,
    dataset: Dataset,
    *,
    others: Mapping[str, SkinVisionForImageClassification] | None = None,
    seed: int = 0,
) -> ScoredMaps:
    """Explain the predicted diagnosis of every image in every way, and score the maps against the masks.

    Args:
        model: The network, in evaluation mode.
        dataset: A split with the columns image, mask, label and lesion_id.
        others: Networks by name that are explained on the same images and for the same diagnoses.
        seed: Seed of the noise.

    Raises:
        DataError: If there is no usable mask.
    """
    if "mask" not in dataset.column_names:
        raise DataError(
            "these images have no masks; use HAM10000 with its folder HAM10000_segmentations_lesion_tschandl"
        )
    networks, generator = {TRAINED: model, **(others or {})}, np.random.default_rng(seed)
    columns = dataset["label"][:], dataset["lesion_id"][:]
    parts = []
    with tqdm(total=len(dataset), desc="heat maps", unit="image") as bar:
        for batch in _batches(dataset, model.config.pretrained_cfg):
            parts.append(_score_batch(networks, batch, *columns, generator))
            bar.update(batch.seen)
    if not parts:
        raise DataError("no image has a mask with a lesion on it; check the folder with the masks")
    return _join(parts)


def _score_batch(
    networks: Mapping[str, SkinVisionForImageClassification],
    batch: "_Batch",
    labels: Sequence[int],
    lesion_ids: Sequence[str],
    generator: np.random.Generator,
) -> ScoredMaps:
    model = networks[TRAINED]
    cfg, centres = model.config.pretrained_cfg, cell_centres(model)
    targets, maps = explain_batch(networks, batch.pixels)
    looking = tuple(maps)
    coarse = np.stack([*maps.values(), noise_maps(len(targets), maps[looking[0]].shape[1:], generator)], axis=1)
    scores = []
    for heat, size, lesion in zip(coarse, batch.sizes, batch.lesions, strict=True):
        target = lesion.shape[::-1]
        placed = place_maps(heat, crop_box(cfg, size), size, target=target, centres=centres)
        scores.append([score_map(one, lesion) for one in (*placed[:-1], centre_prior(target), placed[-1])])
    pointing, energy = np.array(scores).transpose(2, 1, 0)
    corner = [_hottest_in_corner(heat) for heat in maps.values()]
    return ScoredMaps(
        kinds=(*looking, baseline(CENTRE), baseline(NOISE)),
        pointing=pointing.astype(bool),
        energy=energy,
        corner=np.stack([*corner, *[np.zeros(len(targets), bool)] * 2]),
        similarity={
            kind: rank_correlation(maps[Kind(kind.map)], heat) for kind, heat in maps.items() if kind.network != TRAINED
        },
        area=np.array([lesion.mean() for lesion in batch.lesions]),
        labels=np.array([labels[row] for row in batch.rows]),
        predicted=np.array(targets),
        lesion_ids=tuple(lesion_ids[row] for row in batch.rows),
        rows=np.array(batch.rows),
    )


def _join(parts: Sequence[ScoredMaps]) -> ScoredMaps:
    """Put the scores of several batches one after the other; images are the last dimension of every array."""
    arrays = ("pointing", "energy", "corner", "area", "labels", "predicted", "rows")
    joined = {name: np.concatenate([getattr(part, name) for part in parts], axis=-1) for name in arrays}
    return ScoredMaps(
        kinds=parts[0].kinds,
        similarity={k: np.concatenate([part.similarity[k] for part in parts]) for k in parts[0].similarity},
        lesion_ids=tuple(name for part in parts for name in part.lesion_ids),
        **joined,
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


def score_map(heat: np.ndarray, lesion: np.ndarray) -> tuple[bool, float]:
    """Tell whether the hottest pixel lies on the lesion, and which share of the heat does.

    Args:
        heat: (height, width) in [0, 1].
        lesion: Whether a pixel lies on the lesion (height, width), bool.
    """
    total = float(heat.sum(dtype=np.float64))
    if total == 0:
        return False, 0.0
    return bool(lesion.flat[heat.argmax()]), float(heat[lesion].sum(dtype=np.float64)) / total


def rank_correlation(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Spearman's correlation of maps (n, h, w), cell by cell; 0 where one of them has no contrast."""
    a, b = (rankdata(maps.reshape(len(maps), -1), axis=1) for maps in (first, second))
    a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    norm = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    return (a * b).sum(axis=1) / np.where(norm == 0, 1, norm)


def _hottest_in_corner(maps: np.ndarray) -> np.ndarray:
    """Whether the hottest cell of each map (n, h, w) is in a corner; never in a map of zeros."""
    height, width = maps.shape[1:]
    hottest = maps.reshape(len(maps), -1).argmax(axis=1)
    return np.isin(hottest, (0, width - 1, (height - 1) * width, height * width - 1)) & maps.any(axis=(1, 2))


@dataclass(frozen=True, eq=False)
class _Batch:
    """Normalised pixels, and row, size and lesion of each image with a lesion; how many rows were read for them."""

    pixels: Tensor
    rows: list[int]
    sizes: list[tuple[int, int]]
    lesions: list[np.ndarray]
    seen: int


def _batches(dataset: Dataset, cfg: dict[str, Any]) -> Iterator[_Batch]:
    transform, view = eval_transform(cfg), dataset.select_columns(["image", "mask"])
    for start in range(0, len(view), BATCH_SIZE):
        pixels, rows, sizes, lesions = [], [], [], []
        end = min(start + BATCH_SIZE, len(view))
        for row in range(start, end):
            record = view[row]
            lesion = np.asarray(record["mask"].convert("L")) > 127
            if lesion.any() and not lesion.all():
                pixels.append(transform(to_rgb(record["image"])))
                rows.append(row)
                sizes.append(record["image"].size)
                lesions.append(lesion)
        if rows:
            yield _Batch(torch.stack(pixels), rows, sizes, lesions, end - start)
