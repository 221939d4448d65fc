"""Measures how many images of a split an OOD detector refuses, and how stable answers are."""

import numpy as np
from datasets import Dataset
from tqdm.auto import tqdm

from skinvision_hf.evaluation.bootstrap import Mean, bootstrap, lesion_counts
from skinvision_hf.labels import CODES
from skinvision_hf.models.modeling import SkinVisionForImageClassification
from skinvision_hf.ood.detector import OODDetector
from skinvision_hf.ood.features import images_of, pooled_features
from skinvision_hf.ood.ood_report import OODReport

__all__ = ["measure_ood"]


def measure_ood(model: SkinVisionForImageClassification, detector: OODDetector, dataset: Dataset) -> OODReport:
    """Measure the shares of a split's images that are kept and that are unusual.

    Args:
        model: The network.
        detector: Fitted for it.
        dataset: Images with the columns label and lesion_id.
    """
    bar = tqdm(images_of(dataset), desc="OOD detector", total=len(dataset), unit="image", leave=False)
    scores = detector.score(pooled_features(model, bar, stage=detector.stage)[0])
    counts, labels = lesion_counts(dataset["lesion_id"][:]), np.array(dataset["label"][:])
    kept = (scores >= detector.refused).numpy()
    unusual = None if detector.unusual is None else kept & (scores < detector.unusual).numpy()
    return OODReport(
        method=detector.name,
        kept=bootstrap(Mean(kept), counts),
        unusual=None if unusual is None else bootstrap(Mean(unusual), counts),
        kept_per_class={code: bootstrap(Mean(kept, labels == k), counts) for k, code in enumerate(CODES)},
    )
