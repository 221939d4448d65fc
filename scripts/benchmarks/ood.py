"""Which images of other things OOD detection refuses.

Photographs of skin without a dermatoscope are not among them, since no package ships any.
"""

from dataclasses import replace

import numpy as np
from datasets import Dataset
from tqdm.auto import tqdm

from benchmarks.far_images import AMBIGUOUS, FAR, FarImage, far_images
from skinvision_hf.evaluation.bootstrap import Mean, bootstrap, lesion_counts
from skinvision_hf.evaluation.metrics import area_under_roc
from skinvision_hf.models.modeling import SkinVisionForImageClassification
from skinvision_hf.ood.detector import OODDetector
from skinvision_hf.ood.features import images_of, pooled_features
from skinvision_hf.ood.ood_evaluation import measure_ood
from skinvision_hf.ood.ood_report import FarImages, OODReport
from skinvision_hf.records import Estimate

__all__ = ["measure_far"]

ALL = "all"


def measure_far(
    model: SkinVisionForImageClassification, detector: OODDetector, test: Dataset, *, count: int = 100
) -> OODReport:
    """Measure a detector on the test split and on `FAR` and `AMBIGUOUS`.

    Args:
        model: The network.
        detector: Fitted for it.
        test: The test split.
        count: Images of each kind.
    """
    report = measure_ood(model, detector, test)
    ours = detector.distance.closeness(pooled_features(model, images_of(test), stage=detector.stage)[0])
    far, ambiguous = (list(far_images(kinds, count=count)) for kinds in (FAR, AMBIGUOUS))
    rows = {kind: [n for n, image in enumerate(far) if image.kind == kind] for kind in FAR}
    closeness, accepted = _measure(model, detector, far)
    sources = np.array([image.source for image in far])
    counts = lesion_counts(test["lesion_id"][:])

    def compare(row: list[int] | slice) -> FarImages:
        others = lesion_counts(sources[row].tolist(), resamples=len(counts), seed=1)
        scores = np.concatenate([ours, closeness[row]])
        auroc = bootstrap(area_under_roc(scores, np.arange(len(scores)) < len(ours)), np.hstack([counts, others]))
        return FarImages(replace(auroc, n=len(closeness[row])), bootstrap(Mean(accepted[row]), others))

    _, passed = _measure(model, detector, ambiguous)
    return replace(
        report,
        far={kind: compare(row) for kind, row in rows.items()} | {ALL: compare(slice(None))},
        ambiguous_accepted={kind: _share(passed, ambiguous, kind) for kind in AMBIGUOUS},
    )


def _measure(
    model: SkinVisionForImageClassification, detector: OODDetector, images: list[FarImage]
) -> tuple[np.ndarray, np.ndarray]:
    """Closeness of images, and whether they are accepted."""
    pictures = tqdm((image.image for image in images), total=len(images), desc="other images", leave=False)
    features = pooled_features(model, pictures, stage=detector.stage)[0]
    return detector.distance.closeness(features), detector.score(features) >= detector.refused


def _share(accepted: np.ndarray, images: list[FarImage], kind: str) -> Estimate:
    rows = [n for n, image in enumerate(images) if image.kind == kind]
    return bootstrap(Mean(accepted[rows]), lesion_counts([images[n].source for n in rows]))
