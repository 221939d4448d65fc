"""From trained weights to a release, and from a release to numbers: what is written is what was measured."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from calling import call
from datasets import DatasetDict
from PIL import Image
from safetensors.torch import load_file
from tiny_training import TORCHRUN, environment, tiny_config

from skinvision_hf.card.finishing import finish_release
from skinvision_hf.card.wording import FIGURES
from skinvision_hf.config import PhaseConfig
from skinvision_hf.data import load_ham10000
from skinvision_hf.errors import DataError, ModelError
from skinvision_hf.evaluation.evaluate import compare_models, evaluate_ensemble, evaluate_model
from skinvision_hf.evaluation.predictions import Predictions
from skinvision_hf.evaluation.report import evaluate_predictions
from skinvision_hf.labels import CODES
from skinvision_hf.ood.detectors import DETECTORS
from skinvision_hf.ood.inputs import AMBIGUOUS, FAR
from skinvision_hf.training.trainer import run_training

ROOT = Path(__file__).resolve().parents[1]
EVALUATE = ROOT / "scripts" / "evaluate_model.py"
SOURCE = "synthetic[:420]"


@pytest.fixture(scope="module")
def data() -> DatasetDict:
    return load_ham10000(SOURCE, dx_type=True)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What training alone leaves."""
    phase = PhaseConfig(epochs=6, learning_rate=3e-3)
    return run_training(tiny_config(tmp_path_factory.mktemp("trained") / "run", data=SOURCE, finetune=phase))


@pytest.fixture(scope="module")
def release(trained: Path, data: DatasetDict, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = shutil.copytree(trained, tmp_path_factory.mktemp("finished") / "release")
    finish_release(folder, data, split_scheme="ham10000-v1")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    files: Iterator[Path] = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def read_json(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def evaluate(*arguments: str, launcher: tuple[str, ...] = (sys.executable,)) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*launcher, str(EVALUATE), *arguments], env=environment(), capture_output=True, text=True, timeout=280
    )


def test_reports_on_two_models_never_stand_in_one_file(release: Path, two_releases: list[str], tmp_path: Path) -> None:
    evaluate_model(release, SOURCE, tmp_path, split="test", split_scheme="ham10000-v1")
    before = contents(tmp_path)
    for evaluate_other in (
        lambda: evaluate_model(two_releases[0], SOURCE, tmp_path, split="test", split_scheme="ham10000-v1"),
        lambda: evaluate_ensemble(two_releases, SOURCE, tmp_path, split="test", split_scheme="ham10000-v1"),
    ):
        with pytest.raises(DataError, match="holds a report on another model; choose another --output_dir"):
            evaluate_other()
    assert contents(tmp_path) == before
    evaluate_model(release, SOURCE, tmp_path, split="test", split_scheme="ham10000-v1")


