"""One pass over a split: every kind of heat map for each image, and where its heat lies beside the lesion mask."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from datasets import Dataset
from PIL import Image
from scipy.stats import rankdata
from torch import Tensor
from tqdm.auto import tqdm

from skinvision_hf.config import CAM_METHODS
from skinvision_hf.data.transforms import crop_box
from skinvision_hf.errors import DataError
from skinvision_hf.explain.cam import heat_maps
from skinvision_hf.explain.explanation_report import CENTRE, NO_NETWORK, NOISE, TRAINED
from skinvision_hf.explain.placement import place_maps
from skinvision_hf.models.modeling import SkinVisionForImageClassification

BATCH_SIZE = 32


class Kind(NamedTuple):
    """A kind of heat map: a method, and the network that it looks into."""

    map: str
    network: str = TRAINED


BASELINES = (Kind(CENTRE, NO_NETWORK), Kind(NOISE, NO_NETWORK))
"""Maps that look into no network."""

SPREAD = 0.25
"""Standard deviation of the centre-bias baseline, as a share of the image's sides."""


@dataclass(frozen=True, eq=False)
class ScoredMaps:
    """Scores of k kinds of heat map on the n images whose lesion mask has an inside and an outside.

    Attributes:
        kinds: Every method on every network, then the baselines.
        pointing: Whether the hottest pixel lies on the lesion (k, n); never in a map of zeros.
        energy: Share of the heat that lies on the lesion (k, n); none of it in a map of zeros.
        corner: Whether the hottest cell of the network's own map is in a corner (k - 2, n); baselines have no cells.
        similarity: Spearman's correlation with the map of the same method on the trained network (k - 2, n).
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
    similarity: np.ndarray
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

    The network is in evaluation mode; `others` are networks by name that are explained on the same images and for the
    same diagnoses; `seed` is that of the noise. DataError is raised if there is no usable mask.
    """
    if "mask" not in dataset.column_names:
        remedy = "use HAM10000 with its folder HAM10000_segmentations_lesion_tschandl"
        raise DataError(f"these images have no masks; {remedy}")
    lesions = (_lesion(record["mask"]) for record in dataset.select_columns(["mask"]))
    rows = [row for row, lesion in enumerate(lesions) if lesion.any() and not lesion.all()]
    if not rows:
        raise DataError("no image has a mask with a lesion on it; check the folder with the masks")
    networks, generator = {TRAINED: model, **(others or {})}, np.random.default_rng(seed)
    usable, parts = dataset.select(rows), []
    for start in tqdm(range(0, len(rows), BATCH_SIZE), desc="heat maps", unit="batch"):
        batch = usable[start : start + BATCH_SIZE]
        parts.append(_score_batch(networks, batch["image"], [_lesion(mask) for mask in batch["mask"]], generator))
    scores = {name: np.concatenate([part[name] for part in parts], axis=-1) for name in parts[0]}
    return ScoredMaps(
        kinds=(*(Kind(method, name) for name in networks for method in CAM_METHODS), *BASELINES),
        **scores,
        labels=np.array(usable["label"][:]),
        lesion_ids=tuple(usable["lesion_id"][:]),
        rows=np.array(rows),
    )


def _lesion(mask: Image.Image) -> np.ndarray:
    return np.asarray(mask.convert("L")) > 127


def _score_batch(
    networks: Mapping[str, SkinVisionForImageClassification],
    images: Sequence[Image.Image],
    lesions: Sequence[np.ndarray],
    generator: np.random.Generator,
) -> dict[str, np.ndarray]:
    """The arrays of `ScoredMaps` that are computed from images and lesions, for one batch."""
    model = networks[TRAINED]
    cfg, centres = model.config.pretrained_cfg, model.cell_centres
    targets, maps = explain_batch(networks, model.prepare(images))
    noise = generator.random(maps[Kind(CAM_METHODS[0])].shape, dtype=np.float32)  # as coarse as the heat maps
    scores = []
    for heat, image, lesion in zip(np.stack([*maps.values(), noise], axis=1), images, lesions, strict=True):
        size = lesion.shape[::-1]
        placed = place_maps(heat, crop_box(cfg, image.size), image.size, target=size, centres=centres)
        scores.append([score_map(one, lesion) for one in (*placed[:-1], centre_prior(size), placed[-1])])
    pointing, energy = np.array(scores).transpose(2, 1, 0)
    return {
        "pointing": pointing.astype(bool),
        "energy": energy,
        "corner": np.stack([_hottest_in_corner(heat) for heat in maps.values()]),
        "similarity": np.stack([rank_correlation(maps[Kind(kind.map)], heat) for kind, heat in maps.items()]),
        "area": np.array([lesion.mean() for lesion in lesions]),
        "predicted": np.array(targets),
    }


def centre_prior(size: tuple[int, int]) -> np.ndarray:
    """The centre-bias baseline for an image of this width and height: a map (height, width) float32 in [0, 1].

    It is a Gaussian in the middle, the same for every image, since photographers centre lesions.
    """
    across, down = (np.exp(-((((np.arange(n) + 0.5) / n - 0.5) / SPREAD) ** 2) / 2) for n in size)
    return np.outer(down, across).astype(np.float32)


def explain_batch(
    networks: Mapping[str, SkinVisionForImageClassification], pixels: Tensor
) -> tuple[list[int], dict[Kind, np.ndarray]]:
    """Explain normalised images (n, 3, height, width) in every way; each network, by its name, sees them once.

    Returns:
        The classes that the first network predicts, which all explain, and the heat maps (n, h, w) by kind.
    """
    targets: Sequence[int] = []
    maps: dict[Kind, np.ndarray] = {}
    for name, model in networks.items():
        network = model.timm_model
        with torch.inference_mode():
            features = network.forward_features(pixels.contiguous(memory_format=torch.channels_last))
            targets = targets or network.forward_head(features).argmax(dim=1).tolist()
        maps |= {Kind(method, name): heat_maps(network, features, targets, method) for method in CAM_METHODS}
    return list(targets), maps


def score_map(heat: np.ndarray, lesion: np.ndarray) -> tuple[bool, float]:
    """Tell whether the hottest pixel lies on the lesion, and which share of the heat does; both are (height, width)."""
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
