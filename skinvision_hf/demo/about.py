"""The tab 'About this model': a release's own numbers in Markdown, as far as it has them."""

from dataclasses import dataclass
from pathlib import Path

from skinvision_hf.card import CAPTIONS, ReleaseReport, render_page
from skinvision_hf.errors import ModelError
from skinvision_hf.labels import DISCLAIMER

__all__ = ["About", "describe_release", "example_images"]

TEMPLATE = "about.md"
UNMEASURED = (
    "## About this model\n\nThis release has no measurements, so its quality is unknown. "
    f"Use its answers only to try the page.\n\n> {DISCLAIMER}\n"
)
PICTURES = (".png", ".jpg", ".jpeg", ".webp")


@dataclass(frozen=True)
class About:
    """What the tab shows.

    Attributes:
        text: Markdown.
        figures: Path and caption of each figure.
    """

    text: str
    figures: tuple[tuple[str, str], ...]


def describe_release(folder: Path) -> About:
    """Read a release's measurements; one that has none, or damaged ones, says so instead of failing the page."""
    try:
        report = ReleaseReport.read(folder)
    except ModelError:
        return About(UNMEASURED, ())
    shown = [name for name in CAPTIONS if name in report.figures]
    figures = tuple((str(folder / "figures" / f"{name}.png"), CAPTIONS[name]) for name in shown)
    return About(render_page(TEMPLATE, report), figures)


def example_images(folder: Path) -> list[str]:
    """Paths of the example images that a release carries, in order; an empty list when it has none."""
    return [str(path) for path in sorted((folder / "examples").glob("*")) if path.suffix.lower() in PICTURES]