def test_a_folder_that_cannot_be_written_is_named_before_the_work(
    release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(
        "skinvision_hf.evaluation.evaluate.predict_dataset", lambda *_, **__: pytest.fail("worked in vain")
    )
    with pytest.raises(DataError, match=r"cannot write to .*file/out .Not a directory.; choose another --output_dir"):
        evaluate_model(release, SOURCE, tmp_path / "file" / "out", split="test", split_scheme="ham10000-v1")


def test_a_finished_release_holds_everything_that_is_said_of_it(release: Path) -> None:
    metrics = read_json(release / "metrics.json")
    assert {"overall", "per_class", "calibration", "conformal"} <= set(metrics)
    assert {"operating_points", "decision_rules", "subgroups", "guard"} <= set(metrics)
    for name in ("README.md", "conformal.json", "guard.safetensors", "predictions.csv"):
        assert (release / name).stat().st_size > 0
    figures = sorted((release / "figures").iterdir())
    assert {figure.stem for figure in figures} == {name for name in FIGURES if not name.startswith("explanation_")}
    for figure in figures:
        with Image.open(figure) as image:
            assert min(image.size) > 300
            assert image.convert("L").getextrema()[0] < 128, f"{figure.name} is blank"


def test_the_numbers_of_a_release_follow_from_its_predictions(release: Path, data: DatasetDict) -> None:
    predictions = Predictions.from_csv(release / "predictions.csv")
    assert predictions.image_ids == tuple(data["test"]["image_id"])
    metrics = read_json(release / "metrics.json")
    assert metrics["split"] == {
        "name": "synthetic, ham10000-v1",
        "part": "test",
        "images": len(data["test"]),
        "lesions": 48,
    }
    again = evaluate_predictions(predictions, split_scheme="ham10000-v1", split="test").to_dict()
    for name, estimate in metrics["overall"].items():
        assert again["overall"][name] == pytest.approx(estimate, abs=1e-4), name


def test_no_place_on_this_machine_is_named_in_a_release(release: Path) -> None:
    for name, content in contents(release).items():
        assert str(release.parent).encode() not in content, name
        assert str(ROOT).encode() not in content, name


@pytest.mark.slow
def test_finishing_again_gives_the_same_release(release: Path, data: DatasetDict, tmp_path: Path) -> None:
    copy = shutil.copytree(release, tmp_path / "again")
    finish_release(copy, data, split_scheme="ham10000-v1")
    before, after = read_json(release / "metrics.json"), read_json(copy / "metrics.json")
    assert after["overall"] == {k: pytest.approx(v, abs=1e-3) for k, v in before["overall"].items()}
    assert set(contents(copy)) == set(contents(release))


@pytest.mark.slow
def test_nothing_is_chosen_on_the_test_part(trained: Path, release: Path, data: DatasetDict, tmp_path: Path) -> None:
    """With other test labels, the numbers change, and nothing that the model does."""
    folder = shutil.copytree(trained, tmp_path / "release")
    wrong = data["test"].map(lambda row: {"label": (row["label"] + 1) % 7}, load_from_cache_file=False)
    finish_release(folder, DatasetDict({**data, "test": wrong}), split_scheme="ham10000-v1")
    for name in ("config.json", "model.safetensors", "conformal.json"):
        assert (folder / name).read_bytes() == (release / name).read_bytes(), name
    # The file of a guard keeps its texts in no certain order.
    guard, same = (load_file(side / "guard.safetensors") for side in (folder, release))
    assert all(torch.equal(guard[key], same[key]) for key in {*guard, *same})
    changed, metrics = read_json(folder / "metrics.json"), read_json(release / "metrics.json")
    assert changed["validation"] == metrics["validation"]
    assert changed["overall"]["accuracy"]["value"] != metrics["overall"]["accuracy"]["value"]


def test_evaluating_a_release_repeats_the_numbers_in_it(release: Path, tmp_path: Path) -> None:
    evaluate_model(release, SOURCE, tmp_path, split="test", split_scheme="ham10000-v1")
    ours, theirs = read_json(tmp_path / "metrics.json"), read_json(release / "metrics.json")
    for section in ("split", "overall", "per_class", "confusion_matrix", "subgroups", "conformal"):
        assert ours[section] == theirs[section], section
    for task, points in ours["stored_thresholds"].items():
        assert points == theirs["operating_points"][task]["points"], task
    assert set(ours["stored_thresholds"]) == {"malignant", "melanoma"}
    kept = ours["guard_accepted"]
    assert 0 <= kept["low"] <= kept["value"] <= kept["high"] <= 1
    assert kept["n"] == ours["split"]["images"]
    assert (tmp_path / "predictions.csv").read_bytes() == (release / "predictions.csv").read_bytes()
    assert (tmp_path / "data_set_images_misclassified.png").is_file()


def test_images_by_class_and_tables_in_the_layout_of_isic_evaluate_too(
    release: Path, data: DatasetDict, tmp_path: Path
) -> None:
    rows = ["image," + ",".join(code.upper() for code in CODES)]
    for row in data["test"].select(range(21)):
        code = CODES[row["label"]]
        (tmp_path / "by_class" / code).mkdir(parents=True, exist_ok=True)
        row["image"].save(tmp_path / "by_class" / code / f"{row['image_id']}.png")
        (tmp_path / "isic").mkdir(exist_ok=True)
        row["image"].save(tmp_path / "isic" / f"{row['image_id']}.png")
        rows.append(f"{row['image_id']}," + ",".join("1.0" if c == code else "0.0" for c in CODES))
    (tmp_path / "isic" / "truth.csv").write_text("\n".join(rows) + "\n")

    reports = [
        evaluate_model(release, source, tmp_path / "out" / str(k), split="test", split_scheme="ham10000-v1")
        for k, source in enumerate((tmp_path / "by_class", tmp_path / "isic" / "truth.csv"))
    ]
    assert reports[0].images == reports[1].images == 21
    assert np.array(reports[0].confusion_matrix).tolist() == np.array(reports[1].confusion_matrix).tolist()


def test_a_model_compared_with_itself_shows_no_difference(release: Path, tmp_path: Path) -> None:
    table = str(release / "predictions.csv")
    same = compare_models(str(release), table, SOURCE, tmp_path, split="test", split_scheme="ham10000-v1")
    assert same.mcnemar_p == 1.0
    assert abs(same.differences["balanced_accuracy"].value or 0.0) < 1e-9
    written = read_json(tmp_path / "comparison.json")
    assert (written["first"], written["second"]) == (release.name, "predictions.csv")
    assert (written["images"], written["lesions"], written["part"]) == (same.images, same.lesions, "test")
    assert written["lesion_p"] == 1.0
    compare_models(table, table, None, tmp_path, split="test", split_scheme="ham10000-v1")
    assert not {"part", "split"} & read_json(tmp_path / "comparison.json").keys(), "tables do not tell"


def test_a_missing_model_or_source_is_named(release: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="nowhere"):
        evaluate_model("./nowhere", SOURCE, tmp_path, split="test", split_scheme="ham10000-v1")
    with pytest.raises(DataError, match="--data is missing"):
        evaluate_model(release, None, tmp_path, split="test", split_scheme="ham10000-v1")


def test_the_command_prints_the_tables_of_what_it_wrote(
    release: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = (f"--model={release}", f"--data={SOURCE}", "--split=validation", f"--output_dir={tmp_path}")
    assert call(EVALUATE, *options) == 0
    output = capsys.readouterr().out
    value = read_json(tmp_path / "metrics.json")["overall"]["balanced_accuracy"]["value"]
    assert f"| balanced accuracy | {value:.3f} (" in output
    assert "synthetic, ham10000-v1, validation" in output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model=./nowhere", f"--data={SOURCE}"], "nowhere"),
        (["--model=tests", "--data=./nowhere"], "tests"),
        (["--split=all"], "--split"),
        (["--batch_size=0"], "give at least 1"),
        (["--compare", "a.csv", "b.csv"], "a.csv"),
        (["--ensemble", "./nowhere", f"--data={SOURCE}"], "nowhere"),
        (["--ensemble", "a", "--views=3"], "--views"),
        (["--ensemble", "a", "--compare", "b", "c"], "not allowed with argument --ensemble"),
        (["--ensemble", "a", "--revision=v1"], "--revision is for --model"),
        (["--views=2", f"--data={SOURCE}"], "--views is for --ensemble"),
    ],
)
def test_a_wrong_call_is_one_line_and_exit_code_2(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(EVALUATE, *arguments, f"--output_dir={tmp_path}") == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert "error: " in last
    assert message in last
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_two_processes_write_the_metrics_of_one(release: Path, tmp_path: Path) -> None:
    """61 images over two processes: neither a multiple of the processes nor of the batches."""
    options = (f"--model={release}", "--data=synthetic[:427]", "--batch_size=8")
    assert call(EVALUATE, *options, f"--output_dir={tmp_path / '1'}") == 0
    result = evaluate(*options, f"--output_dir={tmp_path / '2'}", launcher=TORCHRUN)
    assert result.returncode == 0, result.stderr
    one, two = (contents(tmp_path / name) for name in ("1", "2"))
    assert one["predictions.csv"].count(b"\n") == two["predictions.csv"].count(b"\n")
    first, second = (json.loads(side["metrics.json"]) for side in (one, two))
    assert first["confusion_matrix"] == second["confusion_matrix"]
    assert first["overall"]["mean_auc"] == pytest.approx(second["overall"]["mean_auc"])


def keys_of(content: object) -> set[str]:
    """All keys of nested objects."""
    if isinstance(content, list):
        return set().union(*map(keys_of, content))
    if not isinstance(content, dict):
        return set()
    return set(content).union(*map(keys_of, content.values()))


def test_every_key_of_the_metrics_is_documented(release: Path, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    table = str(release / "predictions.csv")
    compare_models(table, table, None, tmp_path, split="test", split_scheme="ham10000-v1")
    packages = read_json(release / "metrics.json")["guard"]["photographs"]["packages"]
    kinds = {*DETECTORS, *FAR, *AMBIGUOUS, *packages, "all"}
    evaluate_model(release, SOURCE, tmp_path, split="test", split_scheme="ham10000-v1")
    compare_models(str(release), table, SOURCE, tmp_path, split="test", split_scheme="ham10000-v1")
    for path in (release / "metrics.json", tmp_path / "metrics.json", tmp_path / "comparison.json"):
        # A detector may be named with the stage of the network that it looks at.
        keys = {key.partition(",")[0] for key in keys_of(read_json(path))} - kinds
        missing = {key for key in keys if f"`{key}`" not in page and f"\n## {key}\n" not in page}
        assert not missing
