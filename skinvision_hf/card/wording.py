"""Settings, files and figures of a release in words that a reader of its card understands."""

from pathlib import Path

from skinvision_hf.config import AugmentConfig, DistillConfig, LossConfig
from skinvision_hf.models.release import (
    CONFIG_FILE,
    CONFORMAL_FILE,
    GUARD_FILE,
    HISTORY_FILE,
    METRICS_FILE,
    PREDICTIONS_FILE,
    TRAINING_FILE,
    WEIGHTS_FILE,
)

__all__ = [
    "FIGURES",
    "FILES",
    "augmentation",
    "balance",
    "caption",
    "crop",
    "duration",
    "initial_weights",
    "loss",
    "phase",
    "place",
    "teachers",
]

INITIAL_WEIGHTS = {
    "timm": "timm's ImageNet weights",
    "lite0": "ImageNet weights of EfficientNet-Lite0, which is EfficientNet-B0 without squeeze-and-excitation",
    "random": "random weights",
}
CLASS_WEIGHTS = {
    "none": "all images count the same",
    "inverse": "diagnoses weighted by their inverse frequency",
    "sqrt": "diagnoses weighted by the square root of their inverse frequency",
    "effective": "diagnoses weighted by their effective number of images",
}
PHASES = {"head": "the new classifier on a frozen network", "finetune": "all layers"}
CROPS = {
    "squash": "the whole image, squeezed into the square",
    "center": "the middle square of the image",
    "border": "the whole image, padded to a square",
}
FILES = {
    CONFIG_FILE: "architecture, labels and preprocessing, as timm and transformers read them",
    WEIGHTS_FILE: "the weights; matrices as float16, computed in float32",
    GUARD_FILE: "what tells skin lesions from other pictures",
    CONFORMAL_FILE: "what prediction sets are made from",
    METRICS_FILE: "every number of this card, and more, each with its interval",
    PREDICTIONS_FILE: "the truth and the seven probabilities for each test image, by image and lesion id",
    TRAINING_FILE: "every setting, the versions of the libraries, and fingerprints of the data",
    HISTORY_FILE: "loss and validation metrics of each epoch",
}
# Section and caption by the name of a figure's file.
FIGURES = {
    "training_curves": ("training", "Loss, validation metrics and learning rate by epoch"),
    "confusion_matrix": ("classes", "Confusion matrix: true diagnoses in rows, answers in columns"),
    "per_class_metrics": ("classes", "Metrics of each diagnosis with their intervals"),
    "roc_curves": ("classes", "ROC curve of each diagnosis against the rest"),
    "precision_recall_curves": ("classes", "Precision and recall of each diagnosis against the rest"),
    "subgroups": ("subgroups", "Balanced accuracy by sex, age, body site and confirmation"),
    "operating_points": ("operating_points", "ROC curves for malignant lesions and for melanoma, with the thresholds"),
    "decision_curve": ("operating_points", "Net benefit of acting on the model, on everyone and on no one"),
    "abstention": ("operating_points", "Error when the least certain images are left to a person"),
    "decision_rules": ("decision_rules", "Accuracy and balanced accuracy as answers lean to rare diagnoses"),
    "guard_far": ("guard", "How many pictures of each kind pass the guard"),
    "guard_shifts": ("guard", "Right answers and passed images as test images are changed more and more"),
    "reliability": ("calibration", "Reliability diagram: stated against true certainty, before and after calibration"),
    "confidence": ("calibration", "Stated certainty of right and of wrong answers"),
    "prediction_sets": ("conformal", "How often prediction sets hold the truth, and how long they are"),
    "explanation_scores": ("explanations", "Where the heat of each method lies, beside controls"),
    "explanation_by_class": ("explanations", "Where the heat lies for each diagnosis"),
    "explanation_randomisation": ("explanations", "How much maps resemble those of random networks"),
}
OTHER_SECTION = "other"


def initial_weights(name: str, origin: str) -> str:
    """What training started from, for the setting `init`, and where that came from; names of files, never folders."""
    words = INITIAL_WEIGHTS.get(name, f"the weights `{Path(name).name}`")
    return words if name == origin else f"{words}, which were trained from {initial_weights(origin, origin)}"


def balance(settings: LossConfig) -> str:
    """What the loss does about frequent and rare diagnoses."""
    weights = CLASS_WEIGHTS.get(settings.class_weights, f"class weights `{settings.class_weights}`")
    shift = settings.logit_adjustment
    return f"{weights}, logit adjustment {shift:g}" if shift else weights


def loss(settings: LossConfig, *, mixing: bool) -> str:
    """What training minimised.

    Args:
        settings: The loss.
        mixing: Whether a phase mixed images.
    """
    optional = {"label smoothing": settings.label_smoothing}
    if mixing:
        optional |= {"mixup": settings.mixup_alpha, "CutMix": settings.cutmix_alpha}
    splits = ["cross-entropy", balance(settings), *(f"{name} {value:g}" for name, value in optional.items() if value)]
    return ", ".join(splits)


def augmentation(settings: AugmentConfig) -> str:
    """How training images are changed, beside flips and turns."""
    splits = [f"crops of at least {settings.min_scale:.0%} of the image"]
    if settings.first_resolution:
        splits.append(f"growing from {settings.first_resolution:.0%} to {settings.resolution:.0%} of the input's side")
    elif settings.resolution != 1:
        splits.append(f"at {settings.resolution:.0%} of the input's side")
    optional = {
        "brightness, contrast and saturation": settings.colour,
        "each colour channel": settings.tint,
    }
    splits += [f"{name} changed by up to {value:.0%}" for name, value in optional.items() if value]
    optional = {"blurred": settings.blur_probability, "partly blanked out": settings.erase_probability}
    splits += [f"{value:.0%} of the images {name}" for name, value in optional.items() if value]
    return ", ".join(splits)


def teachers(settings: DistillConfig) -> str:
    """Whose answers the network learned, and how much of them."""
    names = ", ".join(f"`{name}`" for name in settings.teachers)
    mean = "the answers of" if len(settings.teachers) == 1 else "the mean answers of"
    splits = [f"{mean} {names} to the same pixels"]
    if settings.views > 1:
        splits.append(f"mirrored and turned to {settings.views} views")
    if settings.logit_adjustment:
        splits.append(f"each times the class frequencies to the power of {settings.logit_adjustment:g}")
    splits.append(f"{settings.weight:.0%} of the target" if settings.weight < 1 else "in place of the labels")
    return ", ".join(splits)


def phase(name: str) -> str:
    """What a phase trained, by its name in the settings."""
    return PHASES.get(name, f"`{name}`")


def crop(mode: str) -> str:
    """What of an image the network sees, for the setting `crop_mode`."""
    return CROPS.get(mode, f"crop `{mode}`")


def duration(seconds: float) -> str:
    """A duration in the unit that suits it."""
    for unit, length in (("hours", 3600), ("minutes", 60)):
        if seconds >= 1.5 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} seconds"


def place(figure: str) -> str:
    """The section to which a figure belongs, by its path."""
    return FIGURES.get(Path(figure).stem, (OTHER_SECTION, ""))[0]


def caption(figure: str) -> str:
    """What a figure shows, by its path."""
    stem = Path(figure).stem
    return FIGURES[stem][1] if stem in FIGURES else stem.replace("_", " ").replace("-", " ").capitalize()
