"""The guard: detectors against their definitions, typicality, its file, and what it says about drawn pictures."""

import time
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from drawing import draw_lesion
from safetensors.torch import load_file

from skinvision_hf.errors import ModelError
from skinvision_hf.evaluation.bootstrap import lesion_weights
from skinvision_hf.models.modeling import SkinVisionForImageClassification
from skinvision_hf.models.release import GUARD_FILE
from skinvision_hf.models.skinvision import SkinVision
from skinvision_hf.ood import FeatureGuard
from skinvision_hf.ood.detectors import COMPONENTS, DETECTORS, Mahalanobis, TrainingFeatures
from skinvision_hf.ood.features import pooled_features
from skinvision_hf.ood.fitting import compare_detectors, measure_separation

DIMENSION = 200


def draw_training(count: int = 700, *, seed: int = 0) -> TrainingFeatures:
    """Seven clusters that use 20 of 200 directions strongly and the others hardly."""
    generator = torch.Generator().manual_seed(seed)
    structure = torch.Generator().manual_seed(99)
    scales = torch.cat([torch.full((20,), 3.0), torch.full((DIMENSION - 20,), 0.1)])
    centres = torch.randn(7, DIMENSION, generator=structure) * scales * 2
    labels = torch.arange(count) % 7
    features = centres[labels] + torch.randn(count, DIMENSION, generator=generator) * scales
    weight = centres / centres.norm(dim=1, keepdim=True)
    return TrainingFeatures(features, labels, weight, torch.zeros(7))


def draw_far(count: int = 100) -> torch.Tensor:
    return torch.randn(count, DIMENSION, generator=torch.Generator().manual_seed(5)) * 2


@pytest.fixture(scope="module")
def training() -> TrainingFeatures:
    return draw_training()


@pytest.fixture(scope="module")
def guard(training: TrainingFeatures) -> FeatureGuard:
    detector = Mahalanobis.fit(training)
    return FeatureGuard("mahalanobis", detector, detector.score(draw_training(500, seed=1).features).sort().values)


def test_the_five_detectors_score_by_their_definitions(training: TrainingFeatures) -> None:
    features = draw_far(5)
    logits = features @ training.weight.T + training.bias
    scores = {name: detector.fit(training).score(features) for name, detector in DETECTORS.items()}
    torch.testing.assert_close(scores["maximum_logit"], logits.max(dim=1).values)
    torch.testing.assert_close(scores["energy"], logits.exp().sum(dim=1).log())
    assert all(score.shape == (5,) and score.isfinite().all() for score in scores.values())


def test_mahalanobis_is_exact_when_all_directions_are_kept() -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(300, 30, generator=generator) @ torch.randn(30, 30, generator=generator)
    labels = torch.arange(300) % 3
    training = TrainingFeatures(features, labels, torch.zeros(7, 30), torch.zeros(7))
    assert COMPONENTS >= 30
    means = torch.stack([features[labels == k].mean(dim=0) for k in range(3)])
    precision = torch.linalg.inv(torch.cov((features - means[labels]).T, correction=0).double()).float()
    probe = features[:10] + 1
    expected = torch.stack([((probe - m) @ precision * (probe - m)).sum(dim=1) for m in means]).amin(dim=0)
    torch.testing.assert_close(-Mahalanobis.fit(training).score(probe), expected, rtol=1e-2, atol=1e-2)


def test_typicality_is_the_share_of_validation_images_that_look_no_more_typical(guard: FeatureGuard) -> None:
    fresh = draw_training(400, seed=2).features
    typicality = guard.score(fresh)
    scores = guard.detector.score(fresh)
    expected = (guard.validation_scores[None] <= scores[:, None]).float().mean(dim=1)
    torch.testing.assert_close(typicality, expected)
    assert typicality.mean() == pytest.approx(0.5, abs=0.06), "new images of the same kind have uniform typicality"
    assert (typicality >= guard.threshold).float().mean() == pytest.approx(0.95, abs=0.03)
    assert guard.score(draw_far()).max() == 0


def test_the_threshold_keeps_95_percent_of_validation_images(guard: FeatureGuard) -> None:
    kept = guard.score(draw_training(500, seed=1).features) >= guard.threshold
    assert kept.float().mean() == pytest.approx(0.95, abs=0.003)


def test_features_that_are_no_numbers_are_not_typical(guard: FeatureGuard) -> None:
    assert guard.score(torch.full((1, DIMENSION), torch.nan)).item() == 0
    assert guard.score(torch.full((1, DIMENSION), torch.inf)).item() == 0


