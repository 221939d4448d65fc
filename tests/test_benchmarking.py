"""Benchmarks of inference and training, and what they are made of; that of the page is tested with the page."""

import json
from pathlib import Path

import pytest
from benchmarks import running_app
from calling import Captured, call

from skinvision_hf.errors import RunError

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "benchmark.py"


@pytest.mark.slow
def test_the_benchmark_of_training_prints_its_numbers_as_json(capsys: Captured) -> None:
    options = ["--architecture=test_efficientnet", "--init=random", "--image_size=32", "--steps=2"]
    assert call(SCRIPT, "training", "--data=synthetic[:210]", *options) == 0
    timing = json.loads(capsys.readouterr().out)
    assert timing["input_size"] == [3, 32, 32]
    assert min(timing[name] for name in ("bare_rate", "loop_rate", "head_rate", "share")) > 0
    assert timing["head_share_of_epoch"] == pytest.approx(timing["loop_rate"] / timing["head_rate"])
    assert 0.1 < timing["peak_memory_gb"] < 10


@pytest.mark.slow
def test_the_benchmark_of_inference_does_too_and_refuses_wrong_options(tiny_release: Path, capsys: Captured) -> None:
    options = ["--repeats", "3", "--width", "200", "--height", "150", "--files", "20"]
    assert call(SCRIPT, "inference", "--model", tiny_release, *options) == 0
    timing = json.loads(capsys.readouterr().out)
    assert timing["image_size"] == [200, 150] and timing["runtime"] == "TorchRuntime"
    assert min(timing[name] for name in ("ratio", "command_seconds", "share")) > 0
    assert call(SCRIPT, "inference", "--model", "/no/such/release") == 2
    assert capsys.readouterr().err.startswith("error: /no/such/release is neither")
    assert call(SCRIPT, "inference", "--repeats", "0") == 2


def test_a_page_that_does_not_start_is_an_error_with_its_last_words(tmp_path: Path) -> None:
    app = tmp_path / "app.py"
    app.write_text("import sys; print('loading'); sys.exit('error: there is no model')")
    with pytest.raises(RunError, match="the page did not start: there is no model"), running_app(app):
        raise AssertionError("the page must not start")
