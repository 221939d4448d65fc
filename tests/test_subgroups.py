"""Metrics by subgroup against those of the group alone, flags for small groups, and gaps between groups."""

from dataclasses import replace

import numpy as np
import pytest
from datasets import Dataset
from PIL import Image
from random_predictions import draw_predictions, predictions_of
from skimage.color import lab2rgb, rgb2lab

from skinvision_hf.data.skin_tone import typology_angle
from skinvision_hf.evaluation.report import evaluate_predictions
from skinvision_hf.evaluation.subgroups import SKIN_TONE, SMALL_GROUP, find_gaps, group_columns, measure_subgroups
from skinvision_hf.labels import CODES

MELANOMA = CODES.index("mel")


def test_metrics_of_a_group_are_those_of_its_images_alone() -> None:
    test, generator = draw_predictions(700, seed=3), np.random.default_rng(0)
    ages = ["under 30", "30 to 44", "45 to 59", "75 and over"]
    sex, age = (generator.choice(groups, 700).tolist() for groups in (["female", "male"], ages))
    report = measure_subgroups(test, {"sex": sex, "age": age})
    assert [group.name for group in report.groups["age"]] == ages
    female = next(group for group in report.groups["sex"] if group.name == "female")
    rows = np.array(sex) == "female"
    alone = evaluate_predictions(test.select(rows), split_scheme="s", split="test").overall
    for name, estimate in female.metrics.items():
        assert estimate.value == pytest.approx(alone[name].value, abs=1e-6), name
    assert female.images == rows.sum()
    assert female.lesions == len({lesion for lesion, row in zip(test.lesion_ids, rows, strict=True) if row})
    assert not female.small
    assert female.metrics["melanoma_sensitivity"].n == (test.labels[rows] == MELANOMA).sum()
    assert all(e.low <= e.value <= e.high for e in female.metrics.values())


