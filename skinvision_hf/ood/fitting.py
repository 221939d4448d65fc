"""Fit every detector on training images, compare them on validation images, and keep the simplest that wins."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from PIL import Image
from torch import Tensor

from skinvision_hf.data.images import to_rgb
from skinvision_hf.evaluation.bootstrap import Estimate, Mean, bootstrap, lesion_weights
from skinvision_hf.evaluation.metrics import area_under_roc
from skinvision_hf.models.modeling import SkinVisionForImageClassification
from skinvision_hf.ood.detectors import DETECTORS, TrainingFeatures, detector_name
from skinvision_hf.ood.features import images_of, layer_features
from skinvision_hf.ood.inputs import SELECTION, far_images
from skinvision_hf.ood.shifts import shift_image
from skinvision_hf.ood.stages import stage_channels
from skinvision_hf.ood.typicality import REJECTED_SHARE, FeatureGuard

__all__ = ["Separation", "compare_detectors", "fit_guard", "measure_separation", "with_artefacts"]

FAR_COUNT = 40
TOLERANCE = 0.001
"""A simpler detector wins against a better one whose AUROC is higher by no more than this."""
ARTEFACTS = ("hair", "ruler marks")
"""What photographs of lesions may show beside the lesion, drawn on every second image that a guard is fitted on."""
ARTEFACT_SEVERITIES = (1, 2, 3)
TRAINING_SEED, VALIDATION_SEED = 1_000_000, 2_000_000
"""First seeds of the drawings; the report on test images draws others."""


@dataclass(frozen=True)
class Separation:
    """How well scores tell lesions from other pictures.

    Attributes:
        auroc: Probability that a lesion scores higher than another picture.
        fpr95: Share of other pictures that score like lesions when 95 % of lesions are kept.
    """

    auroc: Estimate
    fpr95: Estimate

    def to_dict(self) -> dict[str, Any]:
        """Return all attributes as a dictionary that JSON can hold."""
        return asdict(self)


def measure_separation(lesions: np.ndarray, others: np.ndarray, groups: list[str], weights: np.ndarray) -> Separation:
    """Compare scores of lesions with scores of other pictures.

    Args:
        lesions: Scores (n,); higher is more typical.
        others: Scores (m,).
        groups: Source of each other picture (m,); those of one source are drawn together.
        weights: Resamples of the lesions (R, n).
    """
    far_weights = lesion_weights(groups, resamples=len(weights), seed=1)
    positive = np.arange(len(lesions) + len(others)) < len(lesions)
    auroc = bootstrap(area_under_roc(np.concatenate([lesions, others]), positive), np.hstack([weights, far_weights]))
    accepted = others >= np.quantile(lesions, REJECTED_SHARE)
    return Separation(Estimate(auroc.value, auroc.low, auroc.high, len(others)), bootstrap(Mean(accepted), far_weights))


def compare_detectors(
    training: TrainingFeatures,
    validation: Tensor,
    far: Tensor,
    *,
    lesion_ids: list[str],
    sources: list[str],
    stages: Mapping[int, tuple[Tensor, Tensor, Tensor]] | None = None,
) -> tuple[FeatureGuard, dict[str, Separation]]:
    """Fit all detectors and choose one.

    Args:
        training: What they are fitted on.
        validation: Features of validation images (n, d), 95 % of which the guard is to keep.
        far: Features of pictures that are no lesions (m, d).
        lesion_ids: Lesion of each validation image.
        sources: Source of each far picture.
        stages: Features of training, validation and far pictures at earlier stages of the network, where colours and
            textures are still to be seen (Lee et al. 2018); the Mahalanobis distance is tried on each.

    Returns:
        The guard with the simplest detector whose AUROC is within `TOLERANCE` of the best, and how each one did.
    """
    weights = lesion_weights(lesion_ids)
    guards, found = {}, {}
    candidates: list[tuple[str, int | None, TrainingFeatures, Tensor, Tensor]] = [
        (method, None, training, validation, far) for method in DETECTORS
    ]
    # The deepest stage is the nearest to what the classifier reads.
    for place, (features, kept, others) in sorted((stages or {}).items(), reverse=True):
        candidates.append(("mahalanobis", place, replace(training, features=features), kept, others))
    for method, stage, fitted_on, kept, others in candidates:
        detector = DETECTORS[method].fit(fitted_on)
        scores, name = detector.score(kept), detector_name(method, stage)
        guards[name] = FeatureGuard(method, detector, scores.sort().values, stage=stage)
        found[name] = measure_separation(scores.numpy(), detector.score(others).numpy(), sources, weights)
    best = max(separation.auroc.value or 0.0 for separation in found.values())
    name = next(n for n, separation in found.items() if (separation.auroc.value or 0.0) >= best - TOLERANCE)
    return guards[name], found


def with_artefacts(images: Iterable[Image.Image], *, first_seed: int) -> Iterator[Image.Image]:
    """Draw hairs or a ruler, in turn, on every second image, so that a guard does not take them for something strange.

    Args:
        images: Photographs of lesions; the first, the third and so on stay as they are.
        first_seed: Seed of the first image; each image has the next one.
    """
    for number, image in enumerate(images):
        pair, drawn = divmod(number, 2)
        if not drawn:
            yield image
            continue
        turn, which = divmod(pair, len(ARTEFACTS))
        severity = ARTEFACT_SEVERITIES[turn % len(ARTEFACT_SEVERITIES)]
        yield shift_image(to_rgb(image), ARTEFACTS[which], severity, seed=first_seed + number)


def fit_guard(
    model: SkinVisionForImageClassification, train: Dataset, validation: Dataset
) -> tuple[FeatureGuard, dict[str, Separation]]:
    """Fit a guard for a trained network, on images of which every second one has hairs or a ruler drawn on it.

    Args:
        model: The network, already calibrated.
        train: The training split.
        validation: The validation split.

    Returns:
        The guard, to be saved into the release, and how each detector separated validation images, drawn on like those,
        from `SELECTION`.
    """
    classifier = model.timm_model.get_classifier()
    stages = range(len(stage_channels(model.timm_model)))
    far = list(far_images(SELECTION, count=min(FAR_COUNT, len(validation))))

    def features_of(images: Iterable[Image.Image], total: int, name: str) -> dict[int | None, Tensor]:
        return layer_features(model, images, stages=stages, total=total, name=name)[0]

    drawn_on = with_artefacts(images_of(train), first_seed=TRAINING_SEED)
    fitted_on = features_of(drawn_on, len(train), "guard: training images")
    drawn_on = with_artefacts(images_of(validation), first_seed=VALIDATION_SEED)
    kept = features_of(drawn_on, len(validation), "guard: validation images")
    others = features_of((f.image for f in far), len(far), "guard: other pictures")
    training = TrainingFeatures(
        fitted_on[None],
        torch.tensor(train["label"]),
        classifier.weight.detach().float().cpu(),
        classifier.bias.detach().float().cpu(),
    )
    return compare_detectors(
        training,
        kept[None],
        others[None],
        lesion_ids=list(validation["lesion_id"]),
        sources=[f.source for f in far],
        stages={stage: (fitted_on[stage], kept[stage], others[stage]) for stage in stages},
    )
