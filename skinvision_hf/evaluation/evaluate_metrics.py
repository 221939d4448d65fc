"""The metrics as modules of the evaluate library, which work offline and combine with its own."""

import math
from tempfile import TemporaryDirectory
from typing import Any

import datasets
import evaluate
import numpy as np

from skinvision_hf.errors import DataError
from skinvision_hf.evaluation.metrics import CLASS_METRICS, OVERALL_METRICS, class_statistics, overall_statistics
from skinvision_hf.labels import CODES


class SkinLesionMetrics(evaluate.Metric):
    """Metrics of seven-way skin-lesion classification: `SkinLesionMetrics().compute(predictions=..., references=...)`.

    `predictions` are seven probabilities for each image, in the order akiec, bcc, bkl, df, mel, nv, vasc; `references`
    are the true classes, as positions in that order. The result has one number for each metric: accuracy, balanced
    accuracy (as in ISIC 2018), macro and weighted F1, mean one-vs-rest AUC, log loss, Brier score, expected calibration
    error, melanoma sensitivity and specificity; and for each diagnosis sensitivity, specificity, precision, F1, AUC and
    average precision. It is None where it is not defined, such as the AUC of a class without images.

    `SkinLesionMetrics("balanced_accuracy")` or `SkinLesionMetrics("mel_sensitivity")` is one of them. Instances go into
    `evaluate.combine([...])`. For education and research only; not a medical device.
    """

    def _info(self) -> evaluate.MetricInfo:
        known = ("default", *OVERALL_METRICS, *(f"{code}_{name}" for code in CODES for name in CLASS_METRICS))
        if self.config_name not in known:
            raise DataError(f"there is no metric {self.config_name!r}; known are {', '.join(known)}")
        probabilities, label = datasets.Sequence(datasets.Value("float64")), datasets.Value("int64")
        features = datasets.Features({"predictions": probabilities, "references": label})
        return evaluate.MetricInfo(description=str(self.__doc__), citation="", inputs_description="", features=features)

    def _compute(self, predictions: Any, references: Any) -> dict[str, float | None]:
        probabilities, labels = np.asarray(predictions, dtype=np.float64), np.asarray(references)
        if probabilities.ndim != 2 or probabilities.shape[1] != len(CODES):
            raise DataError(f"predictions must be {len(CODES)} probabilities an image, in the order {', '.join(CODES)}")
        statistics = overall_statistics(labels, probabilities)
        for k, code in enumerate(CODES):
            by_class = class_statistics(labels, probabilities, k)
            statistics |= {f"{code}_{name}": statistic for name, statistic in by_class.items()}
        wanted = statistics if self.config_name == "default" else (self.config_name,)
        values = {name: float(statistics[name](np.ones((1, len(labels))))[0]) for name in wanted}
        return {name: value if math.isfinite(value) else None for name, value in values.items()}


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
