"""Figures of numbers: drawn whole for any predictions, also for those that have next to nothing to show."""

import json
import warnings
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset, DatasetDict
from drawing import assert_not_blank
from matplotlib.text import Text
from PIL import Image
from random_predictions import draw_predictions

from skinvision_hf.config import SPLITS
from skinvision_hf.data import load_ham10000
from skinvision_hf.errors import DataError
from skinvision_hf.evaluation.decisions import measure_decisions
from skinvision_hf.evaluation.predictions import Predictions
from skinvision_hf.evaluation.report import evaluate_predictions
from skinvision_hf.figures import data_plots, probability_plots
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
    assert_not_blank(paths)
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


def test_few_images_leave_several_labels_at_the_axis_and_many_leave_none_that_overlap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def labels(counts: list[int]) -> list[Text]:
        columns = {"label": np.repeat(range(7), counts), "lesion_id": ["a"] * sum(counts)}
        drawn = []
        monkeypatch.setattr(data_plots, "save_figure", lambda figure, _: drawn.append(figure))
        data_plots.plot_classes(DatasetDict(dict.fromkeys(SPLITS, Dataset.from_dict(columns))), tmp_path)
        drawn[0].draw_without_rendering()
        [axis] = drawn[0].axes
        low, high = axis.get_xlim()
        return [label for label in axis.get_xticklabels() if low <= label.get_position()[0] <= high]

    assert [label.get_text() for label in labels([18, 2, 3, 4, 5, 40, 9])] == ["3", "10", "30"]
    many = [label.get_window_extent() for label in labels([1, 17, 100, 100, 100, 4693, 100])]
    assert len(many) > 5 and all(one.x1 < two.x0 for one, two in pairwise(many))


def test_thresholds_that_are_the_same_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    monkeypatch.setattr(probability_plots, "save_figure", lambda figure, _: drawn.append(figure))
    probability_plots.plot_roc(measure_decisions(draw_predictions(40), draw_predictions(40, seed=1)), tmp_path)
    for axis in drawn[0].axes:
        assert not axis.texts, "labels of neighbours would overlap"
        labels = [label for label in axis.get_legend_handles_labels()[1] if "threshold" in label]
        assert labels == [f"threshold for {level} on validation" for level in ("80%", "90%", "95%")]
        paths = {points.get_paths()[0].vertices.tobytes() for points in axis.collections[1:]}
        assert len(paths) == 3, "each has its own marker"


def test_a_history_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for text in ("no json", json.dumps({"phase": "head"})):
        (tmp_path / "history.jsonl").write_text(text)
        with pytest.raises(DataError, match=r"history\.jsonl is not a valid training history"):
            plot_training(tmp_path / "history.jsonl", tmp_path / "curves.png")
    assert not (tmp_path / "curves.png").exists()
