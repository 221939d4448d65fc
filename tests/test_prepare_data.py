"""`skinvision prepare`: what it writes, prints, draws and refuses."""

import re
from pathlib import Path

import numpy as np
import pytest
from calling import run
from datasets import Dataset, DatasetDict
from PIL import Image

from skinvision_hf.data import count_table, load_ham10000
from skinvision_hf.data.prepared import write_parquet
from skinvision_hf.data.summary import colour_statistics, count_lesions
from skinvision_hf.figures.data_plots import draw_data
from skinvision_hf.labels import CODES

FIGURES = {"classes.png", "age.png", "sex.png", "localization.png", "colours.png", "samples.png"}
Captured = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def drawn() -> DatasetDict:
    return load_ham10000("synthetic[:210]")


@pytest.fixture
def without_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("skinvision_hf.figures.data_plots.draw_data", lambda data, folder: [])


def prepare(source: str | Path, folder: Path, *options: str) -> int:
    return run("prepare", "--source", source, "--output_dir", folder, *options)


def test_it_writes_a_data_set_that_loads_with_its_masks_and_figures(
    tmp_path: Path, drawn: DatasetDict, capsys: Captured
) -> None:
    folder = tmp_path / "new" / "data"
    assert prepare("synthetic[:210]", folder, "--masks") == 0
    data = load_ham10000(folder, masks=True)
    assert {name: d["image_id"][:] for name, d in data.items()} == {name: d["image_id"][:] for name, d in drawn.items()}
    assert data["test"][0]["mask"].size == data["test"][0]["image"].size
    assert {path.name for path in (folder / "figures").iterdir()} == FIGURES
    output = capsys.readouterr().out
    assert count_table(drawn) in output and f"Written to {folder}" in output


def test_larger_images_are_made_smaller_when_asked(tmp_path: Path, drawn: DatasetDict, without_figures: None) -> None:
    assert prepare("synthetic[:210]", tmp_path / "data", "--masks", "--max_side", "100") == 0
    data = load_ham10000(tmp_path / "data", masks=True)
    large, small = drawn["test"][0]["image"], data["test"][0]["image"]
    assert small.size == data["test"][0]["mask"].size == (100, 75)
    assert small.format == "JPEG" and set(np.unique(data["test"][0]["mask"])) <= {0, 255, True}
    expected = np.asarray(large.convert("RGB").resize(small.size, Image.Resampling.LANCZOS), dtype=float)
    assert np.abs(np.asarray(small, dtype=float) - expected).mean() < 4


def test_a_wrong_source_or_folder_is_one_line_and_changes_nothing(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.txt").write_text("years of work")
    for source, folder, message in (
        ("nowhere", "data", "there is no file or folder nowhere"),
        (tmp_path / "empty", "data", "empty"),
        (tmp_path / "thesis", "data", "thesis"),
        ("synthetic[:210]", "thesis", "is not a prepared data set; choose another --output_dir"),
    ):
        assert prepare(source, tmp_path / folder) == 2
        error = capsys.readouterr().err
        assert message in error and error.startswith("error: ") and error.count("\n") == 1
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["empty", "thesis", "thesis.txt"]


def test_prepared_data_keeps_its_split_scheme(tmp_path: Path, without_figures: None, capsys: Captured) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    leaky = "image-level-leaky"
    assert prepare("synthetic[:210]", first, "--split_scheme", leaky) == 0
    assert prepare(first, second) == 0
    expected = load_ham10000("synthetic[:210]", split_scheme=leaky)["test"]["image_id"][:]
    assert [load_ham10000(folder)["test"]["image_id"][:] for folder in (first, second)] == [expected, expected]
    capsys.readouterr()
    assert prepare(first, tmp_path / "third", "--split_scheme", "ham10000-v1") == 2
    assert "was prepared in the split scheme image-level-leaky, not in ham10000-v1" in capsys.readouterr().err


def test_dataverse_without_network_is_one_line(tmp_path: Path, capsys: Captured) -> None:
    assert prepare("dataverse", tmp_path / "data", "--server", "http://127.0.0.1:9") == 2
    assert re.fullmatch(
        r"error: cannot get the files of HAM10000 from 127\.0\.0\.1 \(.*\); try again later\n", capsys.readouterr().err
    )
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_in_the_middle_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    def write_half(rows: Dataset, folder: Path, name: str) -> None:
        write_parquet(rows, folder, name)
        raise KeyboardInterrupt

    monkeypatch.setattr("skinvision_hf.data.prepared.write_parquet", write_half)
    assert prepare("synthetic[:210]", tmp_path / "data") == 130
    assert capsys.readouterr().err.endswith("stopped.\n")
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


def test_the_figures_are_drawn_for_splits_that_lack_diagnoses_and_ages(tmp_path: Path, drawn: DatasetDict) -> None:
    few = DatasetDict({name: dataset.select(range(3)) for name, dataset in drawn.items()})
    few["test"] = few["test"].map(lambda record: {"age": None}, features=few["test"].features)
    for path in draw_data(few, tmp_path):
        with Image.open(path) as image:
            assert np.asarray(image.convert("L")).std() > 5, f"{path.name} is blank"
    assert {path.name for path in tmp_path.iterdir()} == FIGURES
    first = drawn["train"][0]
    expected = np.asarray(first["image"].convert("RGB"), dtype=float).mean(axis=(0, 1))
    colours = colour_statistics(DatasetDict({"train": drawn["train"].select(range(7))}))
    np.testing.assert_allclose(colours[CODES[first["label"]]][0], expected, atol=1.5)
