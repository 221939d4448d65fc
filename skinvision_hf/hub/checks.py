"""What a release must fulfil to be published: three loaders agree, its numbers are numbers, its card is whole."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import timm
import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoModelForImageClassification

from skinvision_hf.card import lint_card, read_facts
from skinvision_hf.card.facts import ReleaseFacts, read_json
from skinvision_hf.card.model import MAIN_METRICS, may_lack_interval
from skinvision_hf.errors import HubError
from skinvision_hf.evaluation.bootstrap import Estimate
from skinvision_hf.evaluation.metrics import CLASS_METRICS
from skinvision_hf.files import sha256
from skinvision_hf.labels import CODES
from skinvision_hf.models.release import (
    CONFIG_FILE,
    CONFORMAL_FILE,
    GUARD_FILE,
    METRICS_FILE,
    PARTS_KEY,
    WEIGHTS_FILE,
    release_parts,
)
from skinvision_hf.models.skinvision import SkinVision

__all__ = ["check_card", "check_release"]

TOLERANCE = 1e-4
# Largest values of metrics that are no shares.
UPPER = {"log_loss": math.inf, "brier_score": 2.0}
# Sections of metrics.json that are about a file.
MEASURED_PARTS = {"guard": GUARD_FILE, "conformal": CONFORMAL_FILE}


def check_release(folder: Path) -> None:
    """Check a release folder as it would be published.

    Raises:
        ModelError: If it cannot be loaded.
        HubError: If the loaders disagree, a metric is missing or impossible, the report is about other weights or about
            a part that is missing, or the card has a fault.
    """
    if (folder / "preprocessor_config.json").exists():
        raise HubError("transformers would pick a wrong processor by preprocessor_config.json; delete that file")
    answers = dict(_answers(folder))
    reference = answers.pop("skinvision_hf")
    for loader, answer in answers.items():
        if not np.allclose(answer, reference, rtol=TOLERANCE, atol=TOLERANCE):
            raise HubError(f"{folder.name}: {loader} and skinvision_hf give different answers; save the release again")
    facts = read_facts(folder)
    faults = [*_part_faults(folder, facts), *_number_faults(folder), *_metric_faults(facts), *lint_card(folder)]
    if faults:
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        raise HubError(f"the release is not fit to be published: {faults[0]}{more}; evaluate and write it again")


def check_card(folder: Path, kind: Literal["dataset", "space"]) -> None:
    """Check the card of a data set or a Space as it would be published.

    Raises:
        HubError: If it has a fault.
    """
    if faults := lint_card(folder, repo_type=kind):
        raise HubError(f"the card of the {kind} is not fit to be published: {faults[0]}; mend its README.md")


def _answers(folder: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Probabilities of one picture from each loader."""
    noise = np.random.default_rng(0).integers(0, 256, (150, 200, 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    prediction = SkinVision.from_pretrained(folder, device="cpu").predict(image)
    yield "skinvision_hf", np.array([prediction.probabilities[code] for code in CODES])
    with torch.inference_mode():
        model = AutoModelForImageClassification.from_pretrained(folder).eval()
        pixels = AutoImageProcessor.from_pretrained(folder)(image, return_tensors="pt")["pixel_values"]
        yield "transformers", model(pixels).logits.softmax(dim=1)[0].numpy()
        network = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
        transform = timm.data.create_transform(**timm.data.resolve_model_data_config(network), is_training=False)
        yield "timm", network(transform(image)[None]).softmax(dim=1)[0].numpy()


def _part_faults(folder: Path, facts: ReleaseFacts) -> Iterator[str]:
    """Whether the report is about the very files that are here."""
    measured = read_json(folder / METRICS_FILE, "evaluate it").get("model") or {}
    if measured.get("weights_sha256") != sha256(folder / WEIGHTS_FILE):
        yield f"{METRICS_FILE} was measured with other weights than those of {WEIGHTS_FILE}"
    for section, name in MEASURED_PARTS.items():
        if section in facts.evaluation.sections and not (folder / name).is_file():
            yield f"{METRICS_FILE} reports on {name}, which is missing"
    listed = read_json(folder / CONFIG_FILE, "train it again").get(PARTS_KEY)
    if listed != release_parts(folder):
        yield f"{CONFIG_FILE} lists {listed} as {PARTS_KEY}, but there are {release_parts(folder)}"


def _metric_faults(facts: ReleaseFacts) -> Iterator[str]:
    for metric in MAIN_METRICS:
        estimate = facts.evaluation.overall.get(metric.name)
        if estimate is None or estimate.value is None:
            yield f"metrics.json has no {metric.name}"
        elif (estimate.low is None or estimate.high is None) and not may_lack_interval(metric, estimate.value):
            yield f"metrics.json has no interval for {metric.name}"
    groups = {"": facts.evaluation.overall, **{f" of {code}": facts.evaluation.per_class[code] for code in CODES}}
    for place, estimates in groups.items():
        yield from (f"metrics.json has no {name}{place}" for name in CLASS_METRICS if place and name not in estimates)
        yield from (
            f"metrics.json holds an impossible {name}{place}"
            for name, estimate in estimates.items()
            if not _is_possible(estimate, UPPER.get(name, 1.0))
        )


def _is_possible(estimate: Estimate, upper: float) -> bool:
    values = [value for value in (estimate.low, estimate.value, estimate.high) if value is not None]
    ordered = estimate.low is None or estimate.high is None or estimate.low <= estimate.high
    return ordered and all(0 <= value <= upper for value in values)


def _number_faults(folder: Path) -> Iterator[str]:
    for path in sorted(folder.glob("*.json")):
        if any(not math.isfinite(value) for value in _numbers(json.loads(path.read_text(encoding="utf-8")))):
            yield f"{path.name} holds a value that is no finite number"


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _numbers(item)
    elif isinstance(value, float):
        yield value