def test_small_and_unknown_groups_are_shown_and_not_compared() -> None:
    test = replace(draw_predictions(300), lesion_ids=tuple(str(n // 2) for n in range(300)))
    few = 2 * SMALL_GROUP - 2
    sex = [*["other"] * few, *["female"] * 80, *["male"] * 80, *["unknown"] * (140 - few)]
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
    assert find_gaps(test, np.full(300, "female"), ["female"]) == []


def test_gaps_compare_shared_diagnoses_only_and_each_of_them_alike() -> None:
    """Women have moles, which are easy; men have moles and melanomas, which are not: no gap over moles."""
    nevus, count = CODES.index("nv"), 240
    labels = np.where(np.arange(count) % 4 == 3, MELANOMA, nevus)
    sex = np.where((labels == MELANOMA) | (np.arange(count) % 2 == 0), "male", "female")
    logits = 4.0 * np.eye(7)[np.full(count, nevus)]
    report = measure_subgroups(predictions_of(labels, logits), {"sex": sex.tolist()})
    male, female = (next(g for g in report.groups["sex"] if g.name == name) for name in ("male", "female"))
    assert male.metrics["accuracy"].value < female.metrics["accuracy"].value
    gap = report.gap("sex", "balanced_accuracy")
    assert gap.diagnoses == ("nv",)
    assert gap.difference.value == pytest.approx(0) and not gap.excludes_zero


def test_the_largest_of_many_accidental_gaps_is_rarely_called_real() -> None:
    """Nine groups drawn at random have a hundred pairs, of which five miss zero if each is looked at alone."""
    found = []
    for seed in range(10):
        test, generator = draw_predictions(900, seed=seed), np.random.default_rng(seed)
        lesion = np.unique(test.lesion_ids, return_inverse=True)[1]
        names = np.array([f"site {k}" for k in range(9)])[generator.integers(0, 9, lesion.max() + 1)[lesion]]
        gap = next(g for g in find_gaps(test, names, sorted(set(names))) if g.metric == "balanced_accuracy")
        assert gap.excludes_zero == (gap.p_value < 0.05 or gap.difference.low > 0)
        found.append(gap.excludes_zero)
    assert sum(found) <= 2


def test_a_real_gap_is_found() -> None:
    """Of errors the smaller one is the better one; calibration is not compared."""
    test = draw_predictions(800, seed=1)
    failing, answers = np.arange(800) < 400, test.probabilities.argmax(axis=1)
    wrong = replace(test, labels=np.where(failing, (answers + 1) % 7, answers))
    report = measure_subgroups(wrong, {"body site": np.where(failing, "back", "face").tolist()})
    for metric in ("log_loss", "brier_score", "balanced_accuracy"):
        gap = report.gap("body site", metric)
        assert (gap.best, gap.worst, gap.excludes_zero) == ("face", "back", True), metric
        assert gap.difference.value > 0
    assert gap.difference.value == pytest.approx(1)
    assert gap.p_value == pytest.approx(0.0005, abs=1e-6)
    assert report.gap("body site", "ece") is None


@pytest.mark.usefixtures("few_resamples")
def test_a_group_with_one_diagnosis_only_is_measured_on_that() -> None:
    test = draw_predictions(400)
    confirmation = np.where(test.labels == CODES.index("nv"), "follow-up", "histology").tolist()
    follow_up = measure_subgroups(test, {"confirmation": confirmation}).groups["confirmation"][0]
    assert follow_up.metrics["balanced_accuracy"].value == pytest.approx(follow_up.metrics["accuracy"].value)
    assert follow_up.metrics["mean_auc"].value is None
    assert follow_up.metrics["melanoma_sensitivity"].value is None
    assert follow_up.metrics["melanoma_sensitivity"].n == 0


def test_groups_are_read_from_the_columns_of_a_split() -> None:
    split = Dataset.from_dict(
        {
            "sex": ["male", "female", "unknown", "", "male", "male"],
            "age": [29.0, 30.0, None, 85.0, 50.0, 50.0],
            "localization": ["back", "face", "", "unknown", "back", "back"],
            "dx_type": ["histo", "follow_up", "consensus", "confocal", "drawn", "unknown"],
        }
    )
    assert group_columns(split) == {
        "sex": ["male", "female", "unknown", "unknown", "male", "male"],
        "age": ["under 30", "30 to 44", "unknown", "75 and over", "45 to 59", "45 to 59"],
        "body site": ["back", "face", "unknown", "unknown", "back", "back"],
        "confirmation": ["histology", "follow-up", *["consensus or confocal"] * 2, "unknown", "unknown"],
    }
    assert "confirmation" not in group_columns(split.remove_columns("dx_type"))


def photograph(lab: tuple[float, float, float]) -> Image.Image:
    """Skin of a colour, around a dark lesion and inside of the black corners of a dermatoscope."""
    pixels = np.broadcast_to(lab2rgb(np.array(lab, dtype=float)), (150, 200, 3)).copy()
    rows, columns = np.ogrid[-1:1:150j, -1:1:200j]
    pixels[np.hypot(rows, columns) < 0.55] = (0.25, 0.15, 0.1)
    pixels[np.hypot(rows, columns) > 1.05] = 0.02
    return Image.fromarray((255 * pixels).round().astype(np.uint8))


TONES = {"dark": (38, 10, 14), "brown": (50, 12, 18), "tan": (57, 12, 18), "intermediate": (62, 10, 17)}
TONES |= {"light": (66, 10, 15), "very light": (74, 8, 12)}


def test_images_are_grouped_by_the_typology_angle_of_the_skin_around_the_lesion() -> None:
    for lab in TONES.values():
        seen = rgb2lab(np.asarray(photograph(lab))[75, 12])
        expected = np.degrees(np.arctan((seen[0] - 50) / seen[2]))
        assert typology_angle(photograph(lab)) == pytest.approx(expected, abs=0.5)
    blue, black = photograph((70, 10, -4)), Image.new("RGB", (60, 60))
    assert typology_angle(blue) is None and typology_angle(black) is None
    images = [*map(photograph, TONES.values()), blue]
    columns = {name: [None] * len(images) for name in ("sex", "age", "localization")}
    groups = group_columns(Dataset.from_dict({"image": images} | columns))[SKIN_TONE]
    assert groups == [*TONES, "unknown"]
    report = measure_subgroups(draw_predictions(len(groups)), {SKIN_TONE: groups[::-1]})
    assert [group.name for group in report.groups[SKIN_TONE]] == groups, "from dark to light, then unknown"
