"""Metrics by subgroup against scikit-learn on the group alone, flags for small groups, and gaps between groups."""

import json
import time
from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset
from PIL import Image
from random_predictions import draw_predictions
from sklearn import metrics

from skinvision_hf.evaluation.predictions import Predictions
from skinvision_hf.evaluation.subgroups import SMALL_GROUP, SubgroupReport, find_gaps, group_columns, measure_subgroups
from skinvision_hf.figures.evaluation_plots import plot_subgroups
from skinvision_hf.labels import CODES

MELANOMA = CODES.index("mel")


def draw_columns(count: int, *, seed: int = 0) -> dict[str, list[str]]:
    generator = np.random.default_rng(seed)
    return {
        "sex": generator.choice(["female", "male", "unknown"], count, p=[0.5, 0.48, 0.02]).tolist(),
        "age": generator.choice(["under 30", "30 to 44", "45 to 59", "75 and over"], count).tolist(),
    }


def test_metrics_of_a_group_are_those_of_its_images_alone() -> None:
    test, columns = draw_predictions(700, seed=3), draw_columns(700)
    report = measure_subgroups(test, columns)
    female = next(group for group in report.groups["sex"] if group.name == "female")
    rows = np.array(columns["sex"]) == "female"
    labels, probabilities = test.labels[rows], test.probabilities[rows]
    predicted = probabilities.argmax(axis=1)
    got = {name: estimate.value for name, estimate in female.metrics.items()}
    assert female.images == rows.sum()
    assert female.lesions == len({lesion for lesion, row in zip(test.lesion_ids, rows, strict=True) if row})
    assert not female.small
    assert got["accuracy"] == pytest.approx(metrics.accuracy_score(labels, predicted), abs=1e-6)
    assert got["balanced_accuracy"] == pytest.approx(metrics.balanced_accuracy_score(labels, predicted), abs=1e-6)
    assert got["macro_f1"] == pytest.approx(metrics.f1_score(labels, predicted, average="macro"), abs=1e-6)
    areas = [metrics.roc_auc_score(labels == k, probabilities[:, k]) for k in range(7)]
    assert got["mean_auc"] == pytest.approx(np.mean(areas), abs=1e-6)
    assert got["log_loss"] == pytest.approx(metrics.log_loss(labels, probabilities, labels=range(7)), abs=1e-5)
    assert got["melanoma_sensitivity"] == pytest.approx((predicted == MELANOMA)[labels == MELANOMA].mean(), abs=1e-6)
    assert got["melanoma_specificity"] == pytest.approx((predicted != MELANOMA)[labels != MELANOMA].mean(), abs=1e-6)
    assert female.metrics["melanoma_sensitivity"].n == (labels == MELANOMA).sum()
    assert all(e.low is not None and e.low <= e.value <= e.high for e in female.metrics.values())


def test_small_and_unknown_groups_are_shown_and_not_compared() -> None:
    test = draw_predictions(300)
    lesions = [f"HAM_{n // 2}" for n in range(300)]
    test = Predictions(test.image_ids, tuple(lesions), test.labels, test.logits)
    sex = (
        ["other"] * (2 * SMALL_GROUP - 2) + ["female"] * 80 + ["male"] * 80 + ["unknown"] * (140 - 2 * SMALL_GROUP + 2)
    )
    report = measure_subgroups(test, {"sex": sex})
    assert [(group.name, group.small) for group in report.groups["sex"]] == [
        ("female", False),
        ("male", False),
        ("other", True),
        ("unknown", False),
    ], "58 images of 29 lesions are few"
    assert report.groups["sex"][2].metrics["accuracy"].value is not None
    assert {name for gap in report.gaps["sex"] for name in (gap.best, gap.worst)} == {"female", "male"}
    assert report.gap("sex", "melanoma_sensitivity") is None, "no two groups have ten melanomas"


def test_gaps_compare_shared_diagnoses_only_and_each_of_them_alike() -> None:
    """Women have moles, which are easy; men have moles and melanomas, which are not: no gap over moles."""
    nevus, count = CODES.index("nv"), 240
    labels = np.where(np.arange(count) % 4 == 3, MELANOMA, nevus)
    sex = np.where((labels == MELANOMA) | (np.arange(count) % 2 == 0), "male", "female")
    logits = 4.0 * np.eye(7)[np.full(count, nevus)]
    ids = tuple(map(str, range(count)))
    report = measure_subgroups(Predictions(ids, ids, labels, logits), {"sex": sex.tolist()})
    male, female = (next(g for g in report.groups["sex"] if g.name == name) for name in ("male", "female"))
    assert male.metrics["accuracy"].value < female.metrics["accuracy"].value
    gap = report.gap("sex", "balanced_accuracy")
    assert gap is not None and gap.diagnoses == ("nv",)
    assert gap.difference.value == pytest.approx(0) and not gap.excludes_zero


def test_of_errors_the_smaller_one_is_the_better_one_and_calibration_is_not_compared() -> None:
    test = draw_predictions(800, seed=1)
    body = np.where(np.arange(800) < 400, "back", "face")
    labels = np.where(body == "back", (test.probabilities.argmax(axis=1) + 1) % 7, test.probabilities.argmax(axis=1))
    report = measure_subgroups(with_labels(test, labels), {"body site": body.tolist()})
    for metric in ("log_loss", "brier_score", "balanced_accuracy"):
        gap = report.gap("body site", metric)
        assert gap is not None and gap.difference.value is not None
        assert (gap.best, gap.worst, gap.excludes_zero) == ("face", "back", True), metric
        assert gap.difference.value > 0
    assert report.gap("body site", "ece") is None


