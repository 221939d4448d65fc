"""Measures how many images of a split an OOD detector refuses, and how stable answers are when images are changed."""

import numpy as np
from datasets import Dataset
from scipy.special import softmax
from tqdm.auto import tqdm

from skinvision_hf.evaluation.bootstrap import Mean, bootstrap, lesion_counts
from skinvision_hf.evaluation.metrics import overall_statistics
from skinvision_hf.labels import CODES
from skinvision_hf.models.modeling import SkinVisionForImageClassification
from skinvision_hf.ood.detector import OODDetector
from skinvision_hf.ood.features import images_of, pooled_features
from skinvision_hf.ood.image_changes import ENCODINGS, GEOMETRY, Change
from skinvision_hf.ood.ood_report import ChangedImages, OODReport, RobustnessReport

METRICS = ("accuracy", "balanced_accuracy", "ece")


def measure_ood(model: SkinVisionForImageClassification, detector: OODDetector, dataset: Dataset) -> OODReport:
    """Measure the shares of a split's images that are kept and that are unusual."""
    bar = tqdm(images_of(dataset), desc="OOD detector", total=len(dataset), unit="image", leave=False)
    scores = detector.score(pooled_features(model, bar, stage=detector.stage)[0])
    counts, labels = lesion_counts(dataset["lesion_id"][:]), np.array(dataset["label"][:])
    kept = scores >= detector.refused
    unusual = None if detector.unusual is None else kept & (scores < detector.unusual)
    return OODReport(
        method="mahalanobis" if detector.stage is None else f"mahalanobis, stage {detector.stage + 1}",
        kept=bootstrap(Mean(kept), counts),
        unusual=None if unusual is None else bootstrap(Mean(unusual), counts),
        kept_per_class={code: bootstrap(Mean(kept, labels == k), counts) for k, code in enumerate(CODES)},
    )


def measure_robustness(
    model: SkinVisionForImageClassification, detector: OODDetector, dataset: Dataset
) -> RobustnessReport:
    """Classify the images of a split as they are, and again after each of `ENCODINGS` and `GEOMETRY`."""
    labels, counts = np.array(dataset["label"][:]), lesion_counts(dataset["lesion_id"][:])
    changes: dict[str, Change | None] = {"none": None, **ENCODINGS, **GEOMETRY}
    rows: list[ChangedImages] = []
    usual: np.ndarray | None = None
    for name, change in tqdm(changes.items(), desc="robustness", unit="change"):
        features, logits = pooled_features(model, images_of(dataset, change), stage=detector.stage)
        answers = logits.argmax(axis=1)
        usual = answers if usual is None else usual
        statistics = overall_statistics(labels, softmax(logits.astype(np.float64), axis=1))
        found = {metric: bootstrap(statistics[metric], counts) for metric in METRICS}
        refused = detector.score(features) < detector.refused
        rows.append(
            ChangedImages(
                change=name,
                **found,
                relabelled=bootstrap(Mean(answers != usual), counts),
                refused=bootstrap(Mean(refused), counts),
            )
        )
    return RobustnessReport(tuple(rows))
