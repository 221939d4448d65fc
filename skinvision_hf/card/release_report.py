"""Everything that the pages of a release say about it: its files, read once into typed parts."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from skinvision_hf.card.training_record import TrainingStep, read_training
from skinvision_hf.config import LEAKY_SCHEME
from skinvision_hf.errors import DataError, ModelError
from skinvision_hf.evaluation.adaptation import AdaptationReport
from skinvision_hf.evaluation.report import EvalReport
from skinvision_hf.explain.explanation_report import ExplanationReport
from skinvision_hf.files import read_json
from skinvision_hf.labels import DIAGNOSES
from skinvision_hf.models.release import CONFIG_FILE, METRICS_FILE, WEIGHTS_FILE, release_files
from skinvision_hf.ood.ood_report import OODReport, RobustnessReport
from skinvision_hf.records import Record

SYNTHETIC = "synthetic"
"""Data of this name, and split schemes that begin with it, hold lesions drawn in code."""


@dataclass(frozen=True)
class Measurements(Record):
    """The sections of metrics.json besides those of `EvalReport`."""

    ood: OODReport | None = None
    robustness: RobustnessReport | None = None
    explanations: ExplanationReport | None = None
    adaptation: AdaptationReport | None = None


@dataclass(frozen=True)
class ReleaseReport:
    """A release as its pages describe it.

    Attributes:
        weights_origin: What the weights were trained from in the beginning: `timm`, `lite0`, `random`, or the name of a
            file or release.
        parameters: Number of trained values.
        figures: Names of the figures, without their ending.
        files: Paths of all files, relative to the folder, as those of the example images.
    """

    architecture: str
    input_size: int
    weights_origin: str
    parameters: int
    weights_bytes: int
    evaluation: EvalReport
    ood: OODReport | None
    robustness: RobustnessReport | None
    explanations: ExplanationReport | None
    adaptation: AdaptationReport | None
    training: TrainingStep
    files: tuple[str, ...]
    figures: tuple[str, ...]
    examples: tuple[str, ...]

    @classmethod
    def read(cls, folder: str | Path) -> "ReleaseReport":
        """Read a release folder.

        Raises:
            ModelError: If one of its files is missing, damaged, or lacks a field.
        """
        folder = Path(folder)
        metrics = read_json(folder / METRICS_FILE)
        try:
            evaluation, measured = EvalReport.from_dict(metrics), Measurements.from_dict(metrics)
        except DataError as error:
            problem = f"{folder / METRICS_FILE} is not a valid {METRICS_FILE} ({error})"
            raise ModelError(f"{problem}; evaluate the model again") from error
        training, config = read_training(folder), read_json(folder / CONFIG_FILE)
        try:
            architecture, input_size = config["architecture"], config["pretrained_cfg"]["input_size"][-1]
        except (KeyError, TypeError) as error:
            raise ModelError(f"{folder / CONFIG_FILE} has no {error}; write the release again") from error
        init, started = training.steps[0].config.model.init, config.get("initial_weights") or {}
        parameters, size = _weights(folder / WEIGHTS_FILE)
        return cls(
            architecture=architecture,
            input_size=input_size,
            weights_origin=started.get("origin", init) if started.get("source") == training.config.model.init else init,
            parameters=parameters,
            weights_bytes=size,
            evaluation=evaluation,
            **vars(measured),
            training=training,
            files=tuple(path.relative_to(folder).as_posix() for path in release_files(folder)),
            figures=tuple(sorted(path.stem for path in (folder / "figures").glob("*.png"))),
            examples=tuple(sorted(f"examples/{path.name}" for path in (folder / "examples").glob("*.png"))),
        )

    @property
    def synthetic(self) -> bool:
        """Whether it learned from lesions drawn in code, or was measured on them."""
        learned = [step.config.data for step in self.training.steps]
        return any(name.startswith(SYNTHETIC) for name in (self.evaluation.split.scheme, *learned))

    @property
    def leaky(self) -> bool:
        """Whether images of one lesion may be in its training data and in its test data."""
        learned = [step.split_scheme for step in self.training.steps]
        return any(name.endswith(LEAKY_SCHEME) for name in (self.evaluation.split.scheme, *learned))

    @property
    def unseen(self) -> bool:
        """Whether it was measured on lesions that were in no step of its training."""
        scheme = self.evaluation.split.scheme.removeprefix(f"{SYNTHETIC}, ")
        same = all(step.split_scheme == scheme for step in self.training.steps)
        return same and not self.leaky and self.evaluation.split.name != "train"

    def malignant_answers(self) -> Iterator[tuple[str, int, int, int, str | None]]:
        """What the model answers for each malignant or pre-malignant diagnosis, most images first.

        Its name, the numbers of all images, of those recognised and of those called benign, and the commonest error.
        """
        matrix = np.array(self.evaluation.confusion_matrix)
        wrong = matrix * (1 - np.eye(len(DIAGNOSES), dtype=int))
        benign = [not diagnosis.malignant for diagnosis in DIAGNOSES]
        for k in np.argsort(-matrix.sum(axis=1), kind="stable"):
            if not benign[k]:
                worst = DIAGNOSES[wrong[k].argmax()].name if wrong[k].any() else None
                row = matrix[k]
                yield DIAGNOSES[k].name, row.sum(), row[k], row[benign].sum(), worst


def _weights(path: Path) -> tuple[int, int]:
    """Number of trained values, and size in bytes."""
    count = 0
    try:
        with safe_open(path, framework="numpy") as file:
            for key in file.keys():  # noqa: SIM118 - the handle is not a dictionary
                trained = "running_" not in key and not key.endswith("num_batches_tracked")
                count += math.prod(file.get_slice(key).get_shape()) if trained else 0
    except FileNotFoundError as error:
        raise ModelError(f"{path.parent} has no {path.name}; train the release first") from error
    except SafetensorError as error:
        raise ModelError(f"{path} is damaged; write the release again") from error
    return count, path.stat().st_size
