"""Adapting a release to images of another source: halves, what is refitted, and the release that it writes."""

import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from calling import Captured, run
from complete_release import complete_release
from datasets import Dataset
from drawing import draw_lesion
from huggingface_hub import ModelCard
from PIL import Image
from random_predictions import draw_predictions
from safetensors.torch import load_file
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression

from skinvision_hf.card import ReleaseReport
from skinvision_hf.data import load_labelled
from skinvision_hf.data.synthetic import draw_image
from skinvision_hf.errors import DataError
from skinvision_hf.evaluation import predictions
from skinvision_hf.evaluation.adaptation import answer_statistics, halve
from skinvision_hf.evaluation.calibration import fit_priors
from skinvision_hf.evaluation.evaluate import predict_dataset
from skinvision_hf.evaluation.metrics import calibration_error, log_losses
from skinvision_hf.files import read_json, sha256
from skinvision_hf.hub.checks import check_release
from skinvision_hf.labels import CODES
from skinvision_hf.models.modeling import SkinVisionForImageClassification
from skinvision_hf.models.prediction import load_operating_point
from skinvision_hf.ood.features import pooled_features
from skinvision_hf.vision import SkinVision

# Of lesions in the clinic; the network is made with equally many.
CLINIC = {"mel": 50, "nv": 90, "bkl": 44, "bcc": 20, "akiec": 10, "vasc": 4, "df": 2}
EACH = 20
SURE = 4.0


def rows(lesions: int, *, patients: int = 0) -> Dataset:
    """Labels of lesions with one to three images, a third of them melanomas, some of patients with several lesions."""
    found = []
    for lesion in range(lesions):
        patient = f"P{lesion % patients}" if patients and lesion % 4 else "unknown"
        label = CODES.index(("mel", "nv", "nv", "nv", "bkl", "mel")[lesion * 7 % 6])
        found += [{"label": label, "lesion_id": f"L{lesion}", "patient_id": patient}] * (1 + lesion % 3)
    return Dataset.from_list(found)


def test_halves_share_no_lesion_and_no_patient_and_are_alike() -> None:
    data = rows(600, patients=300)
    halves = halve(data)
    assert list(halves) == ["validation", "test"] and sum(map(len, halves.values())) == len(data)
    for column in ("lesion_id", "patient_id"):
        first, second = (set(half[column]) - {"unknown"} for half in halves.values())
        assert first and second and not first & second
    first, second = (np.bincount(half["label"], minlength=7) for half in halves.values())
    assert np.abs(first - second).max() <= 3
    again = halve(data)
    assert all(again[name]["lesion_id"][:] == half["lesion_id"][:] for name, half in halves.items())


def test_too_few_images_and_lesions_of_two_patients_are_refused() -> None:
    counted = r"\(all lesions of a known patient count as one\); add images"
    with pytest.raises(DataError, match=rf"each half needs 96 lesions, not 9\d {counted}"):
        halve(rows(190))
    for few in (rows(1), rows(400, patients=50).filter(lambda row: row["patient_id"] != "unknown")):
        with pytest.raises(DataError, match=r"96 lesions, not (0|2\d) "):
            halve(few)
    for code, kind in (("nv", "melanomas"), ("mel", "benign lesions")):
        other = {"label": CODES.index(code)}
        alike = rows(400).map(lambda row, other=other: other if row["lesion_id"] > "L12" else row)
        with pytest.raises(DataError, match=f"10 {kind}, not [0-9] "):
            halve(alike)
    with pytest.raises(DataError, match="the lesion L1 has the patients P1 and P2; give each its own lesion_id"):
        halve(Dataset.from_dict({"label": [4, 4], "lesion_id": ["L1", "L1"], "patient_id": ["P1", "P2"]}))


