"""Every metric as a function of how often each image counts, so that one pass over arrays serves all resamples."""

import numpy as np

from skinvision_hf.evaluation.bootstrap import AbsoluteSum, ClassMean, Mean, Statistic
from skinvision_hf.labels import CODES

OVERALL_METRICS = (
    *("accuracy", "balanced_accuracy", "macro_f1", "weighted_f1", "mean_auc", "log_loss", "brier_score", "ece"),
    *("melanoma_sensitivity", "melanoma_specificity"),
)
CLASS_METRICS = ("sensitivity", "specificity", "precision", "f1", "auc", "average_precision")
MELANOMA = CODES.index("mel")
CALIBRATION_BINS = 15
SMALLEST_PROBABILITY = 1e-15
SPELLINGS = {"f1": "F1", "auc": "AUC", "ece": "ECE", "brier": "Brier"}


def metric_title(name: str) -> str:
    """Return a metric's name as people write it: `macro_f1` is macro F1."""
    return " ".join(SPELLINGS.get(word, word) for word in name.split("_"))


def log_losses(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Negative log-likelihood of each label (n,) under probabilities (n, 7)."""
    return -np.log(np.maximum(probabilities[np.arange(len(labels)), labels], SMALLEST_PROBABILITY))


def brier_scores(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Squared distance between probabilities (n, 7) and the ground truth for each image (n,), from 0 to 2."""
    return ((probabilities - np.eye(len(CODES))[labels]) ** 2).sum(axis=1)


def overall_statistics(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, Statistic]:
    """Make the overall metrics of labels (n,) and probabilities (n, 7).

    Returns:
        By name, a function from counts (R, n) to values (R,), NaN where undefined. Balanced accuracy and mean AUC
        average over the classes that a resample has; macro F1 also over classes that were only predicted, as in
        scikit-learn.
    """
    truth, predicted = np.eye(len(CODES))[labels], probabilities.argmax(axis=1)
    answers, right = np.eye(len(CODES))[predicted], predicted == labels
    hits = truth * right[:, None]
    areas = [area_under_roc(probabilities[:, k], labels == k) for k in range(len(CODES))]
    is_melanoma, says_melanoma = labels == MELANOMA, predicted == MELANOMA

    def f1_scores(counts: np.ndarray) -> np.ndarray:
        return _ratio(2 * counts @ hits, counts @ (truth + answers))

    def weighted_f1(counts: np.ndarray) -> np.ndarray:
        support = counts @ truth
        return _ratio(np.nansum(f1_scores(counts) * support, axis=1), support.sum(axis=1))

    return {
        "accuracy": Mean(right),
        "balanced_accuracy": ClassMean(lambda counts: _ratio(counts @ hits, counts @ truth), truth > 0),
        "macro_f1": ClassMean(f1_scores, truth > 0),
        "weighted_f1": weighted_f1,
        "mean_auc": ClassMean(lambda counts: np.stack([area(counts) for area in areas], axis=1), truth > 0),
        "log_loss": Mean(log_losses(labels, probabilities)),
        "brier_score": Mean(brier_scores(labels, probabilities)),
        "ece": calibration_error(probabilities.max(axis=1), right),
        "melanoma_sensitivity": Mean(says_melanoma, is_melanoma),
        "melanoma_specificity": Mean(~says_melanoma, ~is_melanoma),
    }


def class_statistics(labels: np.ndarray, probabilities: np.ndarray, k: int) -> dict[str, Statistic]:
    """Make the metrics of one class against the rest; see `overall_statistics` for arguments and result."""
    positive, says = labels == k, probabilities.argmax(axis=1) == k
    hits = (positive & says).astype(float)
    both = positive.astype(float) + says
    return {
        "sensitivity": Mean(says, positive),
        "specificity": Mean(~says, ~positive),
        "precision": Mean(positive, says),
        "f1": lambda counts: _ratio(2 * counts @ hits, counts @ both),
        "auc": area_under_roc(probabilities[:, k], positive),
        "average_precision": average_precision(probabilities[:, k], positive),
    }


def area_under_roc(scores: np.ndarray, positive: np.ndarray) -> Statistic:
    """Make the statistic that is the area under the ROC curve; NaN in resamples with one class only."""

    def statistic(counts: np.ndarray) -> np.ndarray:
        false, true = roc_rates(scores, positive, counts)
        return (np.diff(false) * (true[:, 1:] + true[:, :-1])).sum(axis=1) / 2

    return statistic


def average_precision(scores: np.ndarray, positive: np.ndarray) -> Statistic:
    """Make the statistic that is the mean precision over the steps of recall; NaN in resamples without positives."""

    def statistic(counts: np.ndarray) -> np.ndarray:
        false, true = _counts(scores, positive, counts)
        precision = np.nan_to_num(_ratio(true, true + false))
        with np.errstate(invalid="ignore", divide="ignore"):
            return (np.diff(true, axis=1, prepend=0) * precision).sum(axis=1) / true[:, -1]

    return statistic


def roc_rates(scores: np.ndarray, positive: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """False and true positive rates (R, 1 + distinct scores) for falling thresholds, from (0, 0) to (1, 1).

    They are those of scores (n,) of the truth (n,) bool in resamples with counts (R, n).
    """
    with np.errstate(invalid="ignore"):
        false, true = (np.pad(c / c[:, -1:], ((0, 0), (1, 0))) for c in _counts(scores, positive, counts))
    return false, true


def calibration_error(confidence: np.ndarray, happened: np.ndarray) -> AbsoluteSum:
    """Make the statistic that is the expected calibration error of probabilities (n,) of events (n,) bool.

    The 15 bins are those of the images as they are, each with equally many.
    """
    members = equal_bins(confidence) * (confidence - happened)[:, None]

    def gaps(counts: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            return (counts @ members) / counts.sum(axis=1, keepdims=True)

    return AbsoluteSum(gaps)


def equal_bins(confidence: np.ndarray) -> np.ndarray:
    """Tell which of 15 bins of equally many images each image is in (n, 15), by rising confidence (n,)."""
    rank = np.argsort(np.argsort(confidence, kind="stable"), kind="stable")
    return rank[:, None] * CALIBRATION_BINS // len(rank) == np.arange(CALIBRATION_BINS)


def _counts(scores: np.ndarray, positive: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Negatives and positives (R, distinct scores) from each distinct score upwards, the highest score first."""
    order = np.argsort(-scores, kind="stable")
    last_of_ties = np.flatnonzero(np.diff(scores[order], append=np.inf))
    false, true = (
        np.cumsum(counts[:, order] * chosen[order], axis=1)[:, last_of_ties] for chosen in (~positive, positive)
    )
    return false, true


def _ratio(upper: np.ndarray, lower: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(lower > 0, upper / lower, np.nan)
