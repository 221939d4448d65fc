"""The tab 'About this model': a release's own numbers in Markdown, as far as it has them."""

from dataclasses import dataclass
from pathlib import Path

from skinvision_hf.card import ReleaseFacts, read_facts, wording
from skinvision_hf.card.model import MAIN_METRICS
from skinvision_hf.card.templating import render_template
from skinvision_hf.errors import ModelError
from skinvision_hf.labels import DIAGNOSES, DISCLAIMER

__all__ = ["About", "describe_release", "example_images"]

TEMPLATE = "about.md"
UNMEASURED = (
    "## About this model\n\nThis release carries no measurements, so nobody knows how good it is. "
    f"Its answers are for trying the page only.\n\n> {DISCLAIMER}\n"
)
# The optional sections of metrics.json that say in a paragraph what they found, in the order of reading.
SECTIONS = {
    "calibration": "Can its certainty be trusted?",
    "conformal": "Short lists instead of one answer",
    "operating_points": "Alarms: how many, and how many right",
    "decision_rules": "Frequent or rare diagnoses: which answers it favours",
    "subgroups": "Is it as good for everyone?",
    "guard": "Pictures that are no lesions",
    "explanations": "Does it look at the lesion?",
}
# The figures that a visitor should see first; the others follow.
FIRST_FIGURES = (
    "confusion_matrix",
    "per_class_metrics",
    "reliability",
    "operating_points",
    "roc_curves",
    "subgroups",
    "guard_far",
    "explanation_scores",
    "prediction_sets",
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
        facts = read_facts(folder)
    except ModelError:
        return About(UNMEASURED, ())
    text = render_template(
        TEMPLATE,
        facts=facts,
        evaluation=facts.evaluation,
        metrics=[metric for metric in MAIN_METRICS if metric.name in facts.evaluation.overall],
        diagnoses=DIAGNOSES,
        findings=_findings(facts),
        disclaimer=DISCLAIMER,
    )
    figures = sorted(facts.figures, key=_importance)
    return About(text, tuple((str(folder / path), wording.caption(path)) for path in figures))


def example_images(folder: Path) -> list[str]:
    """Paths of the example images that a release carries, in order; an empty list when it has none."""
    return [str(path) for path in sorted((folder / "examples").glob("*")) if path.suffix.lower() in PICTURES]


def _importance(figure: str) -> int:
    stem = Path(figure).stem
    return FIRST_FIGURES.index(stem) if stem in FIRST_FIGURES else len(FIRST_FIGURES)


def _findings(facts: ReleaseFacts) -> list[tuple[str, str]]:
    """Title and paragraph of each section that has one."""
    sections = facts.evaluation.sections
    return [(title, sections[name].summary) for name, title in SECTIONS.items() if name in sections]
