"""A prepared data set holds the same data, replaces only its like, and is refused when it is damaged."""

import errno
import json
import shutil
from pathlib import Path

import pytest
from datasets import DatasetDict, concatenate_datasets, load_dataset
from ham10000_folder import write_ham10000

from skinvision_hf.data import fingerprint, load_ham10000, load_split, resolve_scheme, save_prepared
from skinvision_hf.errors import DataError
from skinvision_hf.labels import CODES

pytestmark = pytest.mark.usefixtures("own_cache")


def test_a_prepared_set_is_the_same_data_with_images_inside_and_loads_without_this_package(
    tmp_path: Path,
) -> None:
    layout = write_ham10000(tmp_path / "HAM10000")
    data = load_ham10000(layout, masks=True, dx_type=True)
    prepared = save_prepared(data, tmp_path / "prepared", split_scheme="ham10000-v1")
    pixels = {name: [row["image"].tobytes() for row in split] for name, split in data.items()}
    shutil.rmtree(layout)
    again = load_ham10000(prepared, masks=True, dx_type=True)
    for name, split in again.items():
        assert split.features == data[name].features
        assert fingerprint(split) == fingerprint(data[name])
        assert split["dx_type"][:] == data[name]["dx_type"][:]
        assert [row["image"].tobytes() for row in split] == pixels[name]
    plain = load_dataset(str(prepared / "data"))
    assert "dx_type" not in plain["train"].column_names
    assert plain["test"].features["label"].names == list(CODES)


def test_preparing_replaces_an_older_set_and_nothing_else(tmp_path: Path) -> None:
    data = load_ham10000("synthetic[:210]")
    target = tmp_path / "prepared"
    for _ in range(2):
        save_prepared(data, target, split_scheme="ham10000-v1")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(DataError, match="is not a prepared data set; choose another"):
        save_prepared(data, tmp_path / "mine", split_scheme="ham10000-v1")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"
    (target / "run1").mkdir()
    with pytest.raises(DataError, match="also holds run1, which would be lost; move that away"):
        save_prepared(data, target, split_scheme="ham10000-v1")
    assert sorted(p.name for p in tmp_path.iterdir() if p.name != "cache") == ["mine", "prepared"]


def test_an_older_set_survives_when_the_new_one_cannot_take_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, target = load_ham10000("synthetic[:210]"), tmp_path / "prepared"
    save_prepared(data, target, split_scheme="ham10000-v1")
    rename = Path.rename

    def busy(self: Path, to: Path) -> Path:
        if self.suffix == ".tmp":
            raise OSError(errno.EBUSY, "Device or resource busy")
        return rename(self, to)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", busy)
        with pytest.raises(DataError, match=r"cannot write .*: Device or resource busy"):
            save_prepared(data, target, split_scheme="ham10000-v1")
    assert len(load_ham10000(target)["test"]) == len(data["test"])
    assert [p.name for p in tmp_path.iterdir() if p.name != "cache"] == ["prepared"]


def test_what_a_link_leads_to_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "big").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "big" / "prepared")
    for count in (210, 280):
        save_prepared(load_ham10000(f"synthetic[:{count}]"), tmp_path / "link", split_scheme="ham10000-v1")
    assert (tmp_path / "link").is_symlink()
    assert sum(map(len, load_ham10000(tmp_path / "big" / "prepared").values())) == 280
    assert [path.name for path in (tmp_path / "big").iterdir()] == ["prepared"]


def test_damaged_parquet_is_said_in_one_line(tmp_path: Path) -> None:
    save_prepared(load_ham10000("synthetic[:210]"), tmp_path / "prepared", split_scheme="ham10000-v1")
    (file,) = (tmp_path / "prepared" / "data").glob("test-*.parquet")
    content = bytearray(file.read_bytes())
    content[100:-2000] = bytes(len(content) - 2100)
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"cannot be read .*; download or prepare them again"):
        load_ham10000(tmp_path / "prepared")