def test_a_known_temperature_and_known_priors_are_found_and_rare_diagnoses_keep_theirs() -> None:
    data, shift = draw_predictions(20_000, seed=4), np.array([0.8, -0.5, 0, 0.3, 1.2, -1.0, -0.8])
    shifted = (data.logits - shift) * 1.7
    temperature, bias = fit_priors(shifted, data.labels)
    assert temperature == pytest.approx(1.7, rel=0.05)
    np.testing.assert_allclose(bias, shift, atol=0.15)
    found = softmax(shifted / temperature + bias, axis=1).mean(axis=0)
    np.testing.assert_allclose(found, np.bincount(data.labels) / 20_000, atol=2e-4)

    few = data.select(np.flatnonzero(data.labels != CODES.index("df"))[:150])
    _, bias = fit_priors(few.logits, few.labels)
    assert -2 < bias[CODES.index("df")] < -0.3, "less than before, but no image is not the proof that there is none"
    with pytest.raises(DataError, match="finite logits"):
        fit_priors(np.full((3, 7), np.nan), np.zeros(3, dtype=np.int64))


@pytest.fixture(scope="module")
def overconfident(ood_release: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete release that has learned drawn lesions, equally many of each diagnosis, and is very overconfident."""
    folder = Path(shutil.copytree(ood_release, tmp_path_factory.mktemp("overconfident") / "network"))
    model = SkinVisionForImageClassification.from_pretrained(folder)
    labels = np.arange(7 * EACH) % 7
    features, _ = pooled_features(model, (draw_image(CODES[k], n)[0] for n, k in enumerate(labels)))
    spread = features.std(axis=0) + 1e-3
    learned = LogisticRegression(C=0.1, max_iter=500).fit(features / spread, labels)
    classifier = model.timm_model.get_classifier()
    with torch.no_grad():
        classifier.weight.copy_(torch.from_numpy(SURE * learned.coef_ / spread))
        classifier.bias.copy_(torch.from_numpy(SURE * learned.intercept_))
    model.save_pretrained(folder)
    return complete_release(folder, folder.with_name("release"))


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of drawings in another light, with other frequencies of the diagnoses, and two images of some lesions."""
    folder = tmp_path_factory.mktemp("clinic")
    with (folder / "mine.csv").open("w", encoding="utf-8") as file:
        print("image,label,lesion_id,patient_id", file=file)
        for code, count in CLINIC.items():
            for lesion in range(1000, 1000 + count):
                for view in range(1 + lesion % 2):
                    name = f"{code}-{lesion}-{view}.png"
                    image = draw_image(code, lesion, view=view)[0]
                    Image.blend(image, Image.new("RGB", image.size, (150, 90, 90)), 0.1).save(folder / name)
                    print(f"{name},{code},{code}-{lesion},{'' if lesion % 3 else f'P{lesion % 60}-{code}'}", file=file)
    return folder / "mine.csv"


@pytest.fixture(scope="module")
def adapted(overconfident: Path, clinic: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the command writes."""
    folder = tmp_path_factory.mktemp("adapted")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(predictions, "lesion_counts", partial(predictions.lesion_counts, resamples=50))
        assert run("adapt", "--model", overconfident, "--data", clinic, "--output_dir", folder) == 0
    return folder


def errors(answers: predictions.Predictions) -> tuple[float, float, float]:
    """Calibration error, overconfidence and log loss."""
    confidence, right = answers.probabilities.max(axis=1), answers.probabilities.argmax(axis=1) == answers.labels
    error = calibration_error(confidence, right)(np.ones((1, len(right))))[0]
    return float(error), (confidence - right).mean(), log_losses(answers.labels, answers.probabilities).mean()


@pytest.mark.slow
def test_probabilities_are_better_on_the_half_that_was_not_seen(
    overconfident: Path, adapted: Path, clinic: Path
) -> None:
    """By the networks as they are on disk, without what the command measured."""
    unseen = halve(load_labelled(clinic))["test"]
    before, after = (
        predict_dataset(SkinVisionForImageClassification.from_pretrained(folder), unseen)
        for folder in (overconfident, adapted)
    )
    (ece, overconfidence, loss), (ece_after, overconfidence_after, loss_after) = map(errors, (before, after))
    assert ece > 0.2 and overconfidence > 0.2, "the release is to be overconfident on these images"
    assert ece_after < 0.6 * ece and abs(overconfidence_after) < 0.3 * overconfidence and loss_after < 0.5 * loss
    changes = read_json(adapted / "metrics.json")["adaptation"]["changes"]
    assert changes["log_loss"]["before"]["value"] == pytest.approx(loss, rel=1e-3)
    assert changes["log_loss"]["after"]["value"] == pytest.approx(loss_after, rel=1e-3)
    assert changes["log_loss"]["difference"]["high"] < 0 and "difference" not in changes["ece"]
    assert changes["ece"]["after"]["value"] == pytest.approx(ece_after, abs=1e-3)


@pytest.mark.slow
def test_every_library_gives_the_adapted_answers(overconfident: Path, adapted: Path) -> None:
    check_release(adapted)
    old, new = (SkinVision.from_pretrained(folder, device="cpu") for folder in (overconfident, adapted))
    images = [draw_lesion(seed) for seed in range(8)]
    before, after = (np.array([list(p.probabilities.values()) for p in v.predict(images)]) for v in (old, new))
    assert np.median(np.abs(after - before).max(axis=1)) > 0.05
    prediction = new.predict(images[0])
    assert prediction.prediction_set and prediction.operating_point == load_operating_point(adapted)


@pytest.mark.slow
def test_the_new_release_says_what_it_is_and_keeps_what_was_not_adapted(
    overconfident: Path, adapted: Path, clinic: Path
) -> None:
    metrics = read_json(adapted / "metrics.json")
    record, digest = metrics["adaptation"], sha256(overconfident / "model.safetensors")
    assert (record["release"], record["weights_sha256"]) == ("release", digest)
    assert metrics["model"]["weights_sha256"] == sha256(adapted / "model.safetensors") != digest
    assert metrics["split"]["scheme"] == "mine" and "robustness" not in metrics
    images = metrics["split"]["images"] + sum(record["images"].values())
    assert images == len(clinic.read_text().splitlines()) - 1
    report = ReleaseReport.read(adapted)
    for page in ("README.md", "EVALUATION.md"):
        assert str(report.adaptation) in (adapted / page).read_text(encoding="utf-8")
    assert f"Few images, so the class prior stays near the original one: akiec ({record['images']['akiec']}), " in str(
        report.adaptation
    )
    card = ModelCard.load(adapted / "README.md")
    assert {(r.dataset_name, r.dataset_type) for r in card.data.eval_results} == {("mine", "mine")}
    assert not (adapted / "predictions.csv").exists(), "it would name the clinic's images"
    assert (adapted / "training.json").read_bytes() == (overconfident / "training.json").read_bytes()
    kept, given = (load_file(folder / "ood.safetensors") for folder in (adapted, overconfident))
    assert all(torch.equal(kept[name], given[name]) for name in given)


@pytest.mark.slow
def test_prediction_sets_and_thresholds_are_measured_as_in_the_report(adapted: Path, clinic: Path) -> None:
    network = SkinVisionForImageClassification.from_pretrained(adapted)
    answers = predict_dataset(network, halve(load_labelled(clinic))["test"])
    everyone, metrics = np.ones((1, len(answers.labels))), read_json(adapted / "metrics.json")
    found = {name: float(value(everyone)[0]) for name, value in answer_statistics(answers, adapted).items()}
    sets = next(entry for entry in metrics["conformal"]["sets"] if entry["target"] == 0.9)
    assert found["prediction_set_coverage"] == pytest.approx(sets["coverage"]["value"])
    assert found["prediction_set_size"] == pytest.approx(sets["mean_size"]["value"])
    for task in ("malignant", "melanoma"):
        points = metrics["operating_points"][task]["points"]
        point = next(p for p in points if (p["fixed"], p["level"]) == ("sensitivity", 0.95))
        for rate in ("sensitivity", "specificity"):
            assert found[f"{task}_threshold_{rate}"] == pytest.approx(point[rate]["value"]), (task, rate)


@pytest.mark.slow
def test_a_run_that_is_stopped_leaves_nothing_and_a_release_is_not_overwritten(
    overconfident: Path, clinic: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    def stop(folder: Path, *_: object, **__: object) -> None:
        assert (folder / "model.safetensors").is_file()
        raise KeyboardInterrupt

    monkeypatch.setattr("skinvision_hf.workflows.adapting.write_metrics", stop)
    assert run("adapt", "--model", overconfident, "--data", clinic, "--output_dir", tmp_path) == 130
    assert not list(tmp_path.iterdir())
    assert run("adapt", "--model", overconfident, "--data", clinic, "--output_dir", overconfident) == 2
    assert capsys.readouterr().err.endswith("has files of a release; choose another --output_dir\n")
