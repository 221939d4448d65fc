"""The release that ships with the package: complete, small, without pictures of patients, and what it says it is."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from drawing import draw_lesion
from onnxruntime import InferenceSession
from safetensors.torch import load_file

from skinvision_hf.card import CAPTIONS, ReleaseReport, render_card, render_page
from skinvision_hf.data import load_ham10000
from skinvision_hf.data.split_schemes import load_manifest
from skinvision_hf.hub.checks import check_release
from skinvision_hf.labels import CODES, DISCLAIMER
from skinvision_hf.models.outputs import softmax
from skinvision_hf.models.prediction import COVERAGE
from skinvision_hf.models.release import RELEASE_FILES, bundled_release
from skinvision_hf.models.selftest import write_selftest
from skinvision_hf.models.torch_runtime import TorchRuntime
from skinvision_hf.vision import SkinVision

RELEASE = bundled_release()
METRICS = json.loads((RELEASE / "metrics.json").read_text())
ROWS = list(csv.DictReader((RELEASE / "predictions.csv").read_text().splitlines()))


def test_it_is_fit_to_be_published() -> None:
    check_release(RELEASE)


def test_it_is_sure_of_no_image_of_its_selftest(tmp_path: Path) -> None:
    """Where a probability is 1, a loader that prepares images otherwise would give it, too."""
    cases = json.loads(write_selftest(TorchRuntime.load(RELEASE, "cpu"), tmp_path).read_text())["images"]
    assert softmax(np.array([case["logits"] for case in cases])).max() < 0.95


def test_its_pages_are_what_its_files_and_the_templates_make() -> None:
    report = ReleaseReport.read(RELEASE)
    assert (RELEASE / "README.md").read_text(encoding="utf-8") == render_card(report).content
    assert (RELEASE / "EVALUATION.md").read_text(encoding="utf-8") == render_page("evaluation.md", report)
    assert (RELEASE / "notebook.ipynb").read_text(encoding="utf-8") == render_page("notebook.ipynb", report)


def test_it_is_small_and_holds_what_is_known_by_name_and_no_picture_of_a_lesion() -> None:
    names = {str(path.relative_to(RELEASE)) for path in RELEASE.rglob("*") if path.is_file()}
    files = {name for name in RELEASE_FILES if "*" not in name}
    assert files <= names <= {*files, *(f"figures/{name}.png" for name in CAPTIONS)}
    page = (RELEASE / "EVALUATION.md").read_text()
    assert all(f"| `{name}` | " in page for name in files if not name.endswith(".md"))
    assert sum((RELEASE / name).stat().st_size for name in names) < 20_000_000
    assert (RELEASE / "ood.safetensors").stat().st_size < 1_000_000
    weights = load_file(RELEASE / "model.safetensors")
    assert {w.dtype for w in weights.values() if w.ndim > 1} == {torch.float16}


def test_it_answers_without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("no network, please"))
    assert SkinVision.from_pretrained(device="cpu").predict(draw_lesion()).label in CODES


def test_its_report_is_complete() -> None:
    assert METRICS["split"] == {"scheme": "ham10000-v1", "name": "test", "images": 1501, "lesions": 1121}
    sections = {"validation", "calibration", "conformal", "operating_points", "subgroups", "ood", "explanations"}
    assert sections <= METRICS.keys()
    for name, estimate in METRICS["overall"].items():
        assert 0 <= estimate["low"] <= estimate["value"] <= estimate["high"], name
    assert " ".join(DISCLAIMER.split()[:6]) in (RELEASE / "README.md").read_text()


def test_its_predictions_are_of_the_test_split_and_give_its_accuracy() -> None:
    test = {image for image, split in load_manifest().items() if split == "test"}
    assert {row["image_id"] for row in ROWS} == test
    probabilities = np.array([[float(row[code]) for code in CODES] for row in ROWS])
    assert probabilities.sum(axis=1) == pytest.approx(1, abs=1e-4)
    right = np.array([CODES[k] for k in probabilities.argmax(axis=1)]) == np.array([row["label"] for row in ROWS])
    assert right.mean() == pytest.approx(METRICS["overall"]["accuracy"]["value"], abs=1e-6)


@pytest.mark.real_data
def test_its_weights_make_its_predictions(ham10000_dir: Path) -> None:
    split = load_ham10000(ham10000_dir)["test"].select(range(0, 1501, 15))
    if sorted(split[0]["image"].size) != sorted(METRICS["images"]["median_size"]):
        pytest.skip("the release was measured on images of another size")
    stated = {row["image_id"]: [float(row[code]) for code in CODES] for row in ROWS}
    expected = np.array([stated[name] for name in split["image_id"]])
    for runtime in ("onnx", "torch"):
        vision = SkinVision.from_pretrained(runtime=runtime, device="cpu")
        answers = vision.predict(list(split["image"]))
        found = [list(prediction.probabilities.values()) for prediction in answers]
        assert np.abs(np.array(found) - expected).max() < 2e-3
    # The graph resizes images by itself.
    session = InferenceSession(RELEASE / "onnx" / "model.onnx")
    outputs = [session.run(["logits", "features"], {"image": np.asarray(image)}) for image in split["image"]]
    logits, features = map(np.concatenate, zip(*outputs, strict=True))
    probabilities = softmax(logits.astype(np.float64))
    np.testing.assert_allclose(probabilities, found, atol=1e-5)
    inside = vision.detector.score(features) >= vision.detector.refused
    assert inside.tolist() == [prediction.in_distribution for prediction in answers]
    members = vision.conformal.prediction_sets(probabilities, COVERAGE)
    sets = [{CODES[k] for k in np.flatnonzero(row)} for row in members]
    assert sets == [set(prediction.prediction_set or ()) for prediction in answers]
