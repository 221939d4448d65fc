"""The lint of a card's metadata: what the Hub's rules ask for, as far as its client and the SPDX list carry them."""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import EvalResult, InferenceClient, ModelCard
from huggingface_hub.utils import HFValidationError, validate_repo_id
from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from skinvision_hf.card.dataset import SIZES
from skinvision_hf.card.lint_text import PLACEHOLDER
from skinvision_hf.card.model import INTERVAL, MAIN_METRICS, Metric, may_lack_interval

__all__ = ["metadata_faults"]

REQUIRED_FIELDS = {
    "model": ("license", "library_name", "pipeline_tag", "datasets", "metrics", "tags", "model-index"),
    "dataset": ("license", "pretty_name", "task_categories", "size_categories", "tags", "configs"),
    "space": (
        *("license", "title", "emoji", "colorFrom", "colorTo", "sdk", "sdk_version", "app_file"),
        "short_description",
    ),
}
RELATIONS = ("finetune", "adapter", "merge", "quantized")
COLOURS = ("red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray")
LONGEST_DESCRIPTION = 60


def metadata_faults(block: str, folder: Path, repo_type: str) -> Iterator[str]:
    """Find the faults of a block of metadata.

    Args:
        block: YAML, without the lines of ---.
        folder: The folder that it is about.
        repo_type: `model`, `dataset` or `space`.
    """
    try:
        metadata = yaml.safe_load(block)
    except yaml.YAMLError as error:
        yield f"metadata is no YAML: {str(error).splitlines()[0]}"
        return
    if not isinstance(metadata, dict):
        yield "metadata is no mapping"
        return
    yield from (f"metadata lacks {field}" for field in REQUIRED_FIELDS[repo_type] if not metadata.get(field))
    if PLACEHOLDER.search(block):
        yield f"metadata has an unresolved placeholder: {PLACEHOLDER.findall(block)[0]}"
    yield from (f"metadata {place} is no finite number" for place in _not_finite(metadata))
    for field, (known, what) in FIELDS.items():
        for value in _listed(metadata.get(field)):
            if not known(value):
                yield f"metadata {field} {value!r} is not {what}"
    if repo_type == "model":
        yield from _index_faults(block)
    elif repo_type == "dataset":
        yield from _config_faults(metadata)
    elif not (folder / str(metadata.get("app_file"))).is_file():
        yield f"metadata app_file {metadata.get('app_file')} is not in the folder"


def _index_faults(block: str) -> Iterator[str]:
    """Whether the model-index, as the Hub's client reads it, has every main metric."""
    try:
        results = ModelCard(f"---\n{block}\n---\n").data.eval_results or []
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        yield f"the Hub's client cannot read the metadata: {str(error).splitlines()[0]}"
        return
    found = {result.metric_name: result for result in results}
    for metric in MAIN_METRICS:
        if metric.title in found:
            faults = _result_faults(metric, found[metric.title])
            yield from (f"model-index: {metric.title} {fault}" for fault in faults)
        else:
            yield f"model-index lacks {metric.title}"


def _result_faults(metric: Metric, result: EvalResult) -> Iterator[str]:
    if not _is_number(result.metric_value):
        yield "has no value"
    if not result.dataset_split:
        yield "names no split"
    arguments = result.metric_args or {}
    interval = arguments.get(INTERVAL)
    if INTERVAL not in arguments and may_lack_interval(metric, result.metric_value):
        return
    if not isinstance(interval, list) or len(interval) != 2 or not all(map(_is_number, interval)):
        yield "has no interval"
    elif interval[0] > interval[1]:
        yield "has an interval whose ends are swapped"


def _config_faults(metadata: Mapping[str, Any]) -> Iterator[str]:
    """Whether the parts of a data set say what they are called and where they are."""
    for config in _listed(metadata.get("configs")):
        files = config.get("data_files") if isinstance(config, dict) else None
        if not isinstance(files, list) or not all(isinstance(f, dict) and {"split", "path"} <= f.keys() for f in files):
            yield "metadata configs: data_files has no split and path for each part"


def _not_finite(value: Any, place: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _not_finite(item, f"{place}.{key}".lstrip("."))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _not_finite(item, f"{place}[{number}]")
    elif isinstance(value, float) and not math.isfinite(value):
        yield place


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _listed(value: Any) -> list[Any]:
    """The values of a field that holds one or several; none where it is left out."""
    return [] if value is None else value if isinstance(value, list) else [value]


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_licence(value: object) -> bool:
    """Whether the Hub knows a licence: it uses the SPDX names in small letters, and `other`."""
    if not isinstance(value, str) or not re.fullmatch(r"[a-z0-9.+-]+", value):
        return False
    try:
        return value == "other" or bool(canonicalize_license_expression(value))
    except InvalidLicenseExpression:
        return False


def _is_task(value: object) -> bool:
    """Whether it is a task: the Hub's client has a function for each."""
    return isinstance(value, str) and "-" in value and hasattr(InferenceClient, value.replace("-", "_"))


def _is_repo(value: object) -> bool:
    try:
        validate_repo_id(value)
    except HFValidationError:
        return False
    return True


def _one_of(names: tuple[str, ...]) -> tuple[Callable[[object], bool], str]:
    return lambda value: value in names, f"one of {', '.join(names)}"


FIELDS: dict[str, tuple[Callable[[object], bool], str]] = {
    "license": (_is_licence, "a licence that the Hub knows"),
    "pipeline_tag": (_is_task, "a task that the Hub knows"),
    "task_categories": (_is_task, "a task that the Hub knows"),
    "base_model": (_is_repo, "the name of a repository"),
    "base_model_relation": _one_of(RELATIONS),
    "datasets": (_is_repo, "the name of a repository"),
    "models": (_is_repo, "the name of a repository"),
    "library_name": (_is_text, "a text"),
    "tags": (_is_text, "a text"),
    "metrics": (_is_text, "a text"),
    "language": (lambda value: isinstance(value, str) and len(value) in (2, 3), "a code of a language"),
    "size_categories": _one_of(tuple(name for name, _ in SIZES)),
    "sdk": _one_of(("gradio", "docker", "static")),
    "sdk_version": (lambda value: bool(re.fullmatch(r"\d+\.\d+\.\d+", str(value))), "a full version"),
    "colorFrom": _one_of(COLOURS),
    "colorTo": _one_of(COLOURS),
    "short_description": (
        lambda value: _is_text(value) and len(str(value)) <= LONGEST_DESCRIPTION,
        f"a text of at most {LONGEST_DESCRIPTION} characters",
    ),
}