def test_the_simplest_of_the_best_detectors_is_kept(training: TrainingFeatures) -> None:
    validation = draw_training(300, seed=3)
    ids = [str(n) for n in range(300)]
    guard, found = compare_detectors(
        training, validation.features, draw_far(), lesion_ids=ids, sources=[str(n) for n in range(100)]
    )
    aurocs = {name: separation.auroc.value or 0 for name, separation in found.items()}
    assert list(found) == list(DETECTORS)
    assert max(aurocs.values()) > 0.99
    simpler = list(DETECTORS)[: list(DETECTORS).index(guard.method)]
    assert aurocs[guard.method] >= max(aurocs.values()) - 0.001
    assert all(aurocs[name] < max(aurocs.values()) - 0.001 for name in simpler)
    assert torch.equal(guard.validation_scores, guard.detector.score(validation.features).sort().values)


def test_separation_is_that_of_its_definitions() -> None:
    lesions, others = np.arange(100.0), np.array([-5.0, 2.5, 50.5, 200.0])
    weights = lesion_weights([str(n) for n in range(100)], resamples=200)
    separation = measure_separation(lesions, others, ["a", "a", "b", "c"], weights)
    assert separation.auroc.value == pytest.approx((100 + 97 + 49 + 0) / 400)
    assert separation.fpr95.value == 0.5, "50.5 and 200 lie above the fifth percentile of the lesions"
    assert separation.auroc.n == separation.fpr95.n == 4


@pytest.mark.parametrize("method", list(DETECTORS))
def test_every_guard_survives_its_file(method: str, training: TrainingFeatures, tmp_path: Path) -> None:
    detector = DETECTORS[method].fit(training)
    guard = FeatureGuard(method, detector, detector.score(training.features).sort().values)
    path = guard.save(tmp_path)
    assert path == tmp_path / GUARD_FILE
    loaded = FeatureGuard.load(tmp_path, dimension=DIMENSION)
    assert loaded is not None
    assert (loaded.method, loaded.threshold) == (method, guard.threshold)
    for field in fields(detector):  # type: ignore[arg-type]
        assert torch.equal(getattr(loaded.detector, field.name), getattr(detector, field.name))
    assert torch.equal(loaded.score(draw_far()), guard.score(draw_far()))


