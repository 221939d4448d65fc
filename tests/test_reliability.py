"""Calibration errors and their intervals, on predictions whose calibration is known by construction."""

import numpy as np
import pytest
import torch
from random_predictions import draw_predictions

from skinvision_hf.evaluation.bootstrap import AbsoluteSum, bootstrap, lesion_counts
from skinvision_hf.evaluation.calibration import chance_errors, measure_calibration
from skinvision_hf.evaluation.metrics import calibration_error
from skinvision_hf.evaluation.predictions import Predictions
from skinvision_hf.labels import CODES


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
    assert report.after.ece.value is not None and report.after.ece.value < 0.03
    assert report.before.ece.value is not None and report.before.ece.value > 0.1
    for name in ("classwise_ece", "log_loss", "brier_score"):
        assert getattr(report.before, name).value > getattr(report.after, name).value
    assert report.after.classwise_ece.value == pytest.approx(
        np.mean([e.value for e in report.after.per_class.values()])
    )
    assert len(report.after.bins) == 15
    assert sum(entry.accuracy.n for entry in report.after.bins) == 3000
    confidences = [entry.confidence for entry in report.after.bins]
    assert confidences == sorted(confidences)


@pytest.mark.usefixtures("few_resamples")
def test_brier_score_and_log_loss_are_those_of_their_definitions() -> None:
    test = draw_predictions(50)
    errors = measure_calibration(test, temperature=1.0).after
    truth = np.eye(7)[test.labels]
    assert errors.brier_score.value == pytest.approx(((test.probabilities - truth) ** 2).sum(axis=1).mean(), rel=1e-5)
    expected = torch.nn.functional.cross_entropy(torch.tensor(test.logits), torch.tensor(test.labels))
    assert errors.log_loss.value == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.usefixtures("few_resamples")
@pytest.mark.parametrize("sharpness", [2.0, 0.5])
def test_overconfidence_is_mean_confidence_less_accuracy(sharpness: float) -> None:
    test = draw_predictions(2000, seed=1)
    shifted = Predictions(test.image_ids, test.lesion_ids, test.labels, test.logits * sharpness)
    report = measure_calibration(shifted, temperature=1.0)
    gap = shifted.probabilities.max(axis=1).mean() - (shifted.probabilities.argmax(axis=1) == test.labels).mean()
    assert report.after.overconfidence.value == pytest.approx(gap, abs=1e-6)
    assert (report.after.overconfidence.value > 0) == (sharpness > 1)


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
    chance = chance_errors(draw_predictions(500), draws=200)
    assert chance.ece.mean == pytest.approx(np.mean([e.ece.value for e in errors]), rel=0.25)
    assert chance.classwise_ece.mean == pytest.approx(np.mean([e.classwise_ece.value for e in errors]), rel=0.15)
    assert chance.ece.high > chance.ece.mean


@pytest.mark.usefixtures("few_resamples")
def test_the_mean_probability_of_each_diagnosis_stands_beside_its_frequency() -> None:
    test = draw_predictions(2000, seed=3)
    weighted = Predictions(
        test.image_ids, test.lesion_ids, test.labels, test.logits - 1.5 * np.eye(7)[CODES.index("nv")]
    )
    report = measure_calibration(weighted, temperature=1.0)
    assert report.frequency["nv"] == pytest.approx((test.labels == CODES.index("nv")).mean())
    assert report.mean_probability["nv"] == pytest.approx(weighted.probabilities[:, CODES.index("nv")].mean())
    assert report.mean_probability["nv"] < report.frequency["nv"] - 0.05