def test_a_prepared_set_that_lost_a_file_or_rows_is_refused(tmp_path: Path) -> None:
    prepared = save_prepared(load_ham10000("synthetic[:210]"), tmp_path / "prepared", split_scheme="ham10000-v1")
    record = (prepared / "prepared.json").read_text()
    fingerprints = json.loads(record)["splits"]
    (prepared / "prepared.json").write_text(record.replace(fingerprints["test"]["fingerprint"], "other"))
    with pytest.raises(DataError, match="are not those that it was written with"):
        load_ham10000(prepared)
    old = {"schema_version": 1, "split": "ham10000-v1", "parts": fingerprints}  # as earlier versions wrote it
    (prepared / "prepared.json").write_text(json.dumps(old))
    assert len(load_ham10000(prepared)["test"]) == 30
    next((prepared / "data").glob("test-*")).unlink()
    with pytest.raises(DataError, match="has lost the files of the split test"):
        load_ham10000(prepared)
    with pytest.raises(DataError, match="was prepared without masks"):
        shutil.rmtree(prepared)
        save_prepared(load_ham10000("synthetic[:210]"), prepared, split_scheme="ham10000-v1")
        load_ham10000(prepared, masks=True)


def test_a_prepared_set_is_loaded_in_the_split_scheme_that_it_was_written_in(tmp_path: Path) -> None:
    source = "synthetic[:280]"
    leaky = load_ham10000(source, split_scheme="image-level-leaky")
    prepared = save_prepared(leaky, tmp_path / "prepared", split_scheme="image-level-leaky")
    assert resolve_scheme(prepared) == "image-level-leaky"
    for options in ({}, {"split_scheme": "image-level-leaky"}):
        again = load_ham10000(prepared, **options)
        assert [fingerprint(split) for split in again.values()] == [fingerprint(split) for split in leaky.values()]
    split, name, _ = load_split(prepared, split="test", split_scheme=None)
    assert (fingerprint(split), name) == (fingerprint(leaky["test"]), "synthetic, image-level-leaky")
    with pytest.raises(DataError, match="prepared in the split scheme image-level-leaky, not in ham10000-v1; ask for"):
        load_ham10000(prepared, split_scheme="ham10000-v1")


def test_a_path_is_never_a_pattern(tmp_path: Path) -> None:
    decoy, other = load_ham10000("synthetic[:210]"), load_ham10000("synthetic[:280]")
    save_prepared(decoy, tmp_path / "run1" / "ham", split_scheme="ham10000-v1")
    folder = save_prepared(other, tmp_path / "run[12]" / "ham", split_scheme="ham10000-v1")
    for name in ("thesis [final]", "run?", "run*", "a::b", "{x}", "50% #1"):
        shutil.copytree(tmp_path / "run[12]", tmp_path / name)
        folder = tmp_path / name / "ham"
        assert [fingerprint(d) for d in load_ham10000(folder).values()] == [fingerprint(d) for d in other.values()]


@pytest.mark.parametrize("kind", ["download", "save_to_disk", "one split"])
def test_a_data_set_of_ours_in_a_folder_is_a_source(tmp_path: Path, kind: str) -> None:
    data, folder = load_ham10000("synthetic[:210]"), tmp_path / "copy [1]"
    prepared = save_prepared(data, tmp_path / "prepared", split_scheme="ham10000-v1")
    if kind == "download":
        shutil.copytree(prepared / "data", folder / "data")
        (folder / "README.md").write_text("a card")
        (folder / ".cache").mkdir()
        (folder / ".cache" / "half.parquet").write_bytes(b"hidden")
    else:
        plain: DatasetDict = load_dataset(str(prepared / "data"))
        (plain if kind == "save_to_disk" else concatenate_datasets(list(plain.values()))).save_to_disk(
            str(tmp_path / "disk")
        )
        (tmp_path / "disk").rename(folder)
    save_prepared(load_ham10000("synthetic[:280]"), folder / "other", split_scheme="ham10000-v1")  # of its own
    before = sorted(folder.rglob("*"))
    again = load_ham10000(folder)
    assert [fingerprint(split) for split in again.values()] == [fingerprint(split) for split in data.values()]
    assert again["test"][0]["image"].size == (200, 150)
    assert load_split(folder, split="test", split_scheme=None)[1:] == ("synthetic, ham10000-v1", "test")
    assert sorted(folder.rglob("*")) == before, "it wrote into the user's folder"


def test_a_folder_of_large_file_pointers_is_said_to_be_unreadable(tmp_path: Path) -> None:
    (tmp_path / "train.parquet").write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(DataError, match=r"the files of .* cannot be read \(.*\); download or prepare them again"):
        load_ham10000(tmp_path)
