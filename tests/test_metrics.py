"""Every metric against scikit-learn, the official ISIC scorer, and its meaning; the modules of evaluate."""

import json
from dataclasses import replace
from pathlib import Path

import evaluate
import numpy as np
import pandas as pd
import pytest
from isic_challenge_scoring.classification import ClassificationMetric, ClassificationScore
from random_predictions import draw_predictions, predictions_of
from sklearn import metrics as sklearn_metrics

from skinvision_hf.errors import DataError
from skinvision_hf.evaluation.bootstrap import Mean, bootstrap, lesion_counts
from skinvision_hf.evaluation.calibration import measure_calibration
from skinvision_hf.evaluation.conformal import fit_conformal, measure_conformal
from skinvision_hf.evaluation.decisions import measure_decisions
from skinvision_hf.evaluation.evaluate_metrics import SkinLesionMetrics, compute
from skinvision_hf.evaluation.metrics import CLASS_METRICS, calibration_error, class_statistics, overall_statistics
from skinvision_hf.evaluation.predictions import Predictions
from skinvision_hf.evaluation.report import EvalReport, evaluate_predictions
from skinvision_hf.evaluation.subgroups import measure_subgroups
from skinvision_hf.labels import CODES, DIAGNOSES
from skinvision_hf.records import Estimate

MELANOMA = CODES.index("mel")
HEADER = "image_id,lesion_id,label,akiec,bcc,bkl,df,mel,nv,vasc\n"


def sklearn_overall(labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray) -> dict[str, float]:
    predicted = probabilities.argmax(axis=1)
    common = {"sample_weight": weights}
    aucs = [
        sklearn_metrics.roc_auc_score(labels == k, probabilities[:, k], **common)
        for k in range(7)
        if 0 < weights[labels == k].sum() < weights.sum()
    ]
    truth = np.eye(7)[labels]
    melanoma, says = labels == MELANOMA, predicted == MELANOMA
    return {
        "accuracy": sklearn_metrics.accuracy_score(labels, predicted, **common),
        "balanced_accuracy": sklearn_metrics.balanced_accuracy_score(labels, predicted, **common),
        "macro_f1": sklearn_metrics.f1_score(labels, predicted, average="macro", **common),
        "weighted_f1": sklearn_metrics.f1_score(labels, predicted, average="weighted", **common),
        "mean_auc": float(np.mean(aucs)),
        "log_loss": sklearn_metrics.log_loss(labels, probabilities, labels=range(7), **common),
        "brier_score": float(np.average(((probabilities - truth) ** 2).sum(1), weights=weights)),
        "melanoma_sensitivity": sklearn_metrics.recall_score(melanoma, says, **common),
        "melanoma_specificity": sklearn_metrics.recall_score(~melanoma, ~says, **common),
    }


FAIR, DRAWN = draw_predictions(300), draw_predictions(300, seed=1)
# Of probabilities of two digits, many images share a score.
CASES = [FAIR, replace(DRAWN, logits=np.log(np.round(DRAWN.probabilities, 2) + 1e-3))]


def all_and_resampled(predictions: Predictions) -> np.ndarray:
    """Counts of the images as they are, and of three resamples."""
    return np.vstack([np.ones(len(predictions.labels)), lesion_counts(predictions.lesion_ids, resamples=3)])


@pytest.mark.parametrize("predictions", CASES, ids=["distinct", "ties"])
def test_overall_metrics_are_those_of_scikit_learn_with_sample_weights(predictions: Predictions) -> None:
    labels, probabilities, counts = predictions.labels, predictions.probabilities, all_and_resampled(predictions)
    values = {name: statistic(counts) for name, statistic in overall_statistics(labels, probabilities).items()}
    for row, weights in enumerate(counts):
        for name, value in sklearn_overall(labels, probabilities, weights).items():
            assert values[name][row] == pytest.approx(value, abs=1e-9), name


@pytest.mark.parametrize("predictions", CASES, ids=["distinct", "ties"])
@pytest.mark.parametrize("k", range(7))
def test_metrics_of_a_class_are_those_of_scikit_learn(predictions: Predictions, k: int) -> None:
    labels, probabilities = predictions.labels, predictions.probabilities
    truth, says, scores = labels == k, probabilities.argmax(axis=1) == k, probabilities[:, k]
    counts = all_and_resampled(predictions)
    values = {name: statistic(counts) for name, statistic in class_statistics(labels, probabilities, k).items()}
    for row, w in enumerate(counts):
        expected = {
            "sensitivity": sklearn_metrics.recall_score(truth, says, sample_weight=w),
            "specificity": sklearn_metrics.recall_score(~truth, ~says, sample_weight=w),
            "precision": sklearn_metrics.precision_score(truth, says, sample_weight=w, zero_division=np.nan),
            "f1": sklearn_metrics.f1_score(truth, says, sample_weight=w),
            "auc": sklearn_metrics.roc_auc_score(truth, scores, sample_weight=w),
            "average_precision": sklearn_metrics.average_precision_score(truth, scores, sample_weight=w),
        }
        assert tuple(expected) == CLASS_METRICS
        for name, value in expected.items():
            assert values[name][row] == pytest.approx(value, abs=1e-6, nan_ok=True), name