@pytest.mark.parametrize("method", list(DETECTORS))
def test_every_guard_of_the_default_network_is_smaller_than_a_megabyte(method: str, tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(1600, 1280, generator=generator)
    training = TrainingFeatures(features, torch.arange(1600) % 7, torch.randn(7, 1280), torch.randn(7))
    detector = DETECTORS[method].fit(training)
    path = FeatureGuard(method, detector, detector.score(features).sort().values).save(tmp_path)
    assert path.stat().st_size < 1_000_000


def test_a_release_without_a_guard_has_none_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    assert FeatureGuard.load(tmp_path, dimension=7) is None
    (tmp_path / GUARD_FILE).write_bytes(b"no tensors")
    with pytest.raises(ModelError, match=r"guard\.safetensors of .* is damaged; download the release again"):
        FeatureGuard.load(tmp_path, dimension=7)


def test_pooled_features_are_what_the_classifier_reads(tiny_release: Path) -> None:
    model = SkinVisionForImageClassification.from_pretrained(tiny_release)
    model.train()
    features, logits = pooled_features(model, (draw_lesion(seed) for seed in range(70)))
    assert model.training, "the network is handed back in the mode it was in"
    torch.testing.assert_close(model.timm_model.get_classifier()(features), logits)
    assert features.shape[0] == 70
    expected = SkinVision.from_pretrained(tiny_release, device="cpu").predict(draw_lesion(69)).probabilities
    torch.testing.assert_close(logits[69].softmax(dim=0), torch.tensor(list(expected.values())), rtol=1e-4, atol=1e-5)


def test_a_guarded_release_says_what_is_like_its_images_and_what_is_not(guarded_release: Path) -> None:
    vision = SkinVision.from_pretrained(guarded_release, device="cpu")
    noise = np.random.default_rng(0).integers(0, 256, (150, 200, 3), dtype=np.uint8)
    lesions = vision.predict([draw_lesion(seed) for seed in range(200, 240)])
    assert np.mean([prediction.in_distribution for prediction in lesions]) > 0.7
    answer = vision.predict(noise)
    assert answer.in_distribution is False
    assert answer.typicality == 0
    assert str(answer).endswith("the image is unlike the training images")
    assert isinstance(lesions[0].typicality, float)


def test_a_guard_travels_with_its_release(guarded_release: Path, tmp_path: Path) -> None:
    vision = SkinVision.from_pretrained(guarded_release, device="cpu")
    copy = SkinVision.from_pretrained(vision.save_pretrained(tmp_path / "copy"), device="cpu")
    assert load_file(tmp_path / "copy" / GUARD_FILE).keys() == load_file(guarded_release / GUARD_FILE).keys()
    assert copy.predict(draw_lesion(7)) == vision.predict(draw_lesion(7))


def test_a_guard_of_another_network_is_refused_when_it_is_loaded(guarded_release: Path, tmp_path: Path) -> None:
    detector = Mahalanobis.fit(draw_training())
    release = SkinVision.from_pretrained(guarded_release, device="cpu").save_pretrained(tmp_path / "other")
    FeatureGuard("mahalanobis", detector, torch.arange(5.0)).save(release)
    with pytest.raises(ModelError, match="was fitted for another network"):
        SkinVision.from_pretrained(release)


def test_the_default_guard_costs_less_than_a_tenth_of_a_prediction() -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(1600, 1280, generator=generator)
    detector = Mahalanobis.fit(TrainingFeatures(features, torch.arange(1600) % 7, features[:7], torch.zeros(7)))
    guard = FeatureGuard("mahalanobis", detector, detector.score(features).sort().values)
    times = []
    for _ in range(20):
        start = time.perf_counter()
        guard.score(features[:1])
        times.append(time.perf_counter() - start)
    assert min(times) < 0.002, "a prediction of the default network takes more than 20 ms on one core"


def test_an_earlier_stage_is_kept_when_it_tells_more_and_survives_its_file(
    training: TrainingFeatures, tmp_path: Path
) -> None:
    """The classifier's features are blind to the far pictures here; those of the second stage are not."""
    generator = torch.Generator().manual_seed(1)
    blind = draw_training(100, seed=8).features
    stage = (torch.randn(700, 24, generator=generator), torch.randn(300, 24, generator=generator))
    guard, found = compare_detectors(
        training,
        draw_training(300, seed=3).features,
        blind,
        lesion_ids=[str(n) for n in range(300)],
        sources=[str(n) for n in range(100)],
        stages={1: (*stage, 5 + torch.randn(100, 24, generator=generator))},
    )
    assert (guard.method, guard.stage, guard.name) == ("mahalanobis", 1, "mahalanobis, stage 2")
    assert set(found) == {*DETECTORS, guard.name}
    guard.save(tmp_path)
    loaded = FeatureGuard.load(tmp_path, dimension=DIMENSION, channels=(16, 24))
    assert loaded is not None and loaded.stage == 1
    assert torch.equal(loaded.score(stage[1]), guard.score(stage[1]))
    with pytest.raises(ModelError, match="was fitted for another network"):
        FeatureGuard.load(tmp_path, dimension=DIMENSION, channels=(16, 32))


@pytest.mark.parametrize("stage", [0, 3, None])
def test_a_prediction_pools_the_stage_that_the_guard_was_fitted_on(
    stage: int | None, tiny_release: Path, tmp_path: Path
) -> None:
    release = SkinVision.from_pretrained(tiny_release, device="cpu").save_pretrained(tmp_path / "release")
    model = SkinVisionForImageClassification.from_pretrained(release)
    # More images than directions that the detector keeps, along which rounding would count otherwise.
    count = 3 * COMPONENTS
    images = [draw_lesion(seed) for seed in range(count)]
    features, _ = pooled_features(model, images, stage=stage)
    detector = Mahalanobis.fit(TrainingFeatures(features, torch.zeros(count).long(), torch.zeros(7, 1), torch.zeros(7)))
    scores = detector.score(features)
    guard = FeatureGuard("mahalanobis", detector, scores.sort().values, stage=stage)
    images, features = images[:40], features[:40]
    guard.save(release)
    vision = SkinVision.from_pretrained(release, device="cpu")
    got = [prediction.typicality for prediction in vision.predict(images)]
    assert got == pytest.approx(guard.score(features).tolist(), abs=0.02)
    plain = SkinVision.from_pretrained(tiny_release, device="cpu").predict(images)
    for one, two in zip(vision.predict(images), plain, strict=True):
        assert one.confidence == pytest.approx(two.confidence, abs=1e-5)