def test_the_largest_of_many_accidental_gaps_is_rarely_called_real() -> None:
    """Nine groups drawn at random have a hundred pairs, of which five miss zero if each is looked at alone."""
    found = []
    for seed in range(10):
        test, generator = draw_predictions(900, seed=seed), np.random.default_rng(seed)
        lesion = np.unique(test.lesion_ids, return_inverse=True)[1]
        names = np.array([f"site {k}" for k in range(9)])[generator.integers(0, 9, lesion.max() + 1)[lesion]]
        gap = measure_subgroups(test, {"site": names.tolist()}, counts=np.ones((2, 900))).gap(
            "site", "balanced_accuracy"
        )
        assert gap is not None and gap.excludes_zero == (gap.p_value < 0.05 or gap.difference.low > 0)
        found.append(gap.excludes_zero)
    assert sum(found) <= 2


def with_labels(predictions: Predictions, labels: np.ndarray) -> Predictions:
    return Predictions(predictions.image_ids, predictions.lesion_ids, labels, predictions.logits)


def test_a_real_gap_is_found_and_an_accidental_one_is_not() -> None:
    test = draw_predictions(800, seed=1)
    failing = np.arange(800) < 400
    labels = np.where(failing, (test.probabilities.argmax(axis=1) + 1) % 7, test.probabilities.argmax(axis=1))
    report = measure_subgroups(with_labels(test, labels), {"body site": np.where(failing, "back", "face").tolist()})
    gap = report.gap("body site", "balanced_accuracy")
    assert gap is not None
    assert (gap.best, gap.worst, gap.excludes_zero) == ("face", "back", True)
    assert gap.difference.value == pytest.approx(1)
    assert gap.p_value == pytest.approx(0.0005, abs=1e-6)

    same = measure_subgroups(test, {"body site": np.where(np.arange(800) % 2, "back", "face").tolist()})
    gap = same.gap("body site", "balanced_accuracy")
    assert gap is not None
    assert not gap.excludes_zero
    low, high = gap.difference.low, gap.difference.high
    assert low is not None and high is not None and low < 0 < high


def test_a_group_with_one_diagnosis_only_is_measured_on_that() -> None:
    test = draw_predictions(400)
    confirmation = np.where(test.labels == CODES.index("nv"), "follow-up", "histology").tolist()
    follow_up = measure_subgroups(test, {"confirmation": confirmation}).groups["confirmation"][0]
    assert follow_up.metrics["balanced_accuracy"].value == pytest.approx(follow_up.metrics["accuracy"].value)
    assert follow_up.metrics["mean_auc"].value is None
    assert follow_up.metrics["melanoma_sensitivity"].value is None
    assert follow_up.metrics["melanoma_sensitivity"].n == 0


def test_groups_are_read_from_the_columns_of_a_split() -> None:
    split_scheme = Dataset.from_dict(
        {
            "sex": ["male", "female", "unknown", ""],
            "age": [29.0, 30.0, None, 85.0],
            "localization": ["back", "face", "", "unknown"],
            "dx_type": ["histo", "follow_up", "consensus", "confocal"],
        }
    )
    assert group_columns(split_scheme) == {
        "sex": ["male", "female", "unknown", "unknown"],
        "age": ["under 30", "30 to 44", "unknown", "75 and over"],
        "body site": ["back", "face", "unknown", "unknown"],
        "confirmation": ["histology", "follow-up", "consensus or confocal", "consensus or confocal"],
    }
    assert "confirmation" not in group_columns(split_scheme.remove_columns("dx_type"))


def test_groups_come_in_a_sensible_order_and_the_section_is_json() -> None:
    report = measure_subgroups(draw_predictions(300), draw_columns(300))
    assert [g.name for g in report.groups["age"]] == ["under 30", "30 to 44", "45 to 59", "75 and over"]
    assert report.groups["sex"][-1].name == "unknown"
    section = report.to_dict()
    assert json.loads(json.dumps(section, allow_nan=False)) == section
    assert SubgroupReport.from_dict(section) == report


def test_a_picture_of_the_groups_is_drawn(tmp_path: Path) -> None:
    report = measure_subgroups(draw_predictions(200), draw_columns(200))
    with Image.open(plot_subgroups(report, tmp_path / "subgroups.png")) as image:
        assert min(image.size) > 300
        assert len(image.convert("L").getcolors() or ()) > 20


def test_four_attributes_of_1500_images_take_seconds() -> None:
    generator = np.random.default_rng(0)
    columns = draw_columns(1500) | {
        "body site": [f"site {k}" for k in generator.integers(0, 15, 1500)],
        "confirmation": generator.choice(["histology", "follow-up", "consensus or confocal"], 1500).tolist(),
    }
    start = time.process_time()
    measure_subgroups(draw_predictions(1500), columns)
    assert time.process_time() - start < 20


@pytest.mark.parametrize("names", [[], ["female"]])
def test_fewer_than_two_groups_have_no_gaps(names: list[str]) -> None:
    test = draw_predictions(140)
    assert find_gaps(test, np.full(140, "female"), names) == []


def test_an_unknown_confirmation_is_no_kind_of_confirmation() -> None:
    data = Dataset.from_dict(
        {
            "age": [50.0] * 3,
            "sex": ["male"] * 3,
            "localization": ["back"] * 3,
            "dx_type": ["confocal", "drawn", "unknown"],
        }
    )
    assert group_columns(data)["confirmation"] == ["consensus or confocal", "unknown", "unknown"]