def test_metrics_are_those_of_the_official_isic_scorer() -> None:
    predictions, order = draw_predictions(400, seed=2), ["MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC"]
    columns = [CODES.index(name.lower()) for name in order]
    # The scorer's own reader of CSV files fails with pandas 3, so it gets the tables themselves.
    truth, answers = (
        pd.DataFrame(values[:, columns], columns=order, index=predictions.image_ids)
        for values in (np.eye(7)[predictions.labels], predictions.probabilities)
    )
    weights = pd.DataFrame({"score_weight": 1.0, "validation_weight": 1.0}, index=predictions.image_ids)
    score = ClassificationScore(truth, answers, weights, ClassificationMetric.BALANCED_ACCURACY)
    report = evaluate_predictions(predictions, split_scheme="s", split="test")
    assert score.overall == pytest.approx(report.overall["balanced_accuracy"].value)
    for diagnosis in DIAGNOSES:
        official, ours = score.per_category.loc[diagnosis.code.upper()], report.per_class[diagnosis.code]
        assert official["auc"] == pytest.approx(ours["auc"].value, abs=1e-6)
        assert official["ap"] == pytest.approx(ours["average_precision"].value, abs=1e-6)


def test_modules_of_evaluate_give_the_numbers_of_the_report_and_combine() -> None:
    predictions = draw_predictions(200)
    inputs = {"predictions": predictions.probabilities.tolist(), "references": predictions.labels.tolist()}
    everything = SkinLesionMetrics().compute(**inputs)
    report = evaluate_predictions(predictions, split_scheme="ham10000-v1", split="test")
    by_class = {f"{code}_{name}": e for code, m in report.per_class.items() for name, e in m.items()}
    assert everything == {name: e.value for name, e in {**report.overall, **by_class}.items()}
    some = ("accuracy", "macro_f1", "mel_sensitivity")
    combined = evaluate.combine([SkinLesionMetrics(name) for name in some]).compute(**inputs)
    assert combined == {name: everything[name] for name in some}
    with pytest.raises(DataError, match="there is no metric 'acuracy'"):
        SkinLesionMetrics("acuracy")
    with pytest.raises(DataError, match="predictions must be 7 probabilities"):
        SkinLesionMetrics().compute(predictions=[[0.5, 0.5]], references=[0])


def test_validation_computes_through_them_without_a_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate.config, "HF_METRICS_CACHE", "/dev/null/metrics")
    predictions = draw_predictions(200)
    expected = evaluate_predictions(predictions, split_scheme="ham10000-v1", split="validation").overall
    found = compute(predictions.probabilities, predictions.labels)
    assert found == {name: estimate.value for name, estimate in expected.items()}
    assert compute(predictions.probabilities[:1], predictions.labels[:1])["mean_auc"] is None


def test_what_cannot_be_measured_is_null_and_one_image_is_enough_for_a_report() -> None:
    drawn, one = draw_predictions(300, seed=3), draw_predictions(1)
    report = evaluate_predictions(drawn.select(drawn.labels != 3), split_scheme="s", split="test")
    missing = report.per_class["df"]
    assert missing["sensitivity"].value is missing["auc"].value is missing["average_precision"].value is None
    assert missing["sensitivity"].n == 0
    assert report.overall["balanced_accuracy"].value is not None
    report = evaluate_predictions(one, split_scheme="s", split="test")
    assert report.overall["accuracy"].value in (0.0, 1.0)
    assert report.overall["mean_auc"].value is None
    with pytest.raises(DataError, match="has no images"):
        evaluate_predictions(one.select(np.zeros(0, int)), split_scheme="s", split="test")
    with pytest.raises(DataError, match="not finite"):
        evaluate_predictions(replace(one, logits=np.full((1, 7), np.nan)), split_scheme="s", split="test")


def test_intervals_over_lesions_are_wider_than_over_images_and_hold_the_truth() -> None:
    """Ten copies of each image hold no more information than one: the interval must not shrink."""
    generator = np.random.default_rng(1)
    right, lesions = generator.uniform(size=200) < 0.8, np.arange(200).astype(str)
    one = bootstrap(Mean(right), lesion_counts(lesions))
    copies = bootstrap(Mean(np.repeat(right, 10)), lesion_counts(np.repeat(lesions, 10)))
    naive = bootstrap(Mean(np.repeat(right, 10)), lesion_counts(np.arange(2000).astype(str)))
    assert (copies.low, copies.high) == (one.low, one.high)
    assert one.low < 0.8 < one.high
    assert naive.low > one.low


