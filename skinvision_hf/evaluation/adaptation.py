"""A clinic's own images in two halves, to refit a release on one and to measure on the other what that changed."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from skinvision_hf.data.split_schemes import grouped_folds
from skinvision_hf.errors import DataError
from skinvision_hf.evaluation.bootstrap import AbsoluteSum, Mean, Statistic, bootstrap
from skinvision_hf.evaluation.decisions import task_scores
from skinvision_hf.evaluation.metrics import MELANOMA, metric_title, overall_statistics
from skinvision_hf.evaluation.predictions import Predictions
from skinvision_hf.evaluation.subgroups import UNKNOWN
from skinvision_hf.labels import CODES, MALIGNANT_CODES
from skinvision_hf.models.prediction import COVERAGE, TASKS, ConformalPredictor, load_operating_point
from skinvision_hf.records import Estimate, Record, markdown_table

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

SMALLEST = {"lesions": 96, "melanomas": 10, "benign lesions": 10}
"""What each half needs: twelve lesions for each of the eight fitted numbers, and ten of each kind, with fewer of which
a sensitivity or specificity says little. All lesions of a known patient count as one."""

FEW = 10
"""Images of a diagnosis below which its prior stays close to the one before; see `fit_priors`."""


@dataclass(frozen=True)
class Change(Record):
    """A number of the original and of the adapted release, and the paired difference, which calibration errors lack."""

    before: Estimate
    after: Estimate
    difference: Estimate | None = None


@dataclass(frozen=True)
class AdaptationReport(Record):
    """What a release was adapted to, and what that changed: the section `adaptation` of metrics.json."""

    release: str
    weights_sha256: str
    images: dict[str, int]
    temperature: float
    bias: dict[str, float]
    changes: dict[str, Change]

    def __str__(self) -> str:
        """Two paragraphs and a Markdown table."""
        rows = [(metric_title(n), c.before, c.after, c.difference or "") for n, c in self.changes.items()]
        few = ", ".join(f"{code} ({count})" for code, count in self.images.items() if count < FEW)
        gain = self.changes["log_loss"].difference
        better = gain is not None and gain.high is not None and gain.high < 0
        return "\n".join(
            [
                f"Adapted from {self.release} (SHA-256 of its weights: {self.weights_sha256[:16]}...). Temperature, "
                f"class priors, prediction sets and thresholds were refitted on {sum(self.images.values())} labelled "
                "images (validation). The table is about the other half of the images (test), which shares no lesion "
                "and no known patient with these; differences are paired. OOD detection is unchanged.",
                "",
                *markdown_table(("metric", "before", "after", "after - before"), *rows),
                "",
                f"The log loss is {'' if better else 'not clearly '}lower than before."
                + (f" Few images, so the class prior stays near the original one: {few}." if few else ""),
            ]
        )


def halve(dataset: "Dataset") -> "DatasetDict":
    """Divide images from `load_labelled` at random, by patient where known and else by lesion, stratified by diagnosis.

    Returns:
        `validation`, the half to refit on, and `test`, the half to measure on. Doing it again gives the same halves.

    Raises:
        DataError: If a half has too few images, or a lesion belongs to two patients.
    """
    from datasets import DatasetDict

    labels, groups = np.array(dataset["label"][:]), np.array(_groups(dataset))
    malignant = np.isin(labels, [CODES.index(code) for code in MALIGNANT_CODES])
    rows = {"lesions": labels >= 0, "melanomas": labels == MELANOMA, "benign lesions": ~malignant}
    try:
        folds = grouped_folds(labels.tolist(), groups.tolist(), count=2)
    except ValueError:  # no diagnosis has two images
        folds = np.zeros(len(labels))
    for kind, needed in SMALLEST.items():
        found = min(len(set(groups[rows[kind] & (folds == k)])) for k in (0, 1))
        if found < needed:
            problem = f"each half needs {needed} {kind}, not {found} (all lesions of a known patient count as one)"
            raise DataError(f"{problem}; add images")
    return DatasetDict({n: dataset.select(np.flatnonzero(folds == k)) for k, n in enumerate(("validation", "test"))})


def _groups(dataset: "Dataset") -> list[str]:
    """The patient of each image where it is known for its lesion, else the lesion."""
    patients: dict[str, str] = {}
    lesions = dataset["lesion_id"][:]
    for lesion, patient in zip(lesions, dataset["patient_id"][:], strict=True):
        if patient != UNKNOWN and (other := patients.setdefault(lesion, patient)) != patient:
            raise DataError(f"the lesion {lesion} has the patients {other} and {patient}; give each its own lesion_id")
    return [patients.get(lesion, lesion) for lesion in lesions]


def answer_statistics(predictions: Predictions, release: Path) -> dict[str, Statistic]:
    """Make the overall metrics of a release, and those of its prediction sets and thresholds, where it has some."""
    labels, probabilities = predictions.labels, predictions.probabilities
    found = overall_statistics(labels, probabilities)
    if predictor := ConformalPredictor.load(release):
        inside = predictor.prediction_sets(probabilities, COVERAGE)
        found["prediction_set_coverage"] = Mean(inside[np.arange(len(labels)), labels])
        found["prediction_set_size"] = Mean(inside.sum(axis=1))
    for task in TASKS:
        if point := load_operating_point(release, task=task):
            scores, positive = task_scores(task, predictions)
            found[f"{task}_threshold_sensitivity"] = Mean(scores >= point.threshold, positive)
            found[f"{task}_threshold_specificity"] = Mean(scores < point.threshold, ~positive)
    return found


def measure_changes(before: dict[str, Statistic], after: dict[str, Statistic], counts: np.ndarray) -> dict[str, Change]:
    """Measure what two releases have in common on the same images, in resamples with counts (R, n)."""
    from skinvision_hf.evaluation.comparison import difference

    return {
        name: Change(
            bootstrap(before[name], counts),
            bootstrap(statistic, counts),
            None if isinstance(statistic, AbsoluteSum) else difference(before[name], statistic, counts),
        )
        for name, statistic in after.items()
        if name in before
    }
