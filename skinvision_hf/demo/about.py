"""The tab 'About this model': three key numbers, then sections that open in place, each with its figure."""

import re
from dataclasses import dataclass
from html import escape
from pathlib import Path
from urllib.parse import quote

from skinvision_hf.card import CAPTIONS, ReleaseReport, render_page
from skinvision_hf.demo.wording import percent
from skinvision_hf.errors import ModelError
from skinvision_hf.labels import DISCLAIMER
from skinvision_hf.models.prediction import load_operating_point
from skinvision_hf.records import Estimate

__all__ = ["About", "Section", "describe_release"]

TEMPLATE = "about.md"
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
    "What heat maps are worth": "explanation_scores",
}


@dataclass(frozen=True)
class Section:
    """A part of the tab that is closed at first.

    Attributes:
        title: Its heading.
        text: Markdown.
        figure: HTML; empty where the release has no figure for it.
    """

    title: str
    text: str
    figure: str


@dataclass(frozen=True)
class About:
    """What the tab shows.

    Attributes:
        numbers: The key numbers as HTML; empty for a release without measurements.
        text: Markdown.
        sections: What can be opened below it.
    """

    numbers: str
    text: str
    sections: tuple[Section, ...] = ()


def describe_release(folder: Path) -> About:
    """Read a release's measurements; one that has none, or damaged ones, says so instead of failing the page."""
    try:
        report = ReleaseReport.read(folder)
        text = render_page(TEMPLATE, report)
        return About(_numbers(folder, report), *_split(text, folder, report))
    except ModelError:
        return About("", UNMEASURED)


def _split(text: str, folder: Path, report: ReleaseReport) -> tuple[str, tuple[Section, ...]]:
    """The text above the first heading, and a section for each heading."""
    first, *parts = re.split(r"^## ", text, flags=re.MULTILINE)
    sections = []
    for part in parts:
        title, _, body = part.partition("\n")
        name = FIGURES.get(title, "")
        figure = _figure(folder / "figures" / f"{name}.png", CAPTIONS[name]) if name in report.figures else ""
        sections.append(Section(title, body, figure))
    return first, tuple(sections)


def _figure(path: Path, caption: str) -> str:
    # Loaded when its section is opened. Gradio serves what `gr.set_static_paths` names.
    address = f"/gradio_api/file={quote(str(path))}"
    text = escape(caption)
    return (
        f'<figure class="sv-figure"><img loading="lazy" src="{address}" alt="{text}"><figcaption>{text}</figcaption>'
        "</figure>"
    )


def _numbers(folder: Path, report: ReleaseReport) -> str:
    tiles = [("Balanced accuracy", report.evaluation.overall["balanced_accuracy"])]
    if point := load_operating_point(folder):
        tiles += [("Malignant lesions marked suspicious", point.sensitivity)]
        tiles += [("Benign lesions not marked", point.specificity)]
    return f'<div class="sv-numbers">{"".join(_tile(*tile) for tile in tiles)}</div>'


def _tile(title: str, estimate: Estimate) -> str:
    interval = (
        f"95% CI {percent(estimate.low)} to {percent(estimate.high)}"
        if estimate.low is not None and estimate.high is not None
        else ""
    )
    return (
        f"<div><strong>{escape(percent(estimate.value or 0.0))}</strong><span>{title}</span>"
        f"<small>{escape(interval)}</small></div>"
    )