@pytest.mark.parametrize(("share", "ends"), [(1.0, (0.025 ** (1 / 10), 1.0)), (0.0, (0.0, 1 - 0.025 ** (1 / 10)))])
def test_a_share_of_all_or_none_has_the_exact_interval_over_lesions(share: float, ends: tuple[float, float]) -> None:
    """Thirty photographs of ten lesions, beside others that are not asked about: it is that of ten trials."""
    lesions = [str(number // 3) for number in range(60)]
    weights, among = lesion_counts(lesions), np.arange(60) < 30
    for statistic, drawn in (
        (Mean(np.full(60, bool(share)), among), weights),
        (Mean(np.full(30, bool(share))), weights[:, among]),
    ):
        estimate = bootstrap(statistic, drawn)
        assert estimate.value == share
        assert (estimate.low, estimate.high) == pytest.approx(ends)
    assert bootstrap(lambda w: w.sum(axis=1) / w.sum(axis=1), weights) == Estimate(1.0, None, None, 60)


def test_a_group_with_few_lesions_of_a_diagnosis_has_an_interval_as_wide_as_they_allow() -> None:
    """34 nevi that are right but for one, and 4 melanomas that are all missed: resamples know nothing of the latter."""
    labels = np.array([CODES.index("nv")] * 34 + [CODES.index("mel")] * 4)
    logits = 4.0 * np.eye(7)[[CODES.index("bkl")] + [CODES.index("nv")] * 37]
    report = evaluate_predictions(predictions_of(labels, logits), split_scheme="foot", split="all")
    resampled = np.random.default_rng(0).binomial(34, 33 / 34, 2000) / 34
    balanced, exact = report.overall["balanced_accuracy"], report.overall["melanoma_sensitivity"]
    assert balanced.value == pytest.approx(33 / 34 / 2)
    assert (exact.low, exact.high) == pytest.approx((0, 1 - 0.025 ** (1 / 4)))
    assert balanced.high >= balanced.value + exact.high / 2
    assert balanced.low == pytest.approx(0.5 * np.quantile(resampled, 0.025), abs=0.02)
    right = evaluate_predictions(predictions_of(labels, 4.0 * np.eye(7)[labels]), split_scheme="x", split="all")
    for name in ("balanced_accuracy", "macro_f1", "mean_auc"):
        estimate = right.overall[name]
        assert (estimate.value, estimate.high) == (1, 1)
        assert estimate.low < 1 - exact.high / 2 + 0.01


def test_an_error_that_is_smaller_than_chance_has_no_interval() -> None:
    confidence, happened = np.full(600, 0.5), np.arange(600) % 2 == 0
    error = calibration_error(confidence, happened)
    estimate = bootstrap(error, lesion_counts([str(number) for number in range(600)]))
    assert estimate == Estimate(pytest.approx(0.0), None, None, 600)


@pytest.mark.usefixtures("few_resamples")
def test_a_full_report_survives_json() -> None:
    validation, test = draw_predictions(300, seed=1), draw_predictions(300)
    sex = np.random.default_rng(0).choice(["female", "male"], 300).tolist()
    report = replace(
        evaluate_predictions(test, split_scheme="s", split="test"),
        calibration=measure_calibration(test, temperature=1.2),
        conformal=measure_conformal(fit_conformal(validation), test),
        operating_points=measure_decisions(validation, test),
        subgroups=measure_subgroups(test, {"sex": sex}),
    )
    content = report.to_dict()
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    assert EvalReport.from_dict(content) == report


def test_predictions_survive_their_table(tmp_path: Path) -> None:
    predictions = draw_predictions(50)
    again = Predictions.from_csv(predictions.to_csv(tmp_path / "p.csv"))
    assert again.image_ids == predictions.image_ids
    assert again.lesion_ids == predictions.lesion_ids
    np.testing.assert_array_equal(again.labels, predictions.labels)
    np.testing.assert_allclose(again.probabilities, predictions.probabilities, rtol=1e-5)
    assert (tmp_path / "p.csv").read_text().startswith(HEADER)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "is not a table of predictions"),
        (HEADER, "holds no predictions"),
        (HEADER + "a,b,nv,1,1,0,0,0,0,0\n", "do not add up to 1"),
        (HEADER + "a,b,wart,1,0,0,0,0,0,0\n", "is not a table"),
    ],
)
def test_a_table_that_is_none_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "p.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        Predictions.from_csv(tmp_path / "p.csv")
