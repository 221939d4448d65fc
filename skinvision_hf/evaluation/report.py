"""All main metrics of a split with their intervals."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from skinvision_hf.errors import DataError
from skinvision_hf.evaluation.bootstrap import RESAMPLES, Estimate, bootstrap, lesion_weights
from skinvision_hf.evaluation.metrics import CLASS_METRICS, class_statistics, metric_title, overall_statistics
from skinvision_hf.evaluation.predictions import Predictions
from skinvision_hf.labels import CODES

__all__ = ["SCHEMA_VERSION", "EvalReport", "evaluate_predictions"]

SCHEMA_VERSION = 2
READABLE = (1, SCHEMA_VERSION)
"""In version 1 the main part was the same."""
SHOWN = ("balanced_accuracy", "macro_f1", "mean_auc", "accuracy", "melanoma_sensitivity", "melanoma_specificity", "ece")


@dataclass(frozen=True)
class EvalReport:
    """How good a model is on one part of a split. Every number has n and a 95 % bootstrap interval over lesions.

    Attributes:
        split: Name of the split, such as `ham10000-v1`.
        part: The part of it: `train`, `validation`, `test`, or another name for other data.
        images: Images in the part.
        lesions: Lesions in the part.
        overall: Overall metrics by name; see `skinvision_hf.evaluation.metrics.OVERALL_METRICS`.
        per_class: One-vs-rest metrics by code, then by name.
        confusion_matrix: Counts (7, 7); rows are the truth, columns the answers, in the order of `CODES`.
    """

    split_scheme: str
    split: str
    images: int
    lesions: int
    overall: Mapping[str, Estimate]
    per_class: Mapping[str, Mapping[str, Estimate]]
    confusion_matrix: tuple[tuple[int, ...], ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the main part of metrics.json."""
        return {
            "schema_version": SCHEMA_VERSION,
            "split": {"name": self.split_scheme, "part": self.split, "images": self.images, "lesions": self.lesions},
            "overall": {name: estimate.to_dict() for name, estimate in self.overall.items()},
            "per_class": {
                c: {name: e.to_dict() for name, e in metrics.items()} for c, metrics in self.per_class.items()
            },
            "confusion_matrix": [list(row) for row in self.confusion_matrix],
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "EvalReport":
        """Read the main part of metrics.json.

        Raises:
            DataError: If it is none, or of another version.
        """
        if content.get("schema_version") not in READABLE:
            raise DataError(f"these metrics are not of schema version {SCHEMA_VERSION}; evaluate the model again")
        try:
            return cls(
                split_scheme=content["split"]["name"],
                split=content["split"]["part"],
                images=content["split"]["images"],
                lesions=content["split"]["lesions"],
                overall={name: Estimate(**e) for name, e in content["overall"].items()},
                per_class={c: {name: Estimate(**e) for name, e in m.items()} for c, m in content["per_class"].items()},
                confusion_matrix=tuple(tuple(row) for row in content["confusion_matrix"]),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(f"these metrics are incomplete ({error}); evaluate the model again") from error

    def __str__(self) -> str:
        """Two Markdown tables: overall, and by diagnosis."""
        lines = [
            f"{self.split_scheme}, {self.split}: {self.images} images of {self.lesions} lesions; 95 % intervals over lesions",
            "",
            "| metric | value (95 % interval) |",
            "| --- | --- |",
            *(f"| {metric_title(name)} | {self.overall[name]} |" for name in SHOWN),
            "",
            f"| diagnosis | images | {' | '.join(map(metric_title, CLASS_METRICS))} |",
            f"| --- | --- |{' --- |' * len(CLASS_METRICS)}",
        ]
        for code, metrics in self.per_class.items():
            cells = " | ".join(str(metrics[name]) for name in CLASS_METRICS)
            lines.append(f"| {code} | {metrics['sensitivity'].n} | {cells} |")
        return "\n".join(lines)


def evaluate_predictions(
    predictions: Predictions, *, split_scheme: str, split: str, resamples: int = RESAMPLES, seed: int = 0
) -> EvalReport:
    """Measure everything in an `EvalReport`.

    Args:
        predictions: Of all images of the part.
        split: Name of the split.
        part: Name of the part.
        resamples: Bootstrap resamples of lesions.
        seed: Seed of the resamples.

    Raises:
        DataError: If there are no predictions, or some are not finite.
    """
    labels, probabilities = predictions.labels, predictions.probabilities
    if not len(labels):
        raise DataError(f"the part {split} of {split_scheme} has no images to evaluate")
    if not np.isfinite(probabilities).all():
        raise DataError("some predictions are not finite numbers; the model is damaged, download or train it again")
    weights = lesion_weights(predictions.lesion_ids, resamples=resamples, seed=seed)
    overall = overall_statistics(labels, probabilities)
    matrix = np.zeros((len(CODES), len(CODES)), dtype=int)
    np.add.at(matrix, (labels, probabilities.argmax(axis=1)), 1)
    return EvalReport(
        split_scheme=split_scheme,
        split=split,
        images=len(labels),
        lesions=len(set(predictions.lesion_ids)),
        overall={name: bootstrap(statistic, weights, n=n) for name, (statistic, n) in overall.items()},
        per_class={
            code: {
                name: bootstrap(statistic, weights, n=n)
                for name, (statistic, n) in class_statistics(labels, probabilities, k).items()
            }
            for k, code in enumerate(CODES)
        },
        confusion_matrix=tuple(tuple(row) for row in matrix.tolist()),
    )
