"""What a release knows about itself, read from its own files into typed data."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from safetensors import SafetensorError, safe_open

from skinvision_hf.card.sections import read_sections
from skinvision_hf.card.tables import Section
from skinvision_hf.card.training import DRAWN, Training, read_training
from skinvision_hf.config import LEAKY_SCHEME
from skinvision_hf.errors import DataError, ModelError
from skinvision_hf.evaluation.bootstrap import Estimate
from skinvision_hf.labels import CODES
from skinvision_hf.models.release import CONFIG_FILE, METRICS_FILE, TRAINING_FILE, WEIGHTS_FILE

__all__ = ["Evaluation", "Links", "ReleaseFacts", "read_facts", "read_json"]

T = TypeVar("T")


@dataclass(frozen=True)
class Links:
    """Where the parts that belong together are on the Hub, as far as they are there.

    Attributes:
        model_id: The model.
        dataset_id: The data set that it was trained on.
        space_id: The Space that shows it.
    """

    model_id: str | None = None
    dataset_id: str | None = None
    space_id: str | None = None


@dataclass(frozen=True)
class Evaluation:
    """The measured part of a release: `metrics.json`.

    Attributes:
        split: Name of the split, such as `ham10000-v1`.
        part: The part of it that was evaluated, such as `test`.
        images: Images in that part.
        lesions: Lesions in that part.
        overall: Overall metrics by name.
        per_class: Metrics by code of the diagnosis, then by name.
        validation: Overall metrics on the validation part; empty when they were not recorded.
        image_size: Median width and height of the images in pixels; None when they were not recorded.
        sections: What else was measured, by the name of its section.
    """

    split_scheme: str
    split: str
    images: int
    lesions: int
    overall: Mapping[str, Estimate]
    per_class: Mapping[str, Mapping[str, Estimate]]
    validation: Mapping[str, Estimate]
    image_size: tuple[int, int] | None
    sections: Mapping[str, Section]

    @property
    def drawn(self) -> bool:
        """Whether the images are drawings, as in trials of the software, and no photographs."""
        return self.split_scheme.startswith(DRAWN)

    @property
    def subject(self) -> str:
        """What was measured, as a sentence names it."""
        return f"the {self.split} part of " + ("lesions drawn in code" if self.drawn else f"`{self.split_scheme}`")

    @property
    def leaky(self) -> bool:
        """Whether photographs of one lesion may be in training and in test."""
        return self.split_scheme.endswith(LEAKY_SCHEME)


@dataclass(frozen=True)
class ReleaseFacts:
    """All that a card says about one release.

    Attributes:
        folder: The release.
        architecture: timm name of the network.
        input_size: Channels, height and width of its input.
        crop_mode: How an image becomes square.
        parameters: Number of trained values.
        weights_bytes: Size of the weights on disk.
        weights_origin: What the weights came from in the beginning: `timm`, `lite0`, `random`, or the name of a file or
            release, from before the first step of the training that is on record.
        evaluation: What was measured.
        training: How it was trained.
        files: Names of the files beside the card.
        figures: Paths of the figures, relative to the folder.
        examples: Paths of the example images, relative to the folder.
    """

    folder: Path
    architecture: str
    input_size: tuple[int, int, int]
    crop_mode: str
    parameters: int
    weights_bytes: int
    weights_origin: str
    evaluation: Evaluation
    training: Training
    files: tuple[str, ...]
    figures: tuple[str, ...]
    examples: tuple[str, ...]

    @property
    def drawn(self) -> bool:
        """Whether it learned from drawings, or was measured on them."""
        return self.evaluation.drawn or self.training.drawn

    @property
    def leaky(self) -> bool:
        """Whether photographs of one lesion may have been on both sides, in its training or in its evaluation."""
        return self.evaluation.leaky or self.training.leaky

    @property
    def unseen(self) -> bool:
        """Whether it was measured on lesions that were in no step of its training."""
        split_scheme = self.evaluation.split_scheme.removeprefix(f"{DRAWN}, ")
        same = all(step.split_scheme == split_scheme for step in self.training.steps)
        return same and not self.leaky and self.evaluation.split != "train"


def read_facts(folder: str | Path) -> ReleaseFacts:
    """Read a release folder.

    Raises:
        ModelError: If one of its files is missing, damaged, or lacks a field.
    """
    folder = Path(folder)
    config = read_json(folder / CONFIG_FILE, "train it with scripts/train.py")
    metrics = read_json(folder / METRICS_FILE, "evaluate it with scripts/evaluate_model.py")
    training = read_json(folder / TRAINING_FILE, "only a release of scripts/train.py has one")
    parameters, size = _weights(folder / WEIGHTS_FILE)
    cfg = _read(lambda: config["pretrained_cfg"], folder / CONFIG_FILE)
    started = config.get("initial_weights", {})
    trained = _read(lambda: read_training(training), folder / TRAINING_FILE)
    return ReleaseFacts(
        folder=folder,
        architecture=_read(lambda: config["architecture"], folder / CONFIG_FILE),
        input_size=_read(lambda: tuple(cfg["input_size"]), folder / CONFIG_FILE),
        crop_mode=cfg.get("crop_mode", "center"),
        parameters=parameters,
        weights_bytes=size,
        weights_origin=_origin(started, trained),
        evaluation=_read(lambda: _evaluation(metrics), folder / METRICS_FILE),
        training=trained,
        files=tuple(sorted(path.name for path in folder.iterdir() if path.is_file())),
        figures=_names(folder, "figures"),
        examples=_names(folder, "examples"),
    )


def read_json(path: Path, remedy: str) -> dict[str, Any]:
    """Read a JSON object of a release.

    Raises:
        ModelError: If there is none; the message ends with the remedy.
    """
    if not path.is_file():
        raise ModelError(f"{path.parent} has no {path.name}; {remedy}")
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{path} is no JSON ({error}); write it again") from error
    if not isinstance(value, dict):
        raise ModelError(f"{path} holds no JSON object; write it again")
    return value


def _read(read: Callable[[], T], path: Path) -> T:
    try:
        return read()
    except KeyError as error:
        raise ModelError(
            f"{path} lacks the field {error}; write it again with this version of skinvision_hf"
        ) from error
    except DataError as error:
        raise ModelError(f"{path} has a setting that cannot be ({error}); write it again") from error
    except (TypeError, AttributeError) as error:
        raise ModelError(f"{path} has a field of the wrong kind ({error}); write it again") from error


def _evaluation(metrics: dict[str, Any]) -> Evaluation:
    split_scheme = metrics["split"]
    return Evaluation(
        split_scheme=split_scheme["name"],
        split=split_scheme["part"],
        images=split_scheme["images"],
        lesions=split_scheme["lesions"],
        overall=_estimates(metrics["overall"]),
        per_class={code: _estimates(metrics["per_class"][code]) for code in CODES},
        validation=_estimates(metrics.get("validation", {}).get("overall", {})),
        image_size=tuple(metrics["images"]["median_size"]) if "images" in metrics else None,
        sections=read_sections(metrics),
    )


def _estimates(values: Mapping[str, Any]) -> dict[str, Estimate]:
    return {name: Estimate(**value) for name, value in values.items()}


def _origin(started: Mapping[str, str], training: Training) -> str:
    """What the configuration says about the weights, if it is about this training; else what the first step says."""
    known = started.get("source") == training.last.config.model.init
    return started.get("origin", training.initial_weights) if known else training.initial_weights


def _weights(path: Path) -> tuple[int, int]:
    """Number of trained values and size in bytes."""
    if not path.is_file():
        raise ModelError(f"{path.parent} has no {path.name}; train it with scripts/train.py")
    count = 0
    try:
        with safe_open(path, framework="numpy") as file:
            for key in file.keys():  # noqa: SIM118 - the handle is no dictionary
                size = 1
                for length in file.get_slice(key).get_shape():
                    size *= length
                count += 0 if "running_" in key or key.endswith("num_batches_tracked") else size
    except SafetensorError as error:
        raise ModelError(f"{path} is damaged; write the release again") from error
    return count, path.stat().st_size


def _names(folder: Path, subfolder: str) -> tuple[str, ...]:
    paths = sorted((folder / subfolder).glob("*"))
    return tuple(path.relative_to(folder).as_posix() for path in paths if path.suffix in (".png", ".jpg"))
