"""A lint for our own cards: what a reader would stumble over is found before it is published."""

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import ModelCard

__all__ = ["lint_card"]

REQUIRED_FIELDS = ("license", "library_name", "pipeline_tag", "datasets", "metrics", "tags", "model-index")
REQUIRED_SECTIONS = (
    "How to use",
    "Intended use",
    "Out of scope",
    "Training data",
    "Training procedure",
    "Evaluation",
    "Calibration",
    "Explanations",
    "Limits and bias",
    "Licence",
    "Citation",
)
FRONT_MATTER = re.compile(r"---\r?\n(.*?)\r?\n---\r?\n", re.DOTALL)
PLACEHOLDER = re.compile(r"\{\{|\}\}|\{%|%\}|\[More Information Needed\]|\bTODO\b|\bFIXME\b|\bXXX\b|\bTBD\b")
NOT_A_NUMBER = re.compile(r"(?<![\w-])(?:nan|NaN|inf|None)(?![\w-])")
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)|<img[^>]+src=\"([^\"]+)\"")
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)


def lint_card(folder: str | Path) -> list[str]:
    """Look for faults in the README.md of a release folder.

    Found are: no card, metadata that is missing or that the Hub's client cannot read, unresolved placeholders, missing
    sections, values that are no numbers, and links or figures that are not in the folder.

    Returns:
        One line for each fault; empty when there is none.
    """
    folder = Path(folder)
    path = folder / "README.md"
    if not path.is_file():
        return ["README.md is missing"]
    content = path.read_text(encoding="utf-8")
    match = FRONT_MATTER.match(content)
    if not match:
        return ["README.md has no metadata block between lines of ---"]
    text = content[match.end() :]
    return [*_metadata_faults(match.group(1)), *_text_faults(text), *_link_faults(folder, text)]


def _metadata_faults(block: str) -> Iterator[str]:
    try:
        metadata = yaml.safe_load(block)
    except yaml.YAMLError as error:
        yield f"metadata is no YAML: {str(error).splitlines()[0]}"
        return
    if not isinstance(metadata, dict):
        yield "metadata is no mapping"
        return
    yield from (f"metadata lacks {field}" for field in REQUIRED_FIELDS if not metadata.get(field))
    if PLACEHOLDER.search(block):
        yield f"metadata has an unresolved placeholder: {PLACEHOLDER.findall(block)[0]}"
    yield from (f"metadata {place} is no finite number" for place in _not_finite(metadata))
    try:
        results = ModelCard(f"---\n{block}\n---\n").data.eval_results or []
    except (ValueError, TypeError) as error:
        yield f"the Hub's client cannot read the metadata: {str(error).splitlines()[0]}"
        return
    for result in results:
        if not isinstance(result.metric_value, (int, float)):
            yield f"model-index: {result.metric_name} has no value"
        if not result.dataset_split:
            yield f"model-index: {result.metric_name} names no split"
        if not (result.metric_args or {}).get("interval_95"):
            yield f"model-index: {result.metric_name} has no interval"


def _not_finite(value: Any, place: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _not_finite(item, f"{place}.{key}".lstrip("."))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _not_finite(item, f"{place}[{number}]")
    elif isinstance(value, float) and not math.isfinite(value):
        yield place


def _text_faults(text: str) -> Iterator[str]:
    for number, line in enumerate(text.splitlines(), start=1):
        if match := PLACEHOLDER.search(line):
            yield f"text line {number} has an unresolved placeholder: {match.group()}"
    headings = {line.lstrip("# ").strip() for line in text.splitlines() if line.startswith("#")}
    yield from (f"the section '{name}' is missing" for name in REQUIRED_SECTIONS if name not in headings)
    for number, line in enumerate(CODE.sub(_blank, text).splitlines(), start=1):
        if match := NOT_A_NUMBER.search(line):
            yield f"text line {number} shows {match.group()} where a value belongs"


def _blank(match: re.Match[str]) -> str:
    """Keep the line numbers while the code goes."""
    return "\n" * match.group().count("\n")


def _link_faults(folder: Path, text: str) -> Iterator[str]:
    text = CODE.sub(_blank, text)
    anchors = {_anchor(line) for line in text.splitlines() if line.startswith("#")}
    for target in sorted({a or b for a, b in LINK.findall(text)}):
        if target.startswith("#"):
            if target[1:] not in anchors:
                yield f"the link {target} leads to no section"
        elif "://" not in target and not target.startswith("mailto:"):
            path, root = (folder / target.partition("#")[0]).resolve(), folder.resolve()
            if not path.exists() or not path.is_relative_to(root):
                kind = "figure" if target.startswith("figures/") else "link"
                yield f"the {kind} {target} is named but not in the folder"


def _anchor(heading: str) -> str:
    words = re.sub(r"[^\w\- ]", "", heading.lstrip("#").strip().lower())
    return words.replace(" ", "-")
