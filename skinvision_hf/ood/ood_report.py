"""What is known about the out-of-distribution (OOD) detector of a release, and about its answers to changed images."""

from dataclasses import dataclass

from skinvision_hf.records import Estimate, Record


@dataclass(frozen=True)
class FarImages(Record):
    """How well one kind of other images, such as documents, is told from dermatoscopic images of lesions.

    Attributes:
        auroc: Probability that a test image has a higher in-distribution score than one of these.
        accepted: Share of these that is not refused.
    """

    auroc: Estimate
    accepted: Estimate


@dataclass(frozen=True)
class OODReport(Record):
    """What the detector does with test images, and with other images: the section `ood` of metrics.json.

    Attributes:
        method: Name of the detector and of the stage of the network whose features it reads.
        kept: Share of test images that are not refused.
        unusual: Share of test images that are answered with a notice; None where the detector has one level only.
        kept_per_class: `kept` among the images of each diagnosis, by its code.
        far: The other images by kind, and `all` of them together; None where none were at hand.
        ambiguous_accepted: Share that is not refused of images for which no answer is clearly right, by kind.
    """

    method: str
    kept: Estimate
    unusual: Estimate | None = None
    kept_per_class: dict[str, Estimate] | None = None
    far: dict[str, FarImages] | None = None
    ambiguous_accepted: dict[str, Estimate] | None = None


@dataclass(frozen=True)
class ChangedImages(Record):
    """Answers to images that were changed in one way.

    Attributes:
        change: How, such as `JPEG 75`; `none` for the images as they are.
        accuracy: Share of images that is classified correctly.
        balanced_accuracy: Mean sensitivity of the seven diagnoses.
        ece: Expected calibration error.
        relabelled: Share of images whose predicted diagnosis is another one than without the change.
        refused: Share of images that the OOD detector refuses; None without a detector.
    """

    change: str
    accuracy: Estimate
    balanced_accuracy: Estimate
    ece: Estimate
    relabelled: Estimate
    refused: Estimate | None = None


@dataclass(frozen=True)
class RobustnessReport(Record):
    """How stable answers are when images are made in other ways: the section `robustness` of metrics.json.

    Attributes:
        rows: One for each change; the first is about the images as they are.
    """

    rows: tuple[ChangedImages, ...]
