"""The pages of a release and the card of the data set: typed data and a template in, Markdown out."""

from skinvision_hf.card.dataset_card import render_dataset_card
from skinvision_hf.card.model_card import CAPTIONS, MAIN_METRICS, render_card, render_page, write_card
from skinvision_hf.card.release_report import Measurements, ReleaseReport
from skinvision_hf.card.templating import Links

__all__ = [
    "CAPTIONS", "MAIN_METRICS", "Links", "Measurements", "ReleaseReport", "render_card", "render_dataset_card",
    "render_page", "write_card",
]  # fmt: skip
