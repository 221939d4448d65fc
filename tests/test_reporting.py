"""From trained weights to a release, and from a release to numbers: what is written is what was measured."""

import re
import shutil
from pathlib import Path

import pytest
import torch
from calling import ROOT, Captured, python, run
from datasets import DatasetDict
from drawing import assert_not_blank
from safetensors.torch import load_file
from tiny_training import TORCHRUN, run_training, tiny_config

from skinvision_hf.card import CAPTIONS
from skinvision_hf.config import PhaseConfig
from skinvision_hf.data import load_ham10000
from skinvision_hf.errors import DataError, ModelError
from skinvision_hf.evaluation.evaluate import compare_models
from skinvision_hf.evaluation.predictions import Predictions
from skinvision_hf.evaluation.report import evaluate_predictions
from skinvision_hf.files import read_json
from skinvision_hf.labels import CODES
from skinvision_hf.models.modeling import SkinVisionForImageClassification
from skinvision_hf.workflows.evaluating import evaluate_model
from skinvision_hf.workflows.finishing import finish_release

pytestmark = pytest.mark.slow

SOURCE = "synthetic[:420]"
SCHEME = "ham10000-v1"


@pytest.fixture(scope="module")
def data() -> DatasetDict:
    return load_ham10000(SOURCE, dx_type=True)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What training alone leaves."""
    phase = PhaseConfig(epochs=6, learning_rate=3e-3)
    return run_training(tiny_config(tmp_path_factory.mktemp("trained") / "run", data=SOURCE, limit=0, finetune=phase))


@pytest.fixture(scope="module")
def release(trained: Path, data: DatasetDict, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finish(trained, data, tmp_path_factory.mktemp("finished") / "release")


def finish(trained: Path, data: DatasetDict, folder: Path) -> Path:
    """Finish a copy of a trained network."""
    shutil.copytree(trained, folder)
    network = SkinVisionForImageClassification.from_pretrained(folder)
    finish_release(folder, data, network, split_scheme=SCHEME)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_a_finished_release_holds_everything_that_is_said_of_it(release: Path) -> None:
    metrics = read_json(release / "metrics.json")
    assert {"overall", "per_class", "calibration", "conformal", "operating_points", "subgroups", "ood"} <= set(metrics)
    for name in ("README.md", "EVALUATION.md", "notebook.ipynb", "conformal.json", "ood.safetensors"):
        assert (release / name).stat().st_size > 0
    figures = sorted((release / "figures").iterdir())
    # Heat maps and images of other things are measured by commands of their own.
    assert {figure.stem for figure in figures} == {n for n in CAPTIONS if not n.startswith(("explanation_", "ood_far"))}
    assert_not_blank(figures)
    for name, content in contents(release).items():
        assert str(release.parent).encode() not in content and str(ROOT).encode() not in content, name


def test_the_numbers_of_a_release_follow_from_its_predictions(release: Path, data: DatasetDict) -> None:
    predictions = Predictions.from_csv(release / "predictions.csv")
    assert predictions.image_ids == tuple(data["test"]["image_id"])
    metrics = read_json(release / "metrics.json")
    images = len(data["test"])
    assert metrics["split"] == {"scheme": f"synthetic, {SCHEME}", "name": "test", "images": images, "lesions": 48}
    again = evaluate_predictions(predictions, split_scheme=SCHEME, split="test").to_dict()
    for name, estimate in metrics["overall"].items():
        assert again["overall"][name] == pytest.approx(estimate, abs=1e-4), name


def test_nothing_is_chosen_on_the_test_split(trained: Path, release: Path, data: DatasetDict, tmp_path: Path) -> None:
    """With other test labels, the numbers change, and nothing that the model does; done again, all is the same."""
    again = finish(trained, data, tmp_path / "again")
    assert read_json(again / "metrics.json")["overall"] == read_json(release / "metrics.json")["overall"]
    wrong = data["test"].map(lambda row: {"label": (row["label"] + 1) % 7}, load_from_cache_file=False)
    folder = finish(trained, DatasetDict({**data, "test": wrong}), tmp_path / "release")
    for name in ("config.json", "model.safetensors", "conformal.json"):
        assert (folder / name).read_bytes() == (release / name).read_bytes(), name
    # Texts in the file are in no fixed order.
    detector, same = (load_file(side / "ood.safetensors") for side in (folder, release))
    assert all(torch.equal(detector[key], same[key]) for key in {*detector, *same})
    changed, metrics = read_json(folder / "metrics.json"), read_json(release / "metrics.json")
    assert changed["validation"] == metrics["validation"]
    assert changed["overall"]["accuracy"]["value"] != metrics["overall"]["accuracy"]["value"]


def test_evaluating_a_release_repeats_the_numbers_in_it(
    release: Path, tiny_release: Path, tmp_path: Path, capsys: Captured
) -> None:
    assert run("evaluate", "--model", release, "--data", SOURCE, "--output_dir", tmp_path) == 0
    ours, theirs = read_json(tmp_path / "metrics.json"), read_json(release / "metrics.json")
    output = capsys.readouterr().out
    assert f"| balanced accuracy | {ours['overall']['balanced_accuracy']['value']:.3f} (" in output
    assert output.endswith(f"Written to {tmp_path}: metrics.json, predictions.csv and figures\n")
    for section in ("model", "split", "overall", "per_class", "confusion_matrix", "subgroups", "conformal", "ood"):
        assert ours[section] == theirs[section], section
    for task in ("malignant", "melanoma"):
        assert ours["stored_thresholds"][task] == theirs["operating_points"][task]["points"], task
    assert (tmp_path / "predictions.csv").read_bytes() == (release / "predictions.csv").read_bytes()
    assert (tmp_path / "data_set_images_misclassified.png").is_file()
    before = contents(tmp_path)
    for ref, views in ((tiny_release, 1), (release, 2)):
        with pytest.raises(DataError, match="has the report of another model; choose another --output_dir"):
            evaluate_model(ref, SOURCE, tmp_path, views=views)
    assert contents(tmp_path) == before


def test_a_folder_of_images_by_class_evaluates_too(
    release: Path, data: DatasetDict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for drawing in ("draw_release", "plot_answers"):
        monkeypatch.setattr(f"skinvision_hf.workflows.evaluating.{drawing}", lambda *_, **__: None)
    few = data["test"].select(range(21))
    for row in few:
        folder = tmp_path / "by_class" / CODES[row["label"]]
        folder.mkdir(parents=True, exist_ok=True)
        row["image"].save(folder / f"{row['image_id']}.png")
    report = evaluate_model(release, tmp_path / "by_class", tmp_path / "out")
    assert report.split.images == 21
    assert [sum(row) for row in report.confusion_matrix] == [few["label"][:].count(k) for k in range(7)]


def test_a_model_compared_with_itself_shows_no_difference(release: Path, tmp_path: Path, capsys: Captured) -> None:
    table = str(release / "predictions.csv")
    same = compare_models(str(release), table, SOURCE, tmp_path)
    assert same.mcnemar_p == 1.0
    assert abs(same.differences["balanced_accuracy"].value or 0.0) < 1e-9
    written = read_json(tmp_path / "comparison.json")
    assert (written["first"], written["second"]) == (release.name, "predictions.csv")
    assert (written["scheme"], written["split"], written["lesion_p"]) == (f"synthetic, {SCHEME}", "test", 1.0)
    assert run("compare", table, table, "--output_dir", tmp_path) == 0
    assert capsys.readouterr().out.endswith(f"Written to {tmp_path / 'comparison.json'}\n")
    assert not {"scheme", "split"} & read_json(tmp_path / "comparison.json").keys(), "tables do not tell"


def test_what_cannot_be_used_is_named_before_the_work(
    release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("skinvision_hf.workflows.evaluating.evaluate_release", lambda *_, **__: pytest.fail("in vain"))
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"cannot write .*file/out.*Not a directory.*; choose another --output_dir"):
        evaluate_model(release, "synthetic[:210]", tmp_path / "file" / "out")
    with pytest.raises(ModelError, match="nowhere"):
        evaluate_model("./nowhere", SOURCE, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_two_processes_write_the_metrics_of_one(release: Path, tmp_path: Path) -> None:
    """61 images over two processes: neither a multiple of the processes nor of the batches."""
    options = ("--model", str(release), "--data", "synthetic[:427]", "--batch_size", "8")
    assert run("evaluate", *options, "--output_dir", tmp_path / "1") == 0
    done = python(*TORCHRUN, ROOT / "scripts" / "evaluate_model.py", *options, "--output_dir", tmp_path / "2")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("| balanced accuracy |") == 1
    first, second = (read_json(tmp_path / name / "metrics.json") for name in ("1", "2"))
    assert first["confusion_matrix"] == second["confusion_matrix"]
    assert first["overall"]["mean_auc"] == pytest.approx(second["overall"]["mean_auc"])


def test_every_key_of_the_metrics_is_documented(release: Path, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    compare_models(*[str(release / "predictions.csv")] * 2, None, tmp_path)
    bundled = ROOT / "skinvision_hf" / "pretrained" / "metrics.json"
    for path in (release / "metrics.json", bundled, tmp_path / "comparison.json"):
        keys = set(re.findall(r'"(\w+)":', path.read_text(encoding="utf-8")))
        assert not {key for key in keys if f"`{key}`" not in page and f"\n## {key}\n" not in page}
