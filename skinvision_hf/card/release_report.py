"""Everything that the pages of a release say about it: its files, read once into typed parts."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError, safe_open

from skinvision_hf.card.training_record import SYNTHETIC, TrainingStep
from skinvision_hf.config import CAM_METHOD, CAM_METHODS, LEAKY_SCHEME
from skinvision_hf.errors import DataError, ModelError
from skinvision_hf.evaluation.report import EvalReport
from skinvision_hf.evaluation.subgroups import Gap
from skinvision_hf.explain.explanation_report import (
    CENTRE,
    NO_NETWORK,
    NOISE,
    RANDOMISATIONS,
    ExplanationReport,
    MapScores,
)
from skinvision_hf.labels import CODES, DIAGNOSES
from skinvision_hf.models.release import CONFIG_FILE, METRICS_FILE, TRAINING_FILE, WEIGHTS_FILE
from skinvision_hf.ood.ood_report import OODReport, RobustnessReport
from skinvision_hf.records import Estimate, Record

__all__ = ["Measurements", "ReleaseReport"]


class MalignantAnswers(NamedTuple):
    """What the model answers for the images of one malignant diagnosis: numbers of images, and the commonest error."""

    name: str
    images: int
    recognised: int
    benign: int
    confused_with: str | None


@dataclass(frozen=True)
class Measurements(Record):
    """The sections of metrics.json that are measured outside of `skinvision_hf.evaluation`."""

    ood: OODReport | None = None
    robustness: RobustnessReport | None = None
    explanations: ExplanationReport | None = None


@dataclass(frozen=True)
class ReleaseReport:
    """A release as its pages describe it.

    Attributes:
        architecture: timm name of the network.
        input_size: Side of its square input in pixels.
        weights_origin: What the weights were trained from in the beginning: `timm`, `lite0`, `random`, or the name of a
            file or release.
        parameters: Number of trained values.
        weights_bytes: Size of the weights on disk.
        evaluation: What was measured on the test split.
        measured: OOD detection, robustness and explanations.
        training: How it was trained.
        files: Names of the files in the folder.
        figures: Names of the figures, without their ending.
        examples: Paths of the example images, relative to the folder.
    """

    architecture: str
    input_size: int
    weights_origin: str
    parameters: int
    weights_bytes: int
    evaluation: EvalReport
    measured: Measurements
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
        path = Path(folder) / METRICS_FILE
        metrics = _read_object(path)
        try:
            evaluation, measured = EvalReport.from_dict(metrics, source=str(path)), Measurements.from_dict(metrics)
        except DataError as error:
            raise ModelError(f"{error}") from error
        return cls.compose(folder, evaluation, measured)

    @classmethod
    def compose(cls, folder: str | Path, evaluation: EvalReport, measured: Measurements) -> "ReleaseReport":
        """Put together what was measured and what the other files of a release folder say.

        Raises:
            ModelError: If one of these files is missing, damaged, or lacks a field.
        """
        folder = Path(folder)
        config = _read_object(folder / CONFIG_FILE)
        try:
            training = TrainingStep.from_dict(_read_object(folder / TRAINING_FILE))
            architecture, input_size = config["architecture"], config["pretrained_cfg"]["input_size"][-1]
        except DataError as error:
            raise ModelError(f"{folder / TRAINING_FILE}: {error}; train the release again") from error
        except (KeyError, TypeError) as error:
            raise ModelError(f"{folder / CONFIG_FILE} has no {error}; write the release again") from error
        started = config.get("initial_weights") or {}
        known = started.get("source") == training.config.model.init
        parameters, size = _weights(folder / WEIGHTS_FILE)
        return cls(
            architecture=architecture,
            input_size=input_size,
            weights_origin=started.get("origin", training.initial_weights) if known else training.initial_weights,
            parameters=parameters,
            weights_bytes=size,
            evaluation=evaluation,
            measured=measured,
            training=training,
            files=tuple(sorted(path.name for path in folder.iterdir() if path.is_file())),
            figures=tuple(sorted(path.stem for path in (folder / "figures").glob("*.png"))),
            examples=tuple(sorted(f"examples/{path.name}" for path in (folder / "examples").glob("*.png"))),
        )

    @property
    def synthetic(self) -> bool:
        """Whether it learned from lesions drawn in code, or was measured on them."""
        return self.evaluation.split.scheme.startswith(SYNTHETIC) or self.training.synthetic

    @property
    def leaky(self) -> bool:
        """Whether images of one lesion may be in its training data and in its test data."""
        return self.evaluation.split.scheme.endswith(LEAKY_SCHEME) or self.training.leaky

    @property
    def unseen(self) -> bool:
        """Whether it was measured on lesions that were in no step of its training."""
        scheme = self.evaluation.split.scheme.removeprefix(f"{SYNTHETIC}, ")
        same = all(step.split == scheme for step in self.training.steps)
        return same and not self.leaky and self.evaluation.split.name != "train"

    @property
    def ood(self) -> OODReport | None:
        """What OOD detection does."""
        return self.measured.ood

    @property
    def explanations(self) -> ExplanationReport | None:
        """How good heat maps are."""
        return self.measured.explanations

    def chosen_on_validation(self) -> list[str]:
        """What the validation split decided, so that numbers on it are optimistic."""
        evaluation = self.evaluation
        choices = {
            "the epoch": self.training.best,
            "the temperature": evaluation.calibration,
            "the conformal thresholds": evaluation.conformal,
            "the operating points": evaluation.operating_points,
            "the thresholds of OOD detection": self.ood,
        }
        return [*(name for name, measured in choices.items() if measured), "the training recipe"]

    def malignant_answers(self) -> Iterator[MalignantAnswers]:
        """What the model answers for the images of each malignant or pre-malignant diagnosis, most images first."""
        benign = [not diagnosis.malignant for diagnosis in DIAGNOSES]
        rows = zip(DIAGNOSES, self.evaluation.confusion_matrix, strict=True)
        for diagnosis, row in sorted(rows, key=lambda item: -sum(item[1])):
            if diagnosis.malignant:
                k = CODES.index(diagnosis.code)
                wrong = {other.name: count for other, count in zip(DIAGNOSES, row, strict=True) if other != diagnosis}
                worst = max(wrong, key=wrong.__getitem__)
                called_benign = sum(count for count, harmless in zip(row, benign, strict=True) if harmless)
                yield MalignantAnswers(diagnosis.name, sum(row), row[k], called_benign, worst if wrong[worst] else None)

    def heat_maps(self, *, all_methods: bool = False) -> Iterator[tuple[str, MapScores]]:
        """Names and scores of the maps of the trained network and of the baselines; by default of its usual method."""
        report = self.explanations
        if report is None:
            return
        measured = {entry.map for entry in report.maps}
        for method in CAM_METHODS if all_methods else (CAM_METHOD,):
            if method in measured:
                yield method, report.find(method)
        yield "centre-bias baseline", report.find(CENTRE, NO_NETWORK)
        yield "noise", report.find(NOISE, NO_NETWORK)

    def randomised(self) -> dict[str, dict[str, Estimate | None]]:
        """Rank correlation with the maps of the random networks, by method and by what is random."""
        found: dict[str, dict[str, Estimate | None]] = {}
        for entry in self.explanations.maps if self.explanations else ():
            if entry.network in RANDOMISATIONS:
                found.setdefault(entry.map, {})[entry.network] = entry.rank_correlation
        return found

    def gaps(self) -> list[tuple[str, Gap]]:
        """The largest gap of each metric between two groups, with the attribute of the groups."""
        subgroups = self.evaluation.subgroups
        return [(name, gap) for name, gaps in subgroups.gaps.items() for gap in gaps] if subgroups else []


def _read_object(path: Path) -> dict[str, Any]:
    """Read a JSON object of a release.

    Raises:
        ModelError: If there is none.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelError(f"{path.parent} has no {path.name}; train and evaluate the release first") from error
    except OSError as error:
        raise ModelError(f"cannot read {path} ({error.strerror})") from error
    except ValueError as error:
        raise ModelError(f"{path} is not valid JSON ({error}); write it again") from error
    if not isinstance(value, dict):
        raise ModelError(f"{path} is not a JSON object; write it again")
    return value


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
