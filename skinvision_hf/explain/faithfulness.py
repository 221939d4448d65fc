"""Whether the answer of the network depends on the pixels that a heat map marks as important."""

from collections.abc import Sequence

import numpy as np
import torch
from datasets import Dataset
from pytorch_grad_cam.metrics.road import ROADCombined
from pytorch_grad_cam.utils.model_targets import ClassifierOutputSoftmaxTarget
from torch import Tensor
from tqdm.auto import tqdm

from skinvision_hf.explain.explanation_report import CENTRE, NOISE, TRAINED
from skinvision_hf.explain.localisation import centre_prior, explain_batch
from skinvision_hf.explain.placement import place_maps
from skinvision_hf.models.modeling import SkinVisionForImageClassification

KEPT_PERCENTAGES = (50, 70, 90)
"""Shares of the pixels that stay, in percent, over which the score is averaged."""

BATCH_SIZE = 8


def collect_faithfulness(
    model: SkinVisionForImageClassification, dataset: Dataset, *, seed: int = 0
) -> dict[str, np.ndarray]:
    """ROAD scores (n,) of the predicted diagnosis by method and by baseline; see `road_scores`.

    The network is in evaluation mode; each image takes seconds.
    """
    generator, centres = np.random.default_rng(seed), model.cell_centres
    view = dataset.select_columns(["image"])
    scores: dict[str, list[np.ndarray]] = {}
    for start in tqdm(range(0, len(view), BATCH_SIZE), desc="ROAD", unit="batch"):
        images = view[start : start + BATCH_SIZE]["image"]
        pixels = model.prepare(images)
        targets, by_kind = explain_batch({TRAINED: model}, pixels)
        size = pixels.shape[3], pixels.shape[2]
        coarse = {kind.map: maps for kind, maps in by_kind.items()}
        coarse[NOISE] = generator.random(coarse["gradcam"].shape, dtype=np.float32)
        box = (0, 0, *size)
        maps = {name: place_maps(heat, box, size, target=size, centres=centres) for name, heat in coarse.items()}
        maps[CENTRE] = np.stack([centre_prior(size)] * len(images))
        for name, heat in maps.items():
            # Grad-CAM and HiResCAM are the same map behind a pooled linear classifier.
            if name == "hirescam" and np.allclose(heat, maps["gradcam"], atol=1e-4):
                measured = scores["gradcam"][-1]
            else:
                measured = road_scores(model.timm_model, pixels, heat, targets, seed=seed + start)
            scores.setdefault(name, []).append(measured)
    return {name: np.concatenate(values) for name, values in scores.items()}


def road_scores(
    network: torch.nn.Module, pixels: Tensor, maps: np.ndarray, targets: Sequence[int], *, seed: int = 0
) -> np.ndarray:
    """Remove the most and the least important pixels and compare (ROAD, Rong et al. 2022, arXiv:2202.00449).

    Removed pixels of the normalised images (n, 3, height, width) are filled in from their neighbours, so that the timm
    network, in evaluation mode, sees no gaps. Of the maps (n, height, width), only the order of the pixels counts;
    `seed` is that of the noise in what is filled in, and of the order of equally hot pixels.

    Returns:
        Half the difference in the lost probability of the targets (n,) between removing the most and the least
        important pixels, in [-0.5, 0.5]; about 0 for noise.
    """
    generator = np.random.default_rng(seed)
    ranks = np.stack([_ranks(heat, generator) for heat in maps])
    watched = [ClassifierOutputSoftmaxTarget(k) for k in targets]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return ROADCombined(KEPT_PERCENTAGES)(pixels, ranks, watched, network)


def _ranks(heat: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Every pixel's place in the order of heat, in (0, 1].

    Heat maps hold many exact zeros, and a share of pixels cannot be cut off among equals.
    """
    order = np.lexsort((generator.random(heat.size), heat.ravel()))
    ranks = np.empty(heat.size, np.float32)
    ranks[order] = np.arange(1, heat.size + 1, dtype=np.float32) / heat.size
    return ranks.reshape(heat.shape)
