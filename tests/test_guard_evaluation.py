"""The pictures that guards are tested on, the changes of real images, and the report on a guard."""

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import ClassLabel, Dataset, Features, Value
from datasets import Image as ImageColumn
from drawing import draw_lesion
from PIL import Image

from skinvision_hf.errors import DataError
from skinvision_hf.figures.guard import plot_far, plot_shifts
from skinvision_hf.labels import CODES
from skinvision_hf.models.modeling import SkinVisionForImageClassification
from skinvision_hf.models.skinvision import SkinVision
from skinvision_hf.ood.detectors import Mahalanobis, TrainingFeatures
from skinvision_hf.ood.evaluation import GuardReport, evaluate_guard
from skinvision_hf.ood.features import pooled_features
from skinvision_hf.ood.fitting import fit_guard, with_artefacts
from skinvision_hf.ood.inputs import AMBIGUOUS, FAR, SELECTION, far_images
from skinvision_hf.ood.photographs import REPORT_PHOTOGRAPHS, SELECTION_PHOTOGRAPHS, photographs, photographs_used
from skinvision_hf.ood.shifts import SEVERITIES, SHIFTS, shift_image
from skinvision_hf.ood.typicality import FeatureGuard


@pytest.mark.parametrize("kinds", [SELECTION, FAR, AMBIGUOUS], ids=["selection", "far", "ambiguous"])
def test_pictures_of_one_seed_are_the_same_and_of_another_seed_are_not(kinds: dict) -> None:
    first, again = list(far_images(kinds, count=2)), list(far_images(kinds, count=2))
    other = list(far_images(kinds, count=2, seed=1))
    assert [p.kind for p in first] == [kind for kind in kinds for _ in range(2)]
    for one, two in zip(first, again, strict=True):
        assert one.source == two.source
        np.testing.assert_array_equal(one.image, two.image)
        assert (one.image.mode, one.image.size) == ("RGB", (600, 450))
    drawn = [n for n, picture in enumerate(first) if picture.kind not in ("photographs", "graphics")]
    assert all(not np.array_equal(first[n].image, other[n].image) for n in drawn)
    by_kind = [picture.image for picture in first]
    assert all(not np.array_equal(a, b) for a, b in zip(by_kind[::2], by_kind[1::2], strict=True))


def test_choosing_and_reporting_share_no_kind_and_no_photograph() -> None:
    assert set(SELECTION) & set(FAR) == {"photographs"}, "and those come from other packages"
    assert not set(SELECTION_PHOTOGRAPHS) & set(REPORT_PHOTOGRAPHS)


def test_packages_that_are_not_installed_give_no_photographs() -> None:
    missing = photographs(("no_such_package/images",))
    assert missing(0, np.random.default_rng(0)) is None
    assert list(far_images({"photographs": missing}, count=3)) == []


def test_a_report_without_any_photograph_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("skinvision_hf.ood.photographs.REPORT_PHOTOGRAPHS", ("no_such_package/images",))
    with pytest.raises(DataError, match="no photographs to test the guard on; pip install"):
        photographs_used()


@pytest.mark.parametrize("shift", SHIFTS)
def test_a_change_grows_with_its_severity_and_repeats_with_its_seed(shift: str) -> None:
    lit = Image.linear_gradient("L").resize((300, 225)).convert("RGB")
    # Lit from above, because a round lesion hardly changes when it is turned.
    image = Image.blend(draw_lesion(4, lit.size), lit, 0.5)
    original = np.asarray(image, dtype=float)
    changes = []
    for severity in SEVERITIES:
        changed = shift_image(image, shift, severity, seed=3)
        assert (changed.mode, changed.size) == ("RGB", image.size)
        np.testing.assert_array_equal(changed, shift_image(image, shift, severity, seed=3))
        changes.append(np.abs(np.asarray(changed, dtype=float) - original).mean())
    assert changes[0] > 0
    assert changes[-1] > 1.5 * changes[0]
    np.testing.assert_array_equal(image, original.astype(np.uint8), "the image itself is left alone")


def draw_split(count: int, *, start: int) -> Dataset:
    features = Features(
        {
            "image": ImageColumn(),
            "label": ClassLabel(names=list(CODES)),
            "image_id": Value("string"),
            "lesion_id": Value("string"),
        }
    )
    seeds = range(start, start + count)
    return Dataset.from_dict(
        {
            "image": [draw_lesion(seed) for seed in seeds],
            "label": [seed % 7 for seed in seeds],
            "image_id": [f"ISIC_{seed:07d}" for seed in seeds],
            "lesion_id": [f"HAM_{seed // 2:07d}" for seed in seeds],
        },
        features=features,
    )


