"""A prepared data set holds the same data and replaces only an older one; `skinvision prepare` prints and draws it."""

import errno
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from calling import Captured, run
from datasets import Dataset, DatasetDict, concatenate_datasets, load_dataset
from drawing import assert_not_blank
from ham10000_folder import fingerprints, write_ham10000
from PIL import Image

from skinvision_hf.data import count_table, fingerprint, load_ham10000, load_split, resolve_scheme, save_prepared
from skinvision_hf.data.prepared import write_parquet
from skinvision_hf.data.summary import colour_statistics, count_lesions
from skinvision_hf.errors import DataError
from skinvision_hf.figures.data_plots import draw_data
from skinvision_hf.labels import CODES

pytestmark = pytest.mark.usefixtures("own_cache")
FIGURES = {"classes.png", "age.png", "sex.png", "localization.png", "colours.png", "samples.png"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> DatasetDict:
    return load_ham10000(write_ham10000(tmp_path_factory.mktemp("data") / "HAM10000"))


def save(data: DatasetDict, folder: Path) -> Path:
    return save_prepared(data, folder, split_scheme="ham10000-v1")


def some_of(data: DatasetDict) -> DatasetDict:
    return DatasetDict({name: split.select(range(3)) for name, split in data.items()})


def test_a_prepared_set_is_the_same_data_with_images_inside_and_loads_without_this_package(tmp_path: Path) -> None:
    layout = write_ham10000(tmp_path / "HAM10000")
    data = load_ham10000(layout, masks=True, dx_type=True)
    prepared = save(data, tmp_path / "prepared")
    pixels = {name: [row["image"].tobytes() for row in split] for name, split in data.items()}
    shutil.rmtree(layout)
    again = load_ham10000(prepared, masks=True, dx_type=True)
    assert fingerprints(again) == fingerprints(data)
    for name, split in again.items():
        assert split.features == data[name].features
        assert split["dx_type"][:] == data[name]["dx_type"][:]
        assert [row["image"].tobytes() for row in split] == pixels[name]
    plain = load_dataset(str(prepared / "data"))
    assert "dx_type" not in plain["train"].column_names
    assert plain["test"].features["label"].names == list(CODES)


def test_preparing_replaces_an_older_set_and_nothing_else(data: DatasetDict, tmp_path: Path) -> None:
    target = tmp_path / "prepared"
    for _ in range(2):
        save(data, target)
    (target / "run1").mkdir()
    with pytest.raises(DataError, match="also holds run1, which would be lost; move that away"):
        save(data, target)
    assert [p.name for p in tmp_path.iterdir() if p.name != "cache"] == ["prepared"]


def test_an_older_set_survives_when_the_new_one_cannot_take_its_place(
    data: DatasetDict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, rename = save(data, tmp_path / "prepared"), Path.rename

    def busy(self: Path, to: Path) -> Path:
        if self.suffix == ".tmp":
            raise OSError(errno.EBUSY, "Device or resource busy")
        return rename(self, to)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", busy)
        with pytest.raises(DataError, match=r"cannot write .*: Device or resource busy"):
            save(some_of(data), target)
    assert fingerprints(load_ham10000(target)) == fingerprints(data)
    assert [p.name for p in tmp_path.iterdir() if p.name != "cache"] == ["prepared"]


def test_what_a_link_leads_to_is_replaced(data: DatasetDict, tmp_path: Path) -> None:
    (tmp_path / "big").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "big" / "prepared")
    for new in (data, some_of(data)):
        save(new, tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert fingerprints(load_ham10000(tmp_path / "big" / "prepared")) == fingerprints(some_of(data))
    assert [path.name for path in (tmp_path / "big").iterdir()] == ["prepared"]


def test_a_prepared_set_that_is_damaged_or_incomplete_is_refused(data: DatasetDict, tmp_path: Path) -> None:
    prepared = save(data, tmp_path / "prepared")
    record, (file,) = prepared / "prepared.json", (prepared / "data").glob("test-*.parquet")
    with pytest.raises(DataError, match="was prepared without masks"):
        load_ham10000(prepared, masks=True)
    written = record.read_text()
    for text, message in (
        (written.replace(json.loads(written)["splits"]["test"]["fingerprint"], "other"), "are not those that it was"),
        ("{}", r"the prepared\.json of .* is damaged; prepare the data again"),
    ):
        record.write_text(text)
        with pytest.raises(DataError, match=message):
            load_ham10000(prepared)
    record.write_text(written)
    content = bytearray(file.read_bytes())
    content[100:-2000] = bytes(len(content) - 2100)
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"cannot be read .*; download or prepare them again"):
        load_ham10000(prepared)
    file.unlink()
    with pytest.raises(DataError, match="has lost the files of the split test"):
        load_ham10000(prepared)


@pytest.mark.parametrize("name", ["thesis [final]", "run?", "run*", "a::b", "{x}", "50% #1", "run[12]"])
def test_a_path_is_never_a_pattern(data: DatasetDict, tmp_path: Path, name: str) -> None:
    save(some_of(data), tmp_path / "run1" / "ham")  # what some of the names would match
    folder = save(data, tmp_path / name / "ham")
    assert fingerprints(load_ham10000(folder)) == fingerprints(data)


@pytest.mark.parametrize("kind", ["download", "save_to_disk", "one split"])
def test_a_data_set_of_ours_in_a_folder_is_a_source(data: DatasetDict, tmp_path: Path, kind: str) -> None:
    folder, prepared = tmp_path / "copy [1]", save(data, tmp_path / "prepared")
    if kind == "download":
        shutil.copytree(prepared / "data", folder / "data")
        (folder / "README.md").write_text("a card")
        (folder / ".cache").mkdir()
        (folder / ".cache" / "half.parquet").write_bytes(b"hidden")
    else:
        plain = load_dataset(str(prepared / "data"))
        saved = plain if kind == "save_to_disk" else concatenate_datasets(list(plain.values()))
        saved.save_to_disk(str(tmp_path / "disk"))
        (tmp_path / "disk").rename(folder)
    save(some_of(data), folder / "other")  # of its own
    before = sorted(folder.rglob("*"))
    again = load_ham10000(folder)
    assert fingerprints(again) == fingerprints(data)
    assert again["test"][0]["image"].size == (200, 150)
    assert load_split(folder, split="test", split_scheme=None)[1:] == ("ham10000-v1", "test")
    assert sorted(folder.rglob("*")) == before, "it wrote into the user's folder"


def test_a_folder_of_large_file_pointers_is_said_to_be_unreadable(tmp_path: Path) -> None:
    (tmp_path / "train.parquet").write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(DataError, match=r"the files of .* cannot be read \(.*\); download or prepare them again"):
        load_ham10000(tmp_path)


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
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.txt").write_text("years of work")
    for source, folder, message in (
        ("nowhere", "data", "nowhere is neither a file nor a folder"),
        (tmp_path / "thesis", "data", "thesis"),
        ("synthetic[:210]", "thesis", "is not a prepared data set; choose another --output_dir"),
        ("synthetic[:210]", "thesis/thesis.txt", "is not a prepared data set; choose another --output_dir"),
    ):
        assert prepare(source, tmp_path / folder) == 2
        error = capsys.readouterr().err
        assert message in error and error.startswith("error: ") and error.count("\n") == 1
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["thesis", "thesis.txt"]
    assert (tmp_path / "thesis" / "thesis.txt").read_text() == "years of work"


def test_prepared_data_keeps_its_split_scheme(tmp_path: Path, without_figures: None, capsys: Captured) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    leaky = "image-level-leaky"
    assert prepare("synthetic[:210]", first, "--split_scheme", leaky) == 0
    assert prepare(first, second) == 0
    expected = load_ham10000("synthetic[:210]", split_scheme=leaky)
    for folder in (first, second):
        assert resolve_scheme(folder) == leaky
        assert fingerprints(load_ham10000(folder)) == fingerprints(expected)
        split, name, _ = load_split(folder, split="test", split_scheme=None)
        assert (fingerprint(split), name) == (fingerprint(expected["test"]), f"synthetic, {leaky}")
    capsys.readouterr()
    assert prepare(first, tmp_path / "third", "--split_scheme", "ham10000-v1") == 2
    assert "was prepared in the split scheme image-level-leaky, not in ham10000-v1" in capsys.readouterr().err


def test_dataverse_without_network_is_one_line(tmp_path: Path, capsys: Captured) -> None:
    assert prepare("dataverse", tmp_path / "data", "--server", "http://127.0.0.1:9") == 2
    assert re.fullmatch(
        r"error: cannot get the files of HAM10000 from 127\.0\.0\.1 \(.*\); try again later\n", capsys.readouterr().err
    )
    assert not (tmp_path / "data").exists()


def test_ctrl_c_in_the_middle_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    def write_half(rows: Dataset, folder: Path, name: str) -> None:
        write_parquet(rows, folder, name)
        raise KeyboardInterrupt

    monkeypatch.setattr("skinvision_hf.data.prepared.write_parquet", write_half)
    assert prepare("synthetic[:210]", tmp_path / "data") == 130
    assert capsys.readouterr().err.endswith("stopped.\n")
    assert not (tmp_path / "data").exists()


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
    assert_not_blank(draw_data(few, tmp_path))
    assert {path.name for path in tmp_path.iterdir()} == FIGURES
    first = drawn["train"][0]
    expected = np.asarray(first["image"].convert("RGB"), dtype=float).mean(axis=(0, 1))
    colours = colour_statistics(DatasetDict({"train": drawn["train"].select(range(7))}))
    np.testing.assert_allclose(colours[CODES[first["label"]]][0], expected, atol=1.5)
