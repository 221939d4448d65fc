"""The metrics as modules of the evaluate library, and the Space of the metric."""

import json
import os
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import evaluate
import pytest
import yaml
from random_predictions import draw_predictions

from skinvision_hf import __version__
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


def test_the_metric_space_loads_by_its_path_and_serves_the_same_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evaluate.config.HF_MODULES_CACHE", str(tmp_path))
    folder = files("skinvision_hf") / "metrics" / "skin_lesion_metrics"
    loaded = evaluate.load(str(folder), "balanced_accuracy")
    assert loaded.compute(**inputs()) == SkinLesionMetrics("balanced_accuracy").compute(**inputs())


def test_the_page_of_the_metric_space_computes_from_a_copy_under_any_name(tmp_path: Path) -> None:
    folder = shutil.copytree(str(files("skinvision_hf") / "metrics" / "skin_lesion_metrics"), tmp_path / "app")
    code = (
        "import json, app, gradio\n"
        "from skinvision_hf.labels import DISCLAIMER\n"
        "assert DISCLAIMER in app.demo.description and isinstance(app.demo, gradio.Interface)\n"
        "for rows, labels in [('x', '[5]'), ('[[1]]', '[5]'), (app.EXAMPLE, '[5]'), (app.EXAMPLE, '[5, 4, 7]')]:\n"
        "    try: app.compute(rows, labels)\n"
        "    except gradio.Error as error: assert '\\n' not in str(error)\n"
        "    else: raise AssertionError(rows)\n"
        "print(json.dumps(app.compute(app.EXAMPLE, '[5, 4, 4]')))\n"
    )
    home = os.environ | {"HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1"}
    ended = subprocess.run([sys.executable, "-c", code], cwd=folder, env=home, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    assert (found["accuracy"], found["melanoma_sensitivity"]) == (pytest.approx(2 / 3), 0.5)


def test_the_metric_space_pins_what_it_runs_on() -> None:
    folder = files("skinvision_hf") / "metrics" / "skin_lesion_metrics"
    assert (folder / "requirements.txt").read_text().strip() == f"skinvision-hf[space]=={__version__}"
    front = yaml.safe_load((folder / "README.md").read_text().split("---")[1])
    assert front["sdk"] == "gradio" and "metric" in front["tags"]
    space = yaml.safe_load((Path(__file__).parents[1] / "space" / "README.md").read_text().split("---")[1])
    assert [front[key] for key in ("sdk_version", "python_version")] == [
        space[key] for key in ("sdk_version", "python_version")
    ]
