"""Arrays to numbers."""

from dataclasses import dataclass

import numpy as np

__all__ = ["Predictions", "compute"]


@dataclass(frozen=True)
class Predictions:
    """What a network says about a split."""

    image_ids: tuple[str, ...]
    lesion_ids: tuple[str, ...]
    labels: np.ndarray
    logits: np.ndarray


def compute(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Overall metrics of probabilities (n, 7) against labels (n,)."""
    from sklearn import metrics

    predicted = probabilities.argmax(axis=1)
    present = np.unique(labels)
    aucs = [metrics.roc_auc_score(labels == k, probabilities[:, k]) for k in present if len(present) > 1]
    return {
        "accuracy": float(metrics.accuracy_score(labels, predicted)),
        "balanced_accuracy": float(
            metrics.recall_score(labels, predicted, average="macro", labels=present, zero_division=0)
        ),
        "macro_f1": float(metrics.f1_score(labels, predicted, average="macro", zero_division=0)),
        "mean_auc": float(np.mean(aucs)) if aucs else float("nan"),
        "log_loss": float(-np.log(np.clip(probabilities[np.arange(len(labels)), labels], 1e-15, 1.0)).mean()),
    }
