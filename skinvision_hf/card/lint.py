"""A lint for our own cards: what a reader would stumble over is found before it is published."""

import re
from pathlib import Path
from typing import Literal

from skinvision_hf.card.lint_metadata import metadata_faults
from skinvision_hf.card.lint_text import text_faults
from skinvision_hf.models.release import CARD_FILE

__all__ = ["lint_card"]

REQUIRED_SECTIONS: dict[str, tuple[str, ...]] = {
    "model": (
        "Summary",
        "Intended use",
        "Out of scope",
        "How to use",
        "Training data",
        "Training procedure",
        "Evaluation",
        "Calibration",
        "Explanations",
        "Limits and bias",
        "Licence",
        "Citation",
        "Disclaimer",
    ),
    "dataset": ("Columns", "The split", "Source", "Licence", "Citation", "Disclaimer"),
    "space": (),
}
FRONT_MATTER = re.compile(r"---\r?\n(.*?)\r?\n---\r?\n", re.DOTALL)


def lint_card(folder: str | Path, *, repo_type: Literal["model", "dataset", "space"] = "model") -> list[str]:
    """Look for faults in the README.md of a folder as it would be on the Hub.

    Found are: no card; metadata that is missing, that is of a wrong kind or that the Hub's client does not know; a main
    metric without a value, split or interval; unresolved placeholders; missing sections; no word that this is no
    medical device; values that are no numbers; and links, figures and files that are named but are not in the folder.

    Args:
        folder: The release, the data set or the Space.
        repo_type: Which of them it is.

    Returns:
        One line for each fault; empty when there is none.
    """
    path = Path(folder) / CARD_FILE
    if not path.is_file():
        return [f"{CARD_FILE} is missing"]
    content = path.read_text(encoding="utf-8")
    match = FRONT_MATTER.match(content)
    if not match:
        return [f"{CARD_FILE} has no metadata block between lines of ---"]
    text, first_line = content[match.end() :], content.count("\n", 0, match.end()) + 1
    return [
        *metadata_faults(match.group(1), path.parent, repo_type),
        *text_faults(text, path.parent, first_line=first_line, sections=REQUIRED_SECTIONS[repo_type]),
    ]
