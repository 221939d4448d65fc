"""A prepared data set holds the same data, replaces only its like, and is refused when it is damaged."""

import errno
import json
import shutil
from pathlib import Path

import pytest
from datasets import DatasetDict, concatenate_datasets, load_dataset
from ham10000_folder import fingerprints, write_ham10000

from skinvision_hf.data import fingerprint, load_ham10000, load_split, resolve_scheme, save_prepared
from skinvision_hf.errors import DataError
from skinvision_hf.labels import CODES

pytestmark = pytest.mark.usefixtures("own_cache")
LEAKY = "image-level-leaky"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> DatasetDict:
    return load_ham10000(write_ham10000(tmp_path_factory.mktemp("data") / "HAM10000"))


def save(data: DatasetDict, folder: Path, split_scheme: str = "ham10000-v1") -> Path:
    return save_prepared(data, folder, split_scheme=split_scheme)


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
    target, mine = tmp_path / "prepared", tmp_path / "mine"
    for _ in range(2):
        save(data, target)
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")
    for folder in (mine, mine / "thesis.txt"):
        with pytest.raises(DataError, match="is not a prepared data set; choose another"):
            save(data, folder)
    assert (mine / "thesis.txt").read_text() == "years of work"
    (target / "run1").mkdir()
    with pytest.raises(DataError, match="also holds run1, which would be lost; move that away"):
        save(data, target)
    assert sorted(p.name for p in tmp_path.iterdir() if p.name != "cache") == ["mine", "prepared"]


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


def test_a_prepared_set_is_loaded_in_the_split_scheme_that_it_was_written_in(tmp_path: Path) -> None:
    leaky = load_ham10000("synthetic[:280]", split_scheme=LEAKY)
    prepared = save(leaky, tmp_path / "prepared", LEAKY)
    assert resolve_scheme(prepared) == LEAKY
    for options in ({}, {"split_scheme": LEAKY}):
        assert fingerprints(load_ham10000(prepared, **options)) == fingerprints(leaky)
    split, name, _ = load_split(prepared, split="test", split_scheme=None)
    assert (fingerprint(split), name) == (fingerprint(leaky["test"]), f"synthetic, {LEAKY}")
    with pytest.raises(DataError, match=f"prepared in the split scheme {LEAKY}, not in ham10000-v1; ask for"):
        load_ham10000(prepared, split_scheme="ham10000-v1")


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
