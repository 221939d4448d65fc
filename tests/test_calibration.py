"""Temperature, prediction sets and calibration errors, on predictions whose calibration is known by construction."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from drawing import draw_lesion
from random_predictions import draw_predictions, predictions_of
from scipy.special import softmax

from skinvision_hf.errors import DataError, ModelError
from skinvision_hf.evaluation.bootstrap import AbsoluteSum, bootstrap, lesion_counts
from skinvision_hf.evaluation.calibration import (
    calibrate,
    chance_errors,
    fit_temperature,
    measure_calibration,
    recorded_temperature,
)
from skinvision_hf.evaluation.conformal import fit_conformal, measure_conformal, save_conformal
from skinvision_hf.evaluation.metrics import calibration_error
from skinvision_hf.evaluation.predictions import Predictions
from skinvision_hf.evaluation.report import EvalReport
from skinvision_hf.labels import CODES
from skinvision_hf.models.modeling import SkinVisionForImageClassification
from skinvision_hf.models.prediction import ConformalPredictor
from skinvision_hf.models.release import CONFORMAL_FILE, bundled_release
from skinvision_hf.vision import SkinVision


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_a_known_temperature_is_found(temperature: float) -> None:
    predictions = draw_predictions(4000, temperature=temperature)
    assert fit_temperature(predictions.logits, predictions.labels) == pytest.approx(temperature, rel=0.06)


def test_logits_that_allow_no_temperature_are_refused_and_right_ones_have_a_finite_one() -> None:
    assert 1 / 20 <= fit_temperature(np.eye(7) * 3, np.arange(7)) < 0.1
    with pytest.raises(DataError, match="finite logits"):
        fit_temperature(np.full((3, 7), np.nan), np.zeros(3, dtype=np.int64))
    with pytest.raises(DataError, match="at least one validation image"):
        fit_temperature(np.zeros((0, 7)), np.zeros(0, dtype=np.int64))


@pytest.fixture
def release(tiny_release: Path, tmp_path: Path) -> Path:
    return SkinVision.from_pretrained(tiny_release, device="cpu").save_pretrained(tmp_path / "release")


def predict(release: Path, images: torch.Tensor) -> Predictions:
    """What the network of a release says about normalised pixels, whose labels are still to be filled in."""
    model = SkinVisionForImageClassification.from_pretrained(release)
    with torch.inference_mode():
        logits = model(images).logits.double().numpy()
    return predictions_of(np.zeros(len(logits), np.int64), logits)


def calibrated(release: Path, images: torch.Tensor, labels: np.ndarray) -> float:
    """Calibrate a release on pixels with these labels, and return the fitted temperature."""
    before = predict(release, images)
    model = SkinVisionForImageClassification.from_pretrained(release)
    earlier = recorded_temperature(model)
    calibrate(model, replace(before, labels=labels))
    model.save_pretrained(release)
    return recorded_temperature(model) / earlier


def test_the_temperature_is_folded_into_the_weights_of_any_loader(release: Path) -> None:
    images = torch.randn(40, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2
    before = predict(release, images)
    # Labels of which the network is so overconfident that the temperature depends on all of them, whatever its weights.
    draws = np.random.default_rng(0).uniform(size=(40, 1))
    labels = (softmax(before.logits / 8, axis=1).cumsum(axis=1) < draws).sum(axis=1).clip(0, 6)
    files = {path.name: path.read_bytes() for path in release.iterdir()}
    fitted = calibrated(release, images, labels)
    assert fitted == pytest.approx(fit_temperature(before.logits, labels))
    with torch.inference_mode():
        logits = timm.create_model(f"local-dir:{release}", pretrained=True).eval()(images).numpy()
    for found in (logits, predict(release, images).logits):
        np.testing.assert_allclose(found, before.logits / fitted, rtol=5e-3, atol=1e-3 * np.abs(found).max())
    changed = {path.name for path in release.iterdir() if path.read_bytes() != files.get(path.name)}
    assert changed == {"model.safetensors", "config.json"}
    config = json.loads((release / "config.json").read_text())
    assert config.pop("calibration_temperature") == fitted
    assert config == json.loads(files["config.json"])
    again = calibrated(release, images, labels)
    assert again == pytest.approx(1, abs=0.01), "a calibrated network stays nearly as it is"
    model = SkinVisionForImageClassification.from_pretrained(release)
    assert recorded_temperature(model) == pytest.approx(fitted * again)


@pytest.mark.parametrize("coverage", [0.6, 0.8, 0.9, 0.95])
def test_sets_contain_the_ground_truth_at_least_as_often_as_asked(coverage: float) -> None:
    predictor, test = fit_conformal(draw_predictions(6000, seed=1)), draw_predictions(6000, seed=2)
    inside = predictor.prediction_sets(test.probabilities, coverage)
    covered = inside[np.arange(6000), test.labels]
    # Without randomisation a set has one diagnosis too many rather than too few.
    assert coverage - 0.02 < covered.mean() < coverage + 0.15
    smaller = predictor.prediction_sets(test.probabilities, coverage - 0.2)
    assert not (smaller & ~inside).any() and smaller.sum() < inside.sum()


def test_a_set_is_a_prefix_of_the_ranking() -> None:
    """Melanoma 57.2 %, nevus 41.5 %, dermatofibroma 0.4 %: no set has the last one without the second one."""
    probabilities = np.array([[0.003, 0.003, 0.002, 0.004, 0.572, 0.415, 0.001]])
    predictor = fit_conformal(draw_predictions(1000, seed=1))
    sizes = {int(predictor.prediction_sets(probabilities, share / 100).sum()) for share in range(1, 100)}
    assert {1, 2} <= sizes
    probabilities = np.vstack([draw_predictions(1000, seed=2).probabilities, probabilities, np.full((1, 7), 1 / 7)])
    for coverage in (0.01, 0.5, 0.9, 0.99):
        inside = predictor.prediction_sets(probabilities, coverage)
        ranked = np.take_along_axis(inside, (-probabilities).argsort(axis=1, kind="stable"), axis=1)
        assert ranked[:, 0].all() and (np.diff(ranked.astype(int), axis=1) <= 0).all()


def test_scores_follow_the_paper() -> None:
    predictor = ConformalPredictor(np.array([0.5]), np.array([1]), penalty=0.1, free_ranks=2)
    scores = predictor.raps_scores(np.array([[0.1, 0.5, 0.02, 0.03, 0.3, 0.04, 0.01]]))
    np.testing.assert_allclose(scores, [[0.9 + 0.1, 0.5, 0.99 + 0.4, 0.97 + 0.3, 0.8, 0.94 + 0.2, 1.0 + 0.5]])


def test_the_bundled_report_on_prediction_sets_is_that_of_its_predictions() -> None:
    folder = bundled_release()
    report = EvalReport.from_dict(json.loads((folder / "metrics.json").read_text()))
    predictor = ConformalPredictor.load(folder)
    measured = measure_conformal(predictor, Predictions.from_csv(folder / "predictions.csv"))
    for stored, found in zip(report.conformal.sets, measured.sets, strict=True):
        assert stored.target == found.target
        assert str(stored.coverage) == str(found.coverage) and str(stored.mean_size) == str(found.mean_size)
        assert {c: str(v.coverage) for c, v in stored.per_class.items()} == {
            c: str(v.coverage) for c, v in found.per_class.items()
        }


def test_a_rank_is_corrected_for_the_number_of_validation_lesions() -> None:
    predictor = ConformalPredictor(np.linspace(0.1, 0.9, 9), np.ones(9))
    assert predictor.threshold(0.9) == pytest.approx(0.9), "the ninth of nine scores promises 9 times out of 10"
    assert math.isinf(predictor.threshold(0.91)), "nine lesions cannot promise more, so sets have all diagnoses"
    assert predictor.prediction_sets(np.full((2, 7), 1 / 7), 0.91).all()


@pytest.mark.parametrize("coverage", [0.0, 1.0, 90.0, math.nan])
def test_a_coverage_that_is_no_share_is_refused(coverage: float) -> None:
    with pytest.raises(ModelError, match="is not between 0 and 1"):
        fit_conformal(draw_predictions(50)).threshold(coverage)


def test_scores_survive_their_file_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    assert ConformalPredictor.load(tmp_path) is None
    predictor = fit_conformal(draw_predictions(300))
    save_conformal(predictor, tmp_path)
    assert (tmp_path / CONFORMAL_FILE).stat().st_size < 30_000
    loaded = ConformalPredictor.load(tmp_path)
    np.testing.assert_array_equal(loaded.scores, predictor.scores)
    assert loaded.threshold(0.9) == predictor.threshold(0.9)
    content = json.loads((tmp_path / CONFORMAL_FILE).read_text())
    damages = ({"scores": []}, {"scores": content["scores"][::-1]}, {"images_of_lesion": [1]}, {"penalty": -1})
    for damage in (*damages, {"scores": [float("nan")] * len(content["scores"])}):
        (tmp_path / CONFORMAL_FILE).write_text(json.dumps(content | damage))
        with pytest.raises(ModelError, match=r"conformal\.json of .* is damaged; download the release again"):
            ConformalPredictor.load(tmp_path)


def test_coverage_and_size_are_reported_by_diagnosis() -> None:
    validation, test = draw_predictions(800, seed=1), draw_predictions(600, seed=2)
    predictor = fit_conformal(validation)
    found = measure_conformal(predictor, test).find(0.9)
    inside = predictor.prediction_sets(test.probabilities, 0.9)
    melanoma = test.labels == CODES.index("mel")
    coverage, size = found.per_class["mel"].coverage, found.per_class["mel"].mean_size
    assert coverage.value == pytest.approx(inside[melanoma, CODES.index("mel")].mean())
    assert size.value == pytest.approx(inside[melanoma].sum(axis=1).mean())
    assert coverage.n == melanoma.sum()
    assert found.coverage.low < found.coverage.value < found.coverage.high


def test_a_release_with_scores_gives_sets_that_grow_with_the_coverage(release: Path) -> None:
    without = SkinVision.from_pretrained(release, device="cpu").predict(draw_lesion())
    assert without.prediction_set is None and without.coverage is None
    save_conformal(fit_conformal(draw_predictions(500)), release)
    vision = SkinVision.from_pretrained(release, device="cpu")
    small, large = vision.predict(draw_lesion(), coverage=0.5), vision.predict(draw_lesion(), coverage=0.97)
    assert set(small.prediction_set) < set(large.prediction_set)
    assert (large.coverage, vision.predict(draw_lesion()).coverage) == (0.97, 0.9)
    assert large.prediction_set[0] == large.label


def test_a_lesion_counts_once_however_often_it_was_photographed() -> None:
    """A hundred photographs of one odd lesion must not move the threshold that nine ordinary ones set."""
    logits = np.zeros((109, 7))
    logits[:9, 4] = 6.0
    lesions = (*map(str, range(9)), *(["odd"] * 100))
    ordinary = 1 / (1 + 6 * math.exp(-6))
    predictor = fit_conformal(predictions_of(np.full(109, 4), logits, lesions))
    assert predictor.threshold(0.8) == pytest.approx(ordinary, abs=1e-5)
    unshared = fit_conformal(predictions_of(np.full(109, 4), logits))
    assert unshared.threshold(0.05) == pytest.approx(5 / 7 + 0.03, abs=1e-5)


# Calibration errors and their intervals.


def test_the_calibration_error_is_that_of_a_plain_loop() -> None:
    generator = np.random.default_rng(0)
    confidence = generator.uniform(size=150)
    happened = generator.uniform(size=150) < confidence**2
    expected = 0.0
    for members in np.split(np.argsort(confidence), 15):
        expected += abs(confidence[members].mean() - happened[members].mean()) * len(members) / 150
    assert calibration_error(confidence, happened)(np.ones((1, 150)))[0] == pytest.approx(expected)


@pytest.mark.usefixtures("few_resamples")
def test_calibrated_predictions_have_small_errors_and_overconfident_ones_large_ones() -> None:
    report = measure_calibration(draw_predictions(3000, seed=1), temperature=2.0)
    assert report.after.ece.value < 0.03 and report.before.ece.value > 0.1
    assert report.before.overconfidence.value > 0.1 and abs(report.after.overconfidence.value) < 0.02
    assert report.mean_probability == pytest.approx(report.frequency, abs=0.02)
    for name in ("classwise_ece", "log_loss", "brier_score"):
        assert getattr(report.before, name).value > getattr(report.after, name).value
    assert report.after.classwise_ece.value == pytest.approx(
        np.mean([e.value for e in report.after.per_class.values()])
    )
    assert len(report.after.bins) == 15
    assert sum(entry.accuracy.n for entry in report.after.bins) == 3000
    confidences = [entry.confidence for entry in report.after.bins]
    assert confidences == sorted(confidences)


@pytest.mark.parametrize("sharpness", [1.0, 1.5])
def test_intervals_of_calibration_errors_hold_the_truth(sharpness: float) -> None:
    """Percentile intervals do so for none of 100 calibrated models; these are to for 95 of 100."""

    def error(predictions: Predictions) -> AbsoluteSum:
        probabilities = predictions.probabilities
        return calibration_error(probabilities.max(axis=1), probabilities.argmax(axis=1) == predictions.labels)

    many = draw_predictions(200_000, seed=99, temperature=sharpness)
    truth = 0.0 if sharpness == 1.0 else float(error(many)(np.ones((1, 200_000)))[0])
    held = 0
    for seed in range(60):
        few = draw_predictions(800, seed=seed, temperature=sharpness)
        estimate = bootstrap(error(few), lesion_counts(few.lesion_ids, resamples=200, seed=seed))
        assert estimate.low <= estimate.value <= estimate.high
        held += estimate.low <= truth <= estimate.high
    assert held >= 52


@pytest.mark.usefixtures("few_resamples")
def test_the_errors_of_chance_are_those_that_calibrated_models_show() -> None:
    errors = [measure_calibration(draw_predictions(500, seed=s), temperature=1.0).after for s in range(12)]
    chance = chance_errors(draw_predictions(500))
    assert chance.ece.mean == pytest.approx(np.mean([e.ece.value for e in errors]), rel=0.25)
    assert chance.classwise_ece.mean == pytest.approx(np.mean([e.classwise_ece.value for e in errors]), rel=0.15)
    assert chance.ece.high > chance.ece.mean
