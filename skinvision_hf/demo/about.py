"""The tab 'About this model': three key numbers, then sections that open in place, each with its figure."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from skinvision_hf.card import CAPTIONS, ReleaseReport, render_page
from skinvision_hf.card.phrases import say
from skinvision_hf.demo.parts import html
from skinvision_hf.errors import ModelError
from skinvision_hf.labels import DISCLAIMER
from skinvision_hf.models.prediction import load_operating_point

UNMEASURED = (
    "This release has no measurements, so its quality is unknown. Use its answers only to try the page.\n\n"
    f"> {DISCLAIMER}\n"
)
# The figure of each section of the template, by the section's title.
FIGURES = {
    "All metrics": "confusion_matrix",
    "By diagnosis": "per_class_metrics",
    "What it misses": "operating_points",
    "When OOD detection refuses": "ood_far",
    "How stable answers are": "robustness",
    "Quality of the heat maps": "explanation_scores",
}


class Section(NamedTuple):
    """A part of the tab that is closed at first: its heading, Markdown, and HTML where it has a figure."""

    title: str
    text: str
    figure: str = ""


class About(NamedTuple):
    """What the tab shows: the key numbers as HTML, empty without measurements; Markdown; and sections below it."""

    numbers: str
    text: str
    sections: tuple[Section, ...] = ()


def describe_release(folder: Path) -> About:
    """Read a release's measurements; one that has none, or damaged ones, says so instead of failing the page."""
    try:
        report = ReleaseReport.read(folder)
        first, *parts = re.split(r"^## ", render_page("about.md", report), flags=re.MULTILINE)
        return About(_numbers(folder, report), first, tuple(_sections(parts, folder / "figures", report)))
    except ModelError:
        return About("", UNMEASURED)


def _sections(parts: list[str], folder: Path, report: ReleaseReport) -> Iterator[Section]:
    for part in parts:
        title, _, body = part.partition("\n")
        name = FIGURES.get(title)
        figure = html("figure", folder / f"{name}.png", CAPTIONS[name]) if name in report.figures else ""
        yield Section(title, body, figure)


def _numbers(folder: Path, report: ReleaseReport) -> str:
    numbers = {say("balanced_accuracy"): report.evaluation.overall["balanced_accuracy"]}
    if point := load_operating_point(folder):
        numbers[say("found")] = point.sensitivity
        numbers[say("cleared")] = point.specificity
    return html("numbers", numbers)
