"""The metrics as modules of the evaluate library."""

import evaluate
import pytest
from random_predictions import draw_predictions

from skinvision_hf.errors import DataError
from skinvision_hf.evaluation.evaluate_metrics import SkinLesionMetrics
from skinvision_hf.evaluation.metrics import CLASS_METRICS, compute
from skinvision_hf.labels import CODES


def inputs() -> dict[str, list[object]]:
    predictions = draw_predictions(200)
    return {"predictions": predictions.probabilities.tolist(), "references": predictions.labels.tolist()}


def test_evaluate_modules_give_the_same_numbers_offline() -> None:
    predictions = draw_predictions(200)
    expected = compute(predictions.probabilities, predictions.labels)
    everything = SkinLesionMetrics().compute(**inputs())
    for name, value in expected.items():
        assert everything[name] == pytest.approx(value, abs=1e-5)
    assert {f"{code}_{name}" for code in CODES for name in CLASS_METRICS} <= everything.keys()
    combined = evaluate.combine([SkinLesionMetrics("accuracy"), SkinLesionMetrics("macro_f1")]).compute(**inputs())
    assert combined == {name: everything[name] for name in ("accuracy", "macro_f1")}
    assert set(SkinLesionMetrics("per_class").compute(**inputs())) == everything.keys() - expected.keys()


def test_evaluate_modules_refuse_wrong_names_and_shapes() -> None:
    with pytest.raises(DataError, match="there is no metric 'acuracy'"):
        SkinLesionMetrics("acuracy")
    with pytest.raises(DataError, match="predictions must be 7 probabilities"):
        SkinLesionMetrics().compute(predictions=[[0.5, 0.5]], references=[0])
