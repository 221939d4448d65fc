"""Thresholds, curves and abstention against plain reimplementations and known answers."""

from pathlib import Path

import numpy as np
import pytest
from random_predictions import draw_predictions
from sklearn.metrics import roc_curve as sklearn_roc_curve

from skinvision_hf.errors import DataError, ModelError
from skinvision_hf.evaluation.bootstrap import lesion_counts
from skinvision_hf.evaluation.decisions import (
    DecisionReport,
    area_under_risk,
    choose_threshold,
    measure_decisions,
    net_benefit_curve,
    risk_curve,
    roc_curve,
    task_scores,
)
from skinvision_hf.files import write_json
from skinvision_hf.labels import CODES
from skinvision_hf.models.prediction import load_operating_point


@pytest.fixture(scope="module")
def report() -> DecisionReport:
    return measure_decisions(draw_predictions(600, seed=1), draw_predictions(500, seed=2))


def test_a_roc_curve_is_that_of_scikit_learn_with_ties() -> None:
    generator = np.random.default_rng(0)
    scores, positive = generator.integers(0, 12, 80) / 12, generator.uniform(size=80) < 0.4
    weights = lesion_counts([str(n // 2) for n in range(80)], resamples=20)
    curve = roc_curve(scores, positive, weights)
    false, true, _ = sklearn_roc_curve(positive, scores, drop_intermediate=False)
    np.testing.assert_allclose(curve.y, np.interp(curve.x, false, true), atol=1e-4)
    assert all(low <= high for low, high in zip(curve.low, curve.high, strict=True))


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9, 0.95, 1.0])
def test_a_threshold_reaches_its_level_and_the_next_one_does_not(level: float) -> None:
    generator = np.random.default_rng(1)
    positive = generator.uniform(size=200) < 0.3
    scores = generator.normal(positive.astype(float), 1.0)
    threshold = choose_threshold(scores, positive, fixed="sensitivity", level=level)
    assert (scores[positive] >= threshold).mean() >= level
    assert (scores[positive] > threshold).mean() < level, "a higher threshold would miss the level"
    threshold = choose_threshold(scores, positive, fixed="specificity", level=level)
    assert (scores[~positive] < threshold).mean() >= level
    assert (scores[~positive] < np.nextafter(threshold, -np.inf)).mean() < level


def test_points_hold_the_rates_of_test_images_at_a_validation_threshold(report: DecisionReport) -> None:
    validation, test = draw_predictions(600, seed=1), draw_predictions(500, seed=2)
    for task in ("malignant", "melanoma"):
        point = report.tasks[task].point("sensitivity", 0.9)
        tuning, truth = task_scores(task, validation)
        assert (tuning[truth] >= point.threshold).mean() >= 0.9
        scores, positive = task_scores(task, test)
        flagged = scores >= point.threshold
        assert point.sensitivity.value == pytest.approx(flagged[positive].mean())
        assert point.specificity.value == pytest.approx((~flagged)[~positive].mean())
        assert point.precision.value == pytest.approx(positive[flagged].mean())
        assert point.negative_predictive_value.value == pytest.approx((~positive)[~flagged].mean())
        assert point.sensitivity.n == positive.sum()
        assert point.sensitivity.low < point.sensitivity.value


def test_net_benefit_is_that_of_its_definition() -> None:
    scores, positive = np.array([0.9, 0.6, 0.4, 0.1]), np.array([True, False, True, False])
    curve = net_benefit_curve(scores, positive, np.array([0.05, 0.5, 0.8]), lesion_counts(list("abcd"), resamples=10))
    assert curve.y == pytest.approx([0.5 - 0.5 * 0.05 / 0.95, 0.25 - 0.25, 0.25], abs=1e-4)


def test_acting_on_all_is_the_net_benefit_of_a_threshold_that_flags_all(report: DecisionReport) -> None:
    task = report.tasks["malignant"]
    assert task.net_benefit_of_all[0] == pytest.approx(task.prevalence - (1 - task.prevalence) * 0.01 / 0.99, abs=1e-4)
    assert task.net_benefit_of_all[-1] < task.net_benefit.y[-1]


def test_risk_falls_when_the_least_confident_images_are_left_out() -> None:
    confidence, wrong = np.array([0.9, 0.8, 0.7, 0.6]), np.array([False, False, True, True])
    weights = lesion_counts(list("abcd"), resamples=10)
    curve = risk_curve(confidence, wrong, weights)
    assert [curve.at(c) for c in (0.5, 0.75, 1.0)] == pytest.approx([0, 1 / 3, 0.5], abs=1e-3)
    assert area_under_risk(confidence, wrong)(np.ones((1, 4)))[0] == pytest.approx((0 + 0 + 1 / 3 + 1 / 2) / 4)
    doubled = area_under_risk(np.repeat(confidence, [1, 2, 1, 1]), np.repeat(wrong, [1, 2, 1, 1]))(np.ones((1, 5)))
    assert area_under_risk(confidence, wrong)(np.array([[1.0, 2, 1, 1]]))[0] == pytest.approx(doubled[0])


def test_a_point_comes_back_from_a_release_and_judges_a_prediction(report: DecisionReport, tmp_path: Path) -> None:
    write_json(tmp_path / "metrics.json", {"operating_points": report.to_dict()})
    stored = report.tasks["malignant"].point("sensitivity", 0.95)
    point = load_operating_point(tmp_path, min_sensitivity=0.93)
    assert point == stored
    sure = dict.fromkeys(CODES, 0.0) | {"mel": point.threshold / 2, "bcc": point.threshold / 2}
    assert point.is_positive(sure)
    assert not point.is_positive(sure | {"bcc": point.threshold / 3})
    assert point.explain(sure).startswith("Malignant: suspicious, by")
    with pytest.raises(ModelError, match=r"sensitivity of 0\.999; choose at most 0\.98"):
        load_operating_point(tmp_path, min_sensitivity=0.999)


def test_a_release_without_points_gives_none_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    assert load_operating_point(tmp_path) is None
    (tmp_path / "metrics.json").write_text("{}")
    assert load_operating_point(tmp_path) is None
    for content in ("{", '{"operating_points": {"malignant": {"points": [{"task": "malignant"}]}}}'):
        (tmp_path / "metrics.json").write_text(content)
        with pytest.raises(ModelError, match=r"is not a valid metrics\.json; download the release again"):
            load_operating_point(tmp_path)


def test_a_split_without_melanomas_is_refused() -> None:
    predictions = draw_predictions(100)
    benign = predictions.select(predictions.labels == CODES.index("nv"))
    with pytest.raises(DataError, match="the validation split needs images with and without akiec or bcc or mel"):
        measure_decisions(benign, predictions)
