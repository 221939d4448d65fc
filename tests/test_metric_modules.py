"""The metrics as modules of the evaluate library."""

import evaluate
import pytest
from random_predictions import draw_predictions

from skinvision_hf.errors import DataError
from skinvision_hf.evaluation.evaluate_metrics import SkinLesionMetrics, compute
from skinvision_hf.evaluation.report import evaluate_predictions


def inputs() -> dict[str, list[object]]:
    predictions = draw_predictions(200)
    return {"predictions": predictions.probabilities.tolist(), "references": predictions.labels.tolist()}


def test_modules_give_the_numbers_of_the_report_and_combine() -> None:
    everything = SkinLesionMetrics().compute(**inputs())
    report = evaluate_predictions(draw_predictions(200), split_scheme="ham10000-v1", split="test")
    by_class = {f"{code}_{name}": e for code, m in report.per_class.items() for name, e in m.items()}
    assert everything == {name: e.value for name, e in {**report.overall, **by_class}.items()}
    some = ("accuracy", "macro_f1", "mel_sensitivity")
    combined = evaluate.combine([SkinLesionMetrics(name) for name in some]).compute(**inputs())
    assert combined == {name: everything[name] for name in some}


def test_validation_computes_through_them_without_a_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate.config, "HF_METRICS_CACHE", "/dev/null/metrics")
    predictions = draw_predictions(200)
    expected = evaluate_predictions(predictions, split_scheme="ham10000-v1", split="validation").overall
    found = compute(predictions.probabilities, predictions.labels)
    assert found == {name: estimate.value for name, estimate in expected.items()}
    assert compute(predictions.probabilities[:1], predictions.labels[:1])["mean_auc"] is None


def test_evaluate_modules_refuse_wrong_names_and_shapes() -> None:
    with pytest.raises(DataError, match="there is no metric 'acuracy'"):
        SkinLesionMetrics("acuracy")
    with pytest.raises(DataError, match="predictions must be 7 probabilities"):
        SkinLesionMetrics().compute(predictions=[[0.5, 0.5]], references=[0])
