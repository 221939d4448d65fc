"""Figures of numbers: drawn whole for any predictions, also for those that have next to nothing to show."""

import json
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from random_predictions import draw_predictions

from skinvision_hf.data import load_ham10000
from skinvision_hf.errors import DataError
from skinvision_hf.evaluation.predictions import Predictions
from skinvision_hf.evaluation.report import evaluate_predictions
from skinvision_hf.figures.evaluation_plots import plot_answers, plot_confidence
from skinvision_hf.figures.release_plots import draw_release, plot_training

pytestmark = pytest.mark.usefixtures("few_resamples")

CASES = {
    "one image": draw_predictions(1),
    "two classes": replace(draw_predictions(60), labels=np.arange(60) % 2),
    "always the same answer": replace(draw_predictions(60), logits=np.zeros((60, 7))),
}


def draw(predictions: Predictions, folder: Path) -> list[Path]:
    """Draw all figures of a release without a warning, and return them."""
    report = evaluate_predictions(predictions, split_scheme="drawn", split="test")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw_release(folder, predictions, report)
    paths = sorted((folder / "figures").iterdir())
    assert len(paths) == 5
    for path in paths:
        with Image.open(path) as image:
            assert min(image.size) > 300
            assert np.asarray(image.convert("L")).std() > 5, f"{path.name} is blank"
    return paths


@pytest.mark.parametrize("case", CASES)
def test_figures_are_drawn_of_next_to_nothing(case: str, tmp_path: Path) -> None:
    draw(CASES[case], tmp_path)


def test_figures_show_the_numbers_they_are_given(tmp_path: Path) -> None:
    """Other predictions, other figures; the same predictions, the same bytes."""
    first, other = draw_predictions(100), draw_predictions(100, seed=1)
    for one, two in zip(draw(first, tmp_path / "a"), draw(other, tmp_path / "b"), strict=True):
        assert one.read_bytes() != two.read_bytes()
    again = plot_confidence(first, tmp_path / "again.png")
    assert again.read_bytes() == (tmp_path / "a" / "figures" / "confidence.png").read_bytes()


@pytest.mark.parametrize("asked", [True, False], ids=["right", "wrong"])
def test_the_answers_that_are_asked_for_are_shown(asked: bool, tmp_path: Path) -> None:
    dataset = load_ham10000("synthetic[:210]")["test"]
    labels = np.array(dataset["label"][:])
    names, lesions = tuple(dataset["image_id"][:]), tuple(dataset["lesion_id"][:])
    logits = 9.0 * np.eye(7)[labels]
    right = Predictions(image_ids=names, lesion_ids=lesions, labels=labels, logits=logits)
    wrong = replace(right, logits=np.roll(logits, 1, axis=1))
    cases = (wrong, right) if asked else (right, wrong)
    paths = [plot_answers(dataset, p, tmp_path / f"{k}.png", right=asked) for k, p in enumerate(cases)]
    nothing, images = (np.ptp(np.asarray(Image.open(path).convert("RGB")), axis=2) > 20 for path in paths)
    assert nothing.mean() == 0 and images.mean() > 0.3, "shares of coloured pixels"


def test_a_history_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for text in ("no json", json.dumps({"phase": "head"})):
        (tmp_path / "history.jsonl").write_text(text)
        with pytest.raises(DataError, match=r"history\.jsonl is not a valid training history"):
            plot_training(tmp_path / "history.jsonl", tmp_path / "curves.png")
    assert not (tmp_path / "curves.png").exists()
