"""What the files and figures of a release show."""

from skinvision_hf.models.release import (
    CONFIG_FILE,
    CONFORMAL_FILE,
    HISTORY_FILE,
    METRICS_FILE,
    OOD_FILE,
    PREDICTIONS_FILE,
    TRAINING_FILE,
    WEIGHTS_FILE,
)

__all__ = ["CAPTIONS", "FILES"]

FILES = {
    CONFIG_FILE: "architecture, labels and preprocessing, as timm and transformers read them",
    WEIGHTS_FILE: "the weights: matrices as float16, computed in float32",
    OOD_FILE: "the OOD detector",
    CONFORMAL_FILE: "validation scores from which conformal prediction sets are made",
    METRICS_FILE: "all numbers of this page, with their confidence intervals",
    PREDICTIONS_FILE: "ground truth and the seven probabilities of each test image, by image and lesion id",
    TRAINING_FILE: "settings, versions of the libraries, and fingerprints of the data",
    HISTORY_FILE: "loss and validation metrics of each epoch",
}
"""What a file of a release holds, by its name."""

CAPTIONS = {
    "confusion_matrix": "Confusion matrix: ground truth in rows, most probable diagnosis in columns",
    "per_class_metrics": "Metrics of each diagnosis with their confidence intervals",
    "roc_curves": "ROC curve of each diagnosis against the rest",
    "precision_recall_curves": "Precision-recall curve of each diagnosis against the rest",
    "reliability": "Reliability diagram before and after temperature scaling",
    "confidence": "Confidence of correct and of incorrect answers",
    "prediction_sets": "Coverage and size of conformal prediction sets",
    "operating_points": "ROC curves for malignant lesions and for melanoma, with the thresholds",
    "decision_curve": "Decision curve: net benefit of acting on the model, on all images and on none",
    "abstention": "Error rate when only the most confident answers are given",
    "subgroups": "Balanced accuracy by sex, age, body site and confirmation",
    "ood_far": "Share of other images that OOD detection accepts",
    "robustness": "Accuracy and refused images after changes of the test images",
    "explanation_scores": "Localisation scores of each heat map method and of the baselines",
    "explanation_by_class": "Localisation scores by diagnosis",
    "explanation_randomisation": "Rank correlation with the heat maps of randomised networks",
    "training_curves": "Loss, validation metrics and learning rate by epoch",
}
"""What a figure shows, by the name of its file without the ending."""