@pytest.fixture(scope="module")
def guarded(tiny_release: Path) -> tuple[SkinVisionForImageClassification, FeatureGuard, GuardReport]:
    model = SkinVisionForImageClassification.from_pretrained(tiny_release)
    guard, comparison = fit_guard(model, draw_split(90, start=0), draw_split(60, start=100))
    report = evaluate_guard(model, guard, draw_split(40, start=200), comparison, far_count=3, shifted_count=4)
    return model, guard, report


def test_every_second_image_gets_hairs_or_a_ruler() -> None:
    images = [draw_lesion(seed) for seed in range(16)]
    drawn = list(with_artefacts(images, first_seed=7))
    assert [np.array_equal(a, b) for a, b in zip(images, drawn, strict=True)] == [True, False] * 8
    np.testing.assert_array_equal(drawn[1], shift_image(images[1], "hair", 1, seed=8))
    np.testing.assert_array_equal(drawn[3], shift_image(images[3], "ruler marks", 1, seed=10))
    np.testing.assert_array_equal(drawn[5], shift_image(images[5], "hair", 2, seed=12))


@pytest.mark.parametrize("shift", ["hair", "ruler marks"])
def test_a_detector_that_has_seen_hairs_and_rulers_takes_them_for_nothing_strange(
    tiny_release: Path, shift: str
) -> None:
    model = SkinVisionForImageClassification.from_pretrained(tiny_release)
    train, validation = ([draw_lesion(seed) for seed in seeds] for seeds in (range(400), range(400, 520)))
    shown = [shift_image(draw_lesion(seed), shift, 3, seed=seed) for seed in range(600, 660)]

    def accepted(training: Iterable[Image.Image], kept: Iterable[Image.Image]) -> float:
        fitted_on, own, others = (pooled_features(model, images)[0] for images in (training, kept, shown))
        detector = Mahalanobis.fit(TrainingFeatures(fitted_on, torch.zeros(400).long(), others[:7], torch.zeros(7)))
        return (detector.score(others) >= detector.score(own).quantile(0.05)).float().mean().item()

    seen = accepted(with_artefacts(train, first_seed=0), with_artefacts(validation, first_seed=400))
    naive = accepted(train, validation)
    assert seen >= 0.6
    assert naive < seen - 0.2


def test_a_guard_is_fitted_and_reported_from_images(
    guarded: tuple[SkinVisionForImageClassification, FeatureGuard, GuardReport],
) -> None:
    _, guard, report = guarded
    assert report.method == guard.name
    detectors = {"maximum_logit", "energy", "mahalanobis", "neighbours", "vim"}
    assert detectors < set(report.comparison)
    assert all(name.startswith("mahalanobis, stage ") for name in set(report.comparison) - detectors)
    assert report.photographs["files"] == len(report.photographs["photographs"]) > 0
    assert "chelsea.png" in report.photographs["photographs"] and "logo.png" in report.photographs["graphics"]
    assert set(report.photographs["packages"]) == {"matplotlib", "skimage", "gradio"}
    assert f"On real photographs alone the AUROC is {report.far['photographs'].auroc}" in report.summary
    assert set(report.far) == set(report.far_accepted) == {*FAR, "all"}
    assert report.far["all"].auroc.n == sum(report.far[kind].auroc.n for kind in FAR)
    assert report.kept.value is not None and report.kept.value > 0.6
    assert set(report.ambiguous_accepted) == set(AMBIGUOUS)
    assert len(report.shifted) == 1 + len(SHIFTS) * len(SEVERITIES)
    assert report.shifted[0].shift == "none" and report.shifted[0].accuracy.n == 4
    section = report.to_dict()
    assert json.loads(json.dumps(section, allow_nan=False)) == section
    assert f"It lets {report.kept.percent()} of unseen real images pass" in report.summary
    assert str(report.far["all"].auroc) in report.summary


def test_the_unchanged_images_have_the_accuracy_of_predict(
    guarded: tuple[SkinVisionForImageClassification, FeatureGuard, GuardReport], tiny_release: Path
) -> None:
    sample = draw_split(40, start=200).shuffle(seed=0).select(range(4))
    predictions = SkinVision.from_pretrained(tiny_release, device="cpu").predict(row["image"] for row in sample)
    right = [p.label == CODES[label] for p, label in zip(predictions, sample["label"], strict=True)]
    assert guarded[2].shifted[0].accuracy.value == pytest.approx(np.mean(right))


def test_pictures_of_the_guard_are_drawn(
    guarded: tuple[SkinVisionForImageClassification, FeatureGuard, GuardReport], tmp_path: Path
) -> None:
    for plot in (plot_far, plot_shifts):
        path = plot(guarded[2], tmp_path / f"{plot.__name__}.png")
        with Image.open(path) as image:
            assert min(image.size) > 300
            assert len(image.convert("L").getcolors() or ()) > 20
