"""The mean answer of several models, and of several views."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from calling import call

from skinvision_hf.config import VIEWS
from skinvision_hf.data import load_ham10000
from skinvision_hf.errors import DataError, ModelError
from skinvision_hf.evaluation.evaluate import evaluate_ensemble, evaluate_model
from skinvision_hf.evaluation.logits import predict_dataset
from skinvision_hf.evaluation.predictions import Predictions
from skinvision_hf.files import sha256
from skinvision_hf.models.ensembles import SYMMETRIES, Ensemble
from skinvision_hf.models.modeling import SkinVisionForImageClassification

EVALUATE = Path(__file__).resolve().parents[1] / "scripts" / "evaluate_model.py"
SOURCE = "synthetic[:210]"
PIXELS = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def probabilities(ref: str, pixels: torch.Tensor = PIXELS) -> torch.Tensor:
    return SkinVisionForImageClassification.from_pretrained(ref)(pixels).logits.softmax(1)


@torch.no_grad()
def test_an_ensemble_answers_with_the_mean_probability(two_releases: list[str]) -> None:
    first, second = map(probabilities, two_releases)
    assert (first - second).abs().max() > 0.01
    torch.testing.assert_close(Ensemble(two_releases)(PIXELS).logits.exp(), (first + second) / 2)


@torch.no_grad()
def test_views_are_all_right_angle_symmetries(two_releases: list[str]) -> None:
    corner = torch.arange(4.0).view(1, 1, 2, 2)
    seen = {
        tuple((corner.flip(-1) if mirrored else corner).rot90(turns, (-2, -1)).flatten().tolist())
        for turns, mirrored in SYMMETRIES
    }
    assert len(seen) == VIEWS[-1] == 8
    views = [PIXELS, PIXELS.flip(-1), PIXELS.rot90(2, (-2, -1)), PIXELS.flip(-1).rot90(2, (-2, -1))]
    expected = torch.stack([probabilities(two_releases[0], view) for view in views]).mean(0)
    torch.testing.assert_close(Ensemble(two_releases[:1], views=4)(PIXELS).logits.exp(), expected)
    turned = Ensemble(two_releases[:1], views=8)(PIXELS.rot90(1, (-2, -1))).logits
    torch.testing.assert_close(turned, Ensemble(two_releases[:1], views=8)(PIXELS).logits, rtol=1e-4, atol=1e-5)


def test_members_that_take_other_pixels_are_refused(two_releases: list[str], tmp_path: Path) -> None:
    other = SkinVisionForImageClassification.from_pretrained(two_releases[1])
    other.config.pretrained_cfg["input_size"] = [3, 32, 32]
    other.save_pretrained(tmp_path / "small")
    with pytest.raises(ModelError, match="small takes other pixels than a; choose releases of one input size"):
        Ensemble([two_releases[0], str(tmp_path / "small")])


def test_an_ensemble_without_members_or_with_some_other_number_of_views_is_refused(two_releases: list[str]) -> None:
    for refs, views in (([], 1), (two_releases, 3), (two_releases, 0)):
        with pytest.raises(DataError, match="give one or more, and one of 1, 2, 4, 8"):
            Ensemble(refs, views=views)


def test_predicting_leaves_an_ensemble_as_it_was(two_releases: list[str]) -> None:
    ensemble = Ensemble(two_releases)
    with torch.no_grad():
        expected = ensemble(PIXELS).logits
        predict_dataset(ensemble, load_ham10000(SOURCE)["test"].select(range(8)), progress=False)
        assert torch.equal(ensemble(PIXELS).logits, expected)


def test_reports_on_a_model_and_on_an_ensemble_do_not_mix(two_releases: list[str], tmp_path: Path) -> None:
    options = {"part": "test", "split": None}
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "metrics.json").write_text('{"model": {}}')
    with pytest.raises(DataError, match="model holds a report on another model; choose another --output_dir"):
        evaluate_ensemble(two_releases, "/nowhere", tmp_path / "model", **options)
    (tmp_path / "model" / "metrics.json").write_text('{"ensemble": {}}')
    with pytest.raises(DataError, match="model holds a report on another model; choose another --output_dir"):
        evaluate_model(two_releases[0], "/nowhere", tmp_path / "model", **options)


def test_the_command_measures_an_ensemble(
    two_releases: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ["--ensemble", *two_releases, "--views=2", f"--data={SOURCE}", f"--output_dir={tmp_path}"]
    assert call(EVALUATE, *arguments) == 0
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert f"| balanced accuracy | {metrics['overall']['balanced_accuracy']['value']:.3f} (" in capsys.readouterr().out
    weights = [{"weights_sha256": sha256(Path(ref) / "model.safetensors")} for ref in two_releases]
    assert metrics["ensemble"] == {"members": weights, "views": 2}
    expected = predict_dataset(Ensemble(two_releases, views=2), load_ham10000(SOURCE)["test"], progress=False)
    written = Predictions.from_csv(tmp_path / "predictions.csv")
    np.testing.assert_allclose(written.probabilities, expected.probabilities, atol=1e-6)
    assert (tmp_path / "figures" / "confusion_matrix.png").is_file()
