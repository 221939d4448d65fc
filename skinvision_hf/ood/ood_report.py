"""What is known about the out-of-distribution (OOD) detector of a release, and about its answers to changed images."""

from dataclasses import dataclass

from skinvision_hf.records import Estimate, Record


@dataclass(frozen=True)
class FarImages(Record):
    """How well one kind of other images, such as documents, is told from dermatoscopic images of lesions."""

    auroc: Estimate
    accepted: Estimate


@dataclass(frozen=True)
class OODReport(Record):
    """What the detector does with test images, and with other images: the section `ood` of metrics.json."""

    method: str
    kept: Estimate
    unusual: Estimate | None = None
    kept_per_class: dict[str, Estimate] | None = None
    far: dict[str, FarImages] | None = None
    ambiguous_accepted: dict[str, Estimate] | None = None


@dataclass(frozen=True)
class ChangedImages(Record):
    """Answers to images that were changed in one way."""

    change: str
    accuracy: Estimate
    balanced_accuracy: Estimate
    ece: Estimate
    relabelled: Estimate
    refused: Estimate | None = None


@dataclass(frozen=True)
class RobustnessReport(Record):
    """How stable answers are when images are made in other ways: the section `robustness` of metrics.json."""

    rows: tuple[ChangedImages, ...]
