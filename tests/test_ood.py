"""OOD detection: the detector against its definition, its two levels, its file, its fitting, and what is measured."""

import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from benchmarks.far_images import AMBIGUOUS, FAR, far_images
from benchmarks.ood import measure_far
from benchmarks.photographs import photographs
from datasets import DatasetDict
from drawing import assert_not_blank, draw_lesion
from PIL import Image

from skinvision_hf.errors import DataError, ModelError
from skinvision_hf.figures.release_plots import plot_robustness
from skinvision_hf.models.modeling import SkinVisionForImageClassification
from skinvision_hf.models.release import OOD_FILE
from skinvision_hf.ood.detector import COMPONENTS, Mahalanobis, OODDetector
from skinvision_hf.ood.features import images_of, pooled_features
from skinvision_hf.ood.fitting import fit_detector, with_thresholds
from skinvision_hf.ood.image_changes import ENCODINGS, GEOMETRY
from skinvision_hf.ood.ood_evaluation import measure_ood, measure_robustness
from skinvision_hf.ood.ood_report import OODReport, RobustnessReport
from skinvision_hf.vision import SkinVision

DIMENSION = 200
Fitted = tuple[SkinVisionForImageClassification, OODDetector]


def draw_features(count: int = 700, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Seven clusters that use 20 of 200 directions strongly and the others hardly, and the labels."""
    generator, structure = np.random.default_rng(seed), np.random.default_rng(99)
    scales = np.repeat([3.0, 0.1], [20, DIMENSION - 20])
    centres = structure.normal(size=(7, DIMENSION)) * scales * 2
    labels = np.arange(count) % 7
    return (centres[labels] + generator.normal(size=(count, DIMENSION)) * scales).astype(np.float32), labels


def far_features(count: int = 100) -> np.ndarray:
    return np.random.default_rng(5).normal(size=(count, DIMENSION)).astype(np.float32) * 2


class Network:
    """A network whose features have one length in every stage."""

    def __init__(self, size: int = DIMENSION) -> None:
        self.size = size

    def feature_size(self, stage: int | None) -> int:
        return self.size


@pytest.fixture(scope="module")
def detector() -> OODDetector:
    distance = Mahalanobis.fit(*draw_features())
    return with_thresholds(distance, [np.sort(distance.closeness(draw_features(1000, seed=1)[0]))], stage=None)


@pytest.fixture(scope="module")
def fitted(tiny_release: Path, drawn: DatasetDict) -> Fitted:
    model = SkinVisionForImageClassification.from_pretrained(tiny_release)
    return model, fit_detector(model, drawn["train"], drawn["validation"])


def test_distances_are_exact_when_all_directions_are_kept() -> None:
    generator = np.random.default_rng(0)
    features = generator.normal(size=(300, 30)) @ generator.normal(size=(30, 30))
    labels = np.arange(300) % 3
    assert COMPONENTS >= 30
    means = np.stack([features[labels == k].mean(axis=0) for k in range(3)])
    precision = np.linalg.inv(np.cov((features - means[labels]).T, bias=True))
    probe = features[:10] + 1
    expected = np.stack([((probe - m) @ precision * (probe - m)).sum(axis=1) for m in means]).min(axis=0)
    np.testing.assert_allclose(-Mahalanobis.fit(features, labels).closeness(probe), expected, rtol=1e-6)


def test_the_score_is_the_share_of_validation_images_that_are_no_closer(detector: OODDetector) -> None:
    fresh, _ = draw_features(400, seed=2)
    expected = (detector.reference[None] <= detector.distance.closeness(fresh)[:, None]).mean(axis=1)
    np.testing.assert_allclose(detector.score(fresh), expected)
    assert detector.score(fresh).mean() == pytest.approx(0.5, abs=0.06), "new images of the same kind"
    assert detector.score(far_features()).max() == 0
    assert detector.score(np.full((1, DIMENSION), np.nan)).item() == 0
    assert detector.score(np.full((1, DIMENSION), np.inf)).item() == 0


def test_at_most_two_percent_are_refused_and_four_more_are_unusual_under_every_condition() -> None:
    distance = Mahalanobis.fit(*draw_features())
    plain, harsh = draw_features(1000, seed=1)[0], draw_features(1000, seed=2)[0] * 1.2
    conditions = [np.sort(distance.closeness(features)) for features in (plain, harsh)]
    detector = with_thresholds(distance, conditions, stage=1)
    levels = (detector.refused, detector.unusual)
    counts = [[int((detector.score(features) < level).sum()) for level in levels] for features in (harsh, plain)]
    assert counts[0] == [20, 60]
    assert counts[1][0] < 20 and counts[1][1] < 60


def test_a_detector_survives_its_file(detector: OODDetector, tmp_path: Path) -> None:
    assert OODDetector.load(tmp_path, Network()) is None
    assert detector.save(tmp_path) == tmp_path / OOD_FILE
    loaded = OODDetector.load(tmp_path, Network())
    assert (loaded.refused, loaded.unusual, loaded.stage) == (detector.refused, detector.unusual, None)
    assert np.array_equal(loaded.score(far_features()), detector.score(far_features()))
    replace(detector, unusual=None).save(tmp_path)
    loaded = OODDetector.load(tmp_path, Network())
    assert loaded.unusual is None
    with pytest.raises(ModelError, match="was fitted for another network"):
        OODDetector.load(tmp_path, Network(DIMENSION + 1))
    (tmp_path / OOD_FILE).write_bytes(b"no tensors")
    with pytest.raises(ModelError, match=r"ood\.safetensors of .* is damaged; download the release again"):
        OODDetector.load(tmp_path, Network())


@pytest.mark.parametrize("stage", [3, None])
def test_a_prediction_pools_the_stage_that_the_detector_reads(
    stage: int | None, tiny_release: Path, tmp_path: Path
) -> None:
    plain = SkinVision.from_pretrained(tiny_release, device="cpu")
    release = plain.save_pretrained(tmp_path / "release")
    # More images than directions that the detector keeps, along which rounding would count otherwise.
    images = [draw_lesion(seed) for seed in range(3 * COMPONENTS)]
    features, _ = pooled_features(plain.model, images, stage=stage)
    distance = Mahalanobis.fit(features, np.zeros(len(images), int))
    detector = with_thresholds(distance, [np.sort(distance.closeness(features))], stage=stage)
    detector.save(release)
    answers = SkinVision.from_pretrained(release, device="cpu").predict(images[:40])
    scores = [answer.in_distribution_score for answer in answers]
    assert scores == pytest.approx(detector.score(features[:40]).tolist(), abs=0.02)
    for one, two in zip(answers, plain.predict(images[:40]), strict=True):
        assert one.confidence == pytest.approx(two.confidence, abs=1e-5)


def test_a_fitted_detector_keeps_validation_images_at_every_size_and_quality(
    fitted: Fitted, drawn: DatasetDict
) -> None:
    model, detector = fitted
    assert detector.stage == len(model.stage_channels) - 2
    assert 0 < detector.refused < detector.unusual < 0.2
    for change in (None, *ENCODINGS.values()):
        features, _ = pooled_features(model, images_of(drawn["validation"], change), stage=detector.stage)
        scores = detector.score(features)
        assert (scores < detector.refused - 1e-3).mean() <= 0.02
    # No skin is cyan, and that is plain to a network of any weights; small noise is not.
    strange, _ = pooled_features(model, [Image.new("RGB", (200, 150), "cyan")], stage=detector.stage)
    assert detector.score(strange).item() < detector.refused


def test_fitting_again_gives_the_same_detector_and_leaves_other_random_numbers_alone(
    fitted: Fitted, drawn: DatasetDict
) -> None:
    train, validation = drawn["train"].select(range(24)), drawn["validation"].select(range(9))
    random.seed(5)
    first = fit_detector(fitted[0], train, validation)
    expected = random.random()
    random.seed(5)
    assert random.random() == expected
    again = fit_detector(fitted[0], train, validation)
    assert np.array_equal(first.reference, again.reference)
    assert (first.refused, first.unusual) == (again.refused, again.unusual)


def test_changes_change_what_they_say() -> None:
    image = draw_lesion(4, (600, 450))
    sizes = {name: change(image).size for name, change in (ENCODINGS | GEOMETRY).items()}
    assert sizes["300 px"] == (300, 225) and sizes["JPEG 75"] == sizes["WebP 80"] == (600, 450)
    assert sizes["square crop"] == (450, 450) and sizes["3:2 crop"] == (600, 400)
    assert sizes["quarter turn"] == (450, 600) and sizes["half turn"] == (600, 450)
    pixels = np.asarray(image, dtype=float)
    errors = [np.abs(np.asarray(ENCODINGS[f"JPEG {q}"](image)) - pixels).mean() for q in (95, 75, 50, 30)]
    assert errors == sorted(errors) and errors[0] > 0
    np.testing.assert_array_equal(np.asarray(image), pixels.astype(np.uint8), "the image itself is left alone")


def test_kept_and_unusual_images_are_counted_by_diagnosis(fitted: Fitted, drawn: DatasetDict) -> None:
    model, detector = fitted
    report = measure_ood(model, detector, drawn["test"])
    scores = detector.score(pooled_features(model, images_of(drawn["test"]), stage=detector.stage)[0])
    assert report.kept.value == pytest.approx((scores >= detector.refused).mean())
    assert report.unusual.value == pytest.approx(((scores >= detector.refused) & (scores < detector.unusual)).mean())
    assert sum(estimate.n for estimate in report.kept_per_class.values()) == len(drawn["test"])
    assert OODReport.from_dict(json.loads(json.dumps(report.to_dict()))) == report


@pytest.mark.usefixtures("few_resamples")
def test_robustness_compares_changed_images_with_the_images_as_they_are(
    fitted: Fitted, drawn: DatasetDict, tmp_path: Path
) -> None:
    model, detector = fitted
    test = drawn["test"].select(range(0, len(drawn["test"]), 4))
    report = measure_robustness(model, detector, test)
    rows = {row.change: row for row in report.rows}
    assert list(rows) == ["none", *ENCODINGS, *GEOMETRY]
    assert rows["none"].relabelled.value == 0
    _, plain = pooled_features(model, images_of(test))
    _, turned = pooled_features(model, images_of(test, GEOMETRY["half turn"]))
    labels = np.array(test["label"][:])
    row = rows["half turn"]
    assert row.relabelled.value == pytest.approx((plain.argmax(1) != turned.argmax(1)).mean())
    assert row.accuracy.value == pytest.approx((turned.argmax(1) == labels).mean())
    assert row.refused is not None and row.ece.value is not None
    assert RobustnessReport.from_dict(json.loads(json.dumps(report.to_dict()))) == report
    assert_not_blank([plot_robustness(report, tmp_path / "robustness.png")])


# Images of other things, on which OOD detection is measured.


@pytest.mark.parametrize("kinds", [FAR, AMBIGUOUS], ids=["far", "ambiguous"])
def test_images_of_one_seed_are_the_same_and_of_another_seed_are_not(kinds: dict) -> None:
    first, again, other = (list(far_images(kinds, count=2, seed=seed)) for seed in (0, 0, 1))
    assert [image.kind for image in first] == [kind for kind in kinds for _ in range(2)]
    for one, two, three in zip(first, again, other, strict=True):
        assert (one.image.mode, one.image.size, one.source) == ("RGB", (600, 450), two.source)
        np.testing.assert_array_equal(one.image, two.image)
        if one.kind not in ("photographs", "graphics"):
            assert not np.array_equal(one.image, three.image)


def test_a_photograph_that_is_not_installed_is_named() -> None:
    with pytest.raises(DataError, match=r"no_such_package/cat\.png is missing; pip install scikit-image"):
        photographs(("no_such_package/cat.png",))(0, np.random.default_rng(0))


def test_refusals_are_measured_by_kind(ood_release: Path, drawn: DatasetDict) -> None:
    vision = SkinVision.from_pretrained(ood_release, device="cpu")
    test = drawn["test"]
    report = measure_far(vision.model, vision.detector, test, count=2)
    assert list(report.far) == [*FAR, "all"]
    assert report.far["all"].accepted.n == report.far["all"].auroc.n == 2 * len(FAR)
    assert (report.far["stripes"].auroc.value or 0) > 0.8
    assert report.kept.n == len(test)
    assert OODReport.from_dict(json.loads(json.dumps(report.to_dict()))) == report
