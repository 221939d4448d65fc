"""The model card and the data set card: typed data and a template in, a checked README.md out."""

from skinvision_hf.card.dataset import render_dataset_card
from skinvision_hf.card.facts import Links, ReleaseFacts, read_facts
from skinvision_hf.card.lint import lint_card
from skinvision_hf.card.model import render_card, write_card

__all__ = [
    "Links",
    "ReleaseFacts",
    "lint_card",
    "read_facts",
    "render_card",
    "render_dataset_card",
    "write_card",
]
