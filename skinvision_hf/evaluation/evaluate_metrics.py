"""The metrics as modules of the evaluate library, which work offline and combine with its own."""

import math
from tempfile import TemporaryDirectory
from typing import Any

import datasets
import evaluate
import numpy as np

from skinvision_hf.errors import DataError
from skinvision_hf.evaluation.metrics import (
    CLASS_METRICS,
    OVERALL_METRICS,
    class_statistics,
    overall_statistics,
)
from skinvision_hf.labels import CODES

__all__ = ["SkinLesionMetrics", "compute"]

PER_CLASS = "per_class"
DESCRIPTION = """\
Metrics of seven-way skin-lesion classification from probabilities: accuracy, balanced accuracy (as in ISIC 2018), macro
and weighted F1, mean one-vs-rest AUC, log loss, Brier score, expected calibration error, melanoma sensitivity and
specificity; and for each diagnosis sensitivity, specificity, precision, F1, AUC and average precision.
For education and research only; not a medical device.
"""
INPUTS = """\
Args:
    predictions: Seven probabilities for each image, in the order akiec, bcc, bkl, df, mel, nv, vasc.
    references: True class of each image, as a position in that order.
Returns:
    One number for each metric; None where it is not defined, such as the AUC of a class without images.
"""


class SkinLesionMetrics(evaluate.Metric):
    """All metrics, or one of them: `SkinLesionMetrics("balanced_accuracy")`, or `per_class` for those by diagnosis.

    Instances go into `evaluate.combine([...])`.
    """

    def _info(self) -> evaluate.MetricInfo:
        known = ("default", PER_CLASS, *OVERALL_METRICS)
        if self.config_name not in known:
            raise DataError(f"there is no metric {self.config_name!r}; known are {', '.join(known)}")
        return evaluate.MetricInfo(
            description=DESCRIPTION,
            citation="",
            inputs_description=INPUTS,
            features=datasets.Features(
                {
                    "predictions": datasets.Sequence(datasets.Value("float64")),
                    "references": datasets.Value("int64"),
                }
            ),
        )

    def _compute(self, predictions: Any, references: Any) -> dict[str, float | None]:
        probabilities, labels = np.asarray(predictions, dtype=np.float64), np.asarray(references)
        if probabilities.ndim != 2 or probabilities.shape[1] != len(CODES):
            raise DataError(f"predictions must be {len(CODES)} probabilities an image, in the order {', '.join(CODES)}")
        ones = np.ones((1, len(labels)))
        results: dict[str, float | None] = {}
        if self.config_name != PER_CLASS:
            overall = overall_statistics(labels, probabilities)
            wanted = OVERALL_METRICS if self.config_name == "default" else (self.config_name,)
            results |= {name: _number(overall[name][0](ones)[0]) for name in wanted}
        if self.config_name in ("default", PER_CLASS):
            for k, code in enumerate(CODES):
                statistics = class_statistics(labels, probabilities, k)
                results |= {f"{code}_{name}": _number(statistics[name][0](ones)[0]) for name in CLASS_METRICS}
        return results


def compute(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float | None]:
    """Compute the overall metrics of probabilities (n, 7) and labels (n,), as validation during training does.

    Returns:
        Each of `OVERALL_METRICS`; None where it is not defined.
    """
    with TemporaryDirectory() as folder:
        # Neither the values nor a lock file go through the user's cache, which several processes would share.
        metric = SkinLesionMetrics(cache_dir=folder, keep_in_memory=True)
        found = metric.compute(predictions=probabilities, references=labels)
    return {name: found[name] for name in OVERALL_METRICS}


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
