"""Everything that was measured about a model on one split: metrics.json, as far as the network itself is concerned."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from skinvision_hf.errors import DataError
from skinvision_hf.evaluation.bootstrap import estimate_all
from skinvision_hf.evaluation.calibration import CalibrationReport
from skinvision_hf.evaluation.conformal import ConformalReport
from skinvision_hf.evaluation.decisions import DecisionReport
from skinvision_hf.evaluation.metrics import CLASS_METRICS, class_statistics, metric_title, overall_statistics
from skinvision_hf.evaluation.predictions import Predictions
from skinvision_hf.evaluation.subgroups import SubgroupReport
from skinvision_hf.files import sha256, write_json
from skinvision_hf.labels import CODES
from skinvision_hf.models.prediction import OperatingPoint
from skinvision_hf.models.release import METRICS_FILE, WEIGHTS_FILE
from skinvision_hf.records import Estimate, Record, markdown_table

SCHEMA_VERSION: Final = 3
SHOWN = ("balanced_accuracy", "macro_f1", "mean_auc", "accuracy", "melanoma_sensitivity", "melanoma_specificity", "ece")


@dataclass(frozen=True)
class SplitFacts(Record):
    """The images that were evaluated."""

    scheme: str
    name: str
    images: int
    lesions: int


@dataclass(frozen=True)
class ModelFacts(Record):
    """The network that was evaluated."""

    weights_sha256: str
    views: int = 1


@dataclass(frozen=True)
class ImageFacts(Record):
    """The images as files: their median width and height in pixels."""

    median_size: tuple[int, ...]


@dataclass(frozen=True)
class Validation(Record):
    """The same model on the split that its temperature and thresholds were chosen on."""

    overall: dict[str, Estimate]


@dataclass(frozen=True)
class EvalReport(Record):
    """How good a model is on one split. Every number has n and a 95 % confidence interval over lesions."""

    schema_version: Literal[3]
    split: SplitFacts
    overall: dict[str, Estimate]
    per_class: dict[str, dict[str, Estimate]]
    confusion_matrix: tuple[tuple[int, ...], ...]
    model: ModelFacts | None = None
    images: ImageFacts | None = None
    validation: Validation | None = None
    calibration: CalibrationReport | None = None
    conformal: ConformalReport | None = None
    operating_points: DecisionReport | None = None
    stored_thresholds: dict[str, tuple[OperatingPoint, ...]] | None = None
    subgroups: SubgroupReport | None = None

    def __str__(self) -> str:
        """Two Markdown tables: overall, and by diagnosis."""
        split = self.split
        overall = [(metric_title(name), self.overall[name]) for name in SHOWN]
        by_class = [
            (code, metrics["sensitivity"].n, *(metrics[name] for name in CLASS_METRICS))
            for code, metrics in self.per_class.items()
        ]
        return "\n".join(
            [
                f"{split.scheme}, {split.name}: {split.images} images of {split.lesions} lesions; "
                "95 % confidence intervals over lesions",
                "",
                *markdown_table(("metric", "value (95 % confidence interval)"), *overall),
                "",
                *markdown_table(("diagnosis", "images", *map(metric_title, CLASS_METRICS)), *by_class),
            ]
        )


def evaluate_predictions(predictions: Predictions, *, split_scheme: str, split: str) -> EvalReport:
    """Measure the overall metrics, those of each diagnosis and the confusion matrix.

    Raises:
        DataError: If there are no predictions, or some are not finite.
    """
    labels, probabilities = predictions.labels, predictions.probabilities
    if not len(labels):
        raise DataError(f"the split {split} of {split_scheme} has no images to evaluate")
    if not np.isfinite(probabilities).all():
        raise DataError("some predictions are not finite numbers; the model is damaged, download or train it again")
    from sklearn.metrics import confusion_matrix

    counts = predictions.counts
    matrix = confusion_matrix(labels, probabilities.argmax(axis=1), labels=range(len(CODES)))
    return EvalReport(
        schema_version=SCHEMA_VERSION,
        split=SplitFacts(split_scheme, split, len(labels), len(set(predictions.lesion_ids))),
        overall=estimate_all(overall_statistics(labels, probabilities), counts),
        per_class={
            code: estimate_all(class_statistics(labels, probabilities, k), counts) for k, code in enumerate(CODES)
        },
        confusion_matrix=tuple(map(tuple, matrix.tolist())),
    )


def measured_weights(folder: Path, *, views: int = 1) -> ModelFacts:
    """Which network a report is about, so that it is never shown beside others."""
    return ModelFacts(sha256(folder / WEIGHTS_FILE), views)


def assert_same_subject(folder: str | Path, model: ModelFacts) -> None:
    """Raise DataError if a folder has a report on another network: sections about two never stand in one file."""
    present = read_metrics(folder).get("model")
    if present is not None and ModelFacts.from_dict(present) != model:
        raise DataError(f"{folder} has the report of another model; choose another --output_dir")


def read_metrics(folder: str | Path) -> dict[str, Any]:
    """Read the sections of a folder's `metrics.json`; none without such a file, DataError if it is not valid."""
    path = Path(folder) / METRICS_FILE
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}
    except (ValueError, TypeError) as error:
        raise DataError(f"{path} is not a valid {METRICS_FILE}; move it away") from error


def write_metrics(folder: str | Path, sections: Mapping[str, Any]) -> None:
    """Write sections into the `metrics.json` of a folder, if it is valid; those of other commands stay there."""
    write_json(Path(folder) / METRICS_FILE, read_metrics(folder) | dict(sections))
