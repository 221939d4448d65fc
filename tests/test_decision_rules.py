"""Answers that lean to rare or to frequent diagnoses: the rule, its choice on validation, and what is reported."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from random_predictions import draw_predictions
from sklearn.metrics import balanced_accuracy_score

from skinvision_hf.card.sections import read_sections
from skinvision_hf.decision_rules import AS_RELEASED, RULES, DecisionRulesReport, adjust, measure_decision_rules
from skinvision_hf.errors import DataError
from skinvision_hf.figures.decision_rules import plot_decision_rules
from skinvision_hf.labels import CODES
from skinvision_hf.metrics import Predictions

FREQUENCIES = np.array([0.03, 0.05, 0.11, 0.01, 0.11, 0.68, 0.01])


def natural_predictions(count: int, *, seed: int) -> Predictions:
    """Calibrated probabilities of diagnoses that are as unequally frequent as in reality."""
    generator = np.random.default_rng(seed)
    labels = generator.choice(len(CODES), size=count, p=FREQUENCIES)
    # Evidence whose log-likelihood ratios are those of Gaussians, so that Bayes' rule gives the truth.
    evidence = generator.normal(size=(count, len(CODES))) + 1.5 * np.eye(len(CODES))[labels]
    names = tuple(f"{seed}-{n}" for n in range(count))
    return Predictions(names, names, labels, (1.5 * evidence + np.log(FREQUENCIES)).astype(np.float32))


@pytest.fixture(scope="module")
def report() -> DecisionRulesReport:
    return measure_decision_rules(
        natural_predictions(4000, seed=0), natural_predictions(4000, seed=1), natural_predictions(7000, seed=2).labels
    )


def test_an_exponent_divides_probabilities_by_a_power_of_the_frequencies() -> None:
    predictions = draw_predictions(50)
    got = adjust(predictions.logits, FREQUENCIES, 0.5)
    expected = predictions.probabilities / np.sqrt(FREQUENCIES)
    np.testing.assert_allclose(got, expected / expected.sum(axis=1, keepdims=True), rtol=1e-4)
    np.testing.assert_allclose(adjust(predictions.logits, FREQUENCIES, 0), predictions.probabilities, atol=1e-6)


def test_calibrated_probabilities_are_best_as_they_are_for_accuracy_and_near_one_for_balance(
    report: DecisionRulesReport,
) -> None:
    """What theory says of a model that knows the frequencies (Menon et al. 2021)."""
    own, accurate, balanced = report.rules
    assert (own.name, own.exponent) == (AS_RELEASED, 0)
    assert [rule.name for rule in report.rules[1:]] == list(RULES)
    assert abs(accurate.exponent) <= 0.25
    assert abs(balanced.exponent - 1) <= 0.35
    gain = (balanced.test["balanced_accuracy"].value or 0) - (own.test["balanced_accuracy"].value or 1)
    assert gain > 0.1


def test_a_rule_is_chosen_on_validation_alone(report: DecisionRulesReport) -> None:
    validation, training = natural_predictions(4000, seed=0), natural_predictions(7000, seed=2).labels
    test = natural_predictions(4000, seed=1)
    other = measure_decision_rules(validation, replace(test, labels=(test.labels + 1) % 7), training)
    assert [rule.exponent for rule in other.rules] == [rule.exponent for rule in report.rules]
    assert [rule.validation for rule in other.rules] == [rule.validation for rule in report.rules]
    assert other.rules[1].test != report.rules[1].test


def test_its_numbers_are_those_of_scikit_learn(report: DecisionRulesReport) -> None:
    test, rule = natural_predictions(4000, seed=1), report.rules[2]
    frequencies = np.array(list(report.frequencies.values()))
    answers = (test.logits - rule.exponent * np.log(frequencies)).argmax(axis=1)
    assert rule.test["balanced_accuracy"].value == pytest.approx(balanced_accuracy_score(test.labels, answers))
    assert rule.test["accuracy"].value == pytest.approx((answers == test.labels).mean())
    position = report.exponents.index(rule.exponent)
    curve = report.curve["test"]["balanced_accuracy"]
    assert curve[position] == pytest.approx(rule.test["balanced_accuracy"].value, abs=1e-4)


def test_the_report_is_json_a_table_and_a_picture(report: DecisionRulesReport, tmp_path: Path) -> None:
    section = json.loads(json.dumps(report.to_dict()))
    read = read_sections({"decision_rules": section})["decision_rules"]
    assert read.summary == report.summary
    assert [row[0] for row in read.tables[0].rows] == [AS_RELEASED, *RULES]
    with Image.open(plot_decision_rules(report, tmp_path / "rules.png")) as image:
        assert min(image.size) > 300


def test_a_diagnosis_that_training_never_saw_does_not_break_the_rule() -> None:
    predictions = draw_predictions(100)
    seen = predictions.labels[predictions.labels != 3]
    report = measure_decision_rules(predictions, predictions, seen)
    assert report.frequencies["df"] == pytest.approx(1 / len(seen))


def test_no_images_are_refused() -> None:
    some, none = draw_predictions(10), draw_predictions(0)
    for validation, test, training in ((none, some, some), (some, none, some), (some, some, none)):
        with pytest.raises(DataError, match="decision rules need training, validation and test images"):
            measure_decision_rules(validation, test, training.labels)


def test_a_metric_that_validation_does_not_define_is_none() -> None:
    predictions = draw_predictions(100)
    without = [n for n, label in enumerate(predictions.labels) if CODES[label] != "mel"]
    validation = Predictions(
        *(tuple(np.array(names)[without]) for names in (predictions.image_ids, predictions.lesion_ids)),
        predictions.labels[without],
        predictions.logits[without],
    )
    rules = measure_decision_rules(validation, predictions, predictions.labels).rules
    assert all(rule.validation["melanoma_sensitivity"] is None for rule in rules)
