"""The command that prepares the data: what it writes, prints, draws and refuses."""

import importlib.util
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from datasets import DatasetDict
from PIL import Image

from skinvision_hf.data import count_table, load_ham10000
from skinvision_hf.data.summary import colour_statistics, count_lesions
from skinvision_hf.figures.data_plots import draw_data
from skinvision_hf.labels import CODES

SCRIPT = Path(__file__).parents[1] / "scripts" / "prepare_data.py"
FIGURES = {"classes.png", "age.png", "sex.png", "localization.png", "colours.png", "samples.png"}


def load_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("prepare_data", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def drawn() -> DatasetDict:
    return load_ham10000("synthetic[:210]")


def test_it_writes_a_data_set_that_loads_with_its_masks_and_figures(
    tmp_path: Path, drawn: DatasetDict, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "new" / "data"
    folder.parent.mkdir()
    assert load_script().main(["--source", "synthetic[:210]", "--output_dir", str(folder), "--masks"]) == 0
    data = load_ham10000(folder, masks=True)
    assert {split: d["image_id"][:] for split, d in data.items()} == {p: d["image_id"][:] for p, d in drawn.items()}
    assert data["test"][0]["mask"].size == data["test"][0]["image"].size
    assert {path.name for path in (folder / "figures").iterdir()} == FIGURES
    output = capsys.readouterr().out
    assert count_table(drawn) in output
    assert f"Written to {folder}" in output


def test_larger_images_are_made_smaller_when_asked(tmp_path: Path, drawn: DatasetDict) -> None:
    options = ["--source", "synthetic[:210]", "--output_dir", str(tmp_path / "data"), "--masks", "--max_side"]
    assert load_script().main([*options, "100"]) == 0
    data = load_ham10000(tmp_path / "data", masks=True)
    large, small = drawn["test"][0]["image"], data["test"][0]["image"]
    assert small.size == data["test"][0]["mask"].size == (100, 75)
    assert small.format == "JPEG" and set(np.unique(data["test"][0]["mask"])) <= {0, 255, True}
    expected = np.asarray(large.convert("RGB").resize(small.size, Image.Resampling.LANCZOS), dtype=float)
    assert np.abs(np.asarray(small, dtype=float) - expected).mean() < 4
    assert load_script().main([*options, "4000"]) == 0
    assert load_ham10000(tmp_path / "data")["test"][0]["image"].tobytes() == large.tobytes()


def test_preparing_again_replaces_the_data_set(tmp_path: Path) -> None:
    main = load_script().main
    for count in (210, 280):
        assert main(["--source", f"synthetic[:{count}]", "--output_dir", str(tmp_path / "data")]) == 0
    assert sum(map(len, load_ham10000(tmp_path / "data").values())) == 280
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


@pytest.mark.parametrize(
    ("source", "message"),
    [("nowhere", "there is no folder nowhere"), (".", "holds no HAM10000_metadata"), ("empty", "is empty")],
)
def test_a_wrong_source_is_one_line_and_writes_nothing(
    source: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    assert load_script().main(["--source", source, "--output_dir", "data"]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (tmp_path / "data").exists()


def test_prepared_data_is_prepared_again_in_its_own_split(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main, first, second = load_script().main, str(tmp_path / "first"), str(tmp_path / "second")
    assert main(["--source", "synthetic[:280]", "--output_dir", first, "--split_name", "image-level-leaky"]) == 0
    assert main(["--source", first, "--output_dir", second]) == 0
    splits = [load_ham10000(folder)["test"]["image_id"][:] for folder in (first, second)]
    assert (
        splits[0]
        == splits[1]
        == load_ham10000("synthetic[:280]", split_scheme="image-level-leaky")["test"]["image_id"][:]
    )
    capsys.readouterr()
    assert main(["--source", first, "--output_dir", str(tmp_path / "third"), "--split_name", "ham10000-v1"]) == 2
    assert "was prepared in the split image-level-leaky, not in ham10000-v1" in capsys.readouterr().err


def test_a_folder_with_other_files_is_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    assert load_script().main(["--source", "synthetic[:210]", "--output_dir", str(tmp_path)]) == 2
    assert "is no prepared data set; choose another --output_dir" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_dataverse_without_network_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--server", "http://127.0.0.1:9", "--output_dir", str(tmp_path / "data")]
    assert load_script().main(["--source", "dataverse", *options]) == 2
    assert re.fullmatch(
        r"error: cannot ask 127\.0\.0\.1 for HAM10000 \(.*\); try again later\n", capsys.readouterr().err
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_ctrl_c_in_the_middle_leaves_nothing_behind(tmp_path: Path) -> None:
    command = [sys.executable, SCRIPT, "--source", "synthetic[:2100]", "--output_dir", tmp_path / "data"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not any(tmp_path.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert any(tmp_path.iterdir()), "it never began to write"
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in error and error.rstrip().endswith("stopped.")
    assert list(tmp_path.iterdir()) == []


def test_the_table_counts_images_and_lesions(drawn: DatasetDict) -> None:
    lines = [re.split(r"  +", line) for line in count_table(drawn).splitlines()]
    assert lines[0] == ["images (lesions)", "train", "validation", "test", "all"]
    assert [line[0].rpartition("(")[2].rstrip(")") for line in lines[1:-1]] == list(CODES)
    train = drawn["train"]
    assert lines[-1][1] == f"{len(train)} ({len(set(train['lesion_id'][:]))})"
    assert sum(int(line[2].split()[0]) for line in lines[1:-1]) == len(drawn["validation"])
    mel = [r["lesion_id"] for r in drawn["test"].select_columns(["label", "lesion_id"]) if CODES[r["label"]] == "mel"]
    assert count_lesions(drawn["test"])["mel"] == (len(mel), len(set(mel)))


def test_colours_are_those_of_the_images(drawn: DatasetDict) -> None:
    few = DatasetDict({"train": drawn["train"].select(range(7))})
    colours = colour_statistics(few)
    assert sum(map(len, colours.values())) == 7
    first = few["train"][0]
    expected = np.asarray(first["image"].convert("RGB"), dtype=float).mean(axis=(0, 1))
    np.testing.assert_allclose(colours[CODES[first["label"]]][0], expected, atol=1.5)


def test_the_figures_are_drawn_for_splits_that_lack_diagnoses_and_ages(tmp_path: Path, drawn: DatasetDict) -> None:
    few = DatasetDict({split: dataset.select(range(3)) for split, dataset in drawn.items()})
    few["test"] = few["test"].map(lambda record: {"age": None}, features=few["test"].features)
    for path in draw_data(few, tmp_path):
        with Image.open(path) as image:
            assert np.asarray(image.convert("L")).std() > 5, f"{path.name} is blank"
    assert {path.name for path in tmp_path.iterdir()} == FIGURES
