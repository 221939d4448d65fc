"""Fits an OOD detector to a trained network: distances on training images, thresholds on validation images."""

import random

import numpy as np
from datasets import Dataset
from PIL import Image
from tqdm.auto import tqdm

from skinvision_hf.data.acquisition import Acquisition
from skinvision_hf.models.modeling import SkinVisionForImageClassification
from skinvision_hf.ood.detector import Mahalanobis, OODDetector
from skinvision_hf.ood.features import images_of, pooled_features
from skinvision_hf.ood.image_changes import ENCODINGS, Change

REFUSED_SHARE, UNUSUAL_SHARE = 0.02, 0.04
"""Largest shares of validation images that are refused, and that are answered with a notice."""

ACQUISITION = Acquisition(degrade=0.5, artifact=0.5, resample=Image.Resampling.BICUBIC)


def fit_detector(model: SkinVisionForImageClassification, train: Dataset, validation: Dataset) -> OODDetector:
    """Fit a detector on the features of the last stage but one, which still represent colours and textures.

    It learns from training images as they are and as another camera, program or dermatoscope may make them, with hairs,
    rulers, gel bubbles and pen marks. Its thresholds hold for validation images as they are, for such views, and
    for each of `ENCODINGS`, so that real images of every size and quality pass. Fitting again gives the same detector.
    """
    stages = len(model.stage_channels)
    stage = stages - 2 if stages > 1 else None

    def features_of(dataset: Dataset, change: Change | None, name: str) -> np.ndarray:
        images = images_of(dataset, change)
        bar = tqdm(images, desc=f"OOD detector: {name}", total=len(dataset), unit="image", leave=False)
        return pooled_features(model, bar, stage=stage)[0]

    views: dict[str, Change | None] = {"as they are": None, "views": _view}
    state = random.getstate()
    random.seed(0)  # acquisition draws from the module `random`
    fitted_on = [features_of(train, change, f"training images, {name}") for name, change in views.items()]
    distance = Mahalanobis.fit(np.concatenate(fitted_on), np.tile(train["label"][:], len(views)))
    conditions = [
        np.sort(distance.closeness(features_of(validation, change, f"validation images, {name}")))
        for name, change in (views | ENCODINGS).items()
    ]
    random.setstate(state)
    return with_thresholds(distance, conditions, stage=stage)


def with_thresholds(distance: Mahalanobis, conditions: list[np.ndarray], *, stage: int | None) -> OODDetector:
    """Choose both thresholds so that they hold for the closeness of validation images, ascending, in each condition."""
    levels = [
        min(closeness[int(share * len(closeness))] for closeness in conditions)
        for share in (REFUSED_SHARE, REFUSED_SHARE + UNUSUAL_SHARE)
    ]
    reference = np.sort(np.concatenate(conditions))
    refused, unusual = (np.searchsorted(reference, levels, side="right") / len(reference)).tolist()
    return OODDetector(distance, reference, refused=refused, unusual=unusual, stage=stage)


def _view(image: Image.Image) -> Image.Image:
    return ACQUISITION(image, (0, 0, *image.size), image.size)
