"""Zip files as sources of HAM10000: unpacked once, into the cache, and nowhere else."""

import errno
import shutil
import zipfile
from pathlib import Path

import pytest
from ham10000_folder import fingerprints

from skinvision_hf.data import folders, load_ham10000, load_split
from skinvision_hf.errors import DataError

pytestmark = pytest.mark.usefixtures("own_cache")


def write_zip(path: Path, files: dict[str, Path | bytes]) -> Path:
    path.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content if isinstance(content, bytes) else content.read_bytes())
    return path


def members(folder: Path) -> dict[str, Path | bytes]:
    return {path.relative_to(folder.parent).as_posix(): path for path in folder.rglob("*") if path.is_file()}


def test_zip_files_as_downloaded_are_unpacked_once_into_the_cache(layout: Path, tmp_path: Path) -> None:
    zips, cache = tmp_path / "zips", tmp_path / "cache" / "skinvision"
    for split in ("HAM10000_images_part_1", "HAM10000_images_part_2", "masks"):
        write_zip(zips / f"{split}.ZIP", members(layout / split))
    shutil.copy(layout / "HAM10000_metadata.csv", zips)
    assert fingerprints(load_ham10000(zips, masks=True)) == fingerprints(load_ham10000(layout))
    unpacked = sorted(cache.iterdir())
    load_ham10000(zips)
    assert sorted(cache.iterdir()) == unpacked and len(unpacked) == 3


def test_zip_files_may_be_nested_named_with_backslashes_and_unpacked_in_part(layout: Path, tmp_path: Path) -> None:
    expected = fingerprints(load_ham10000(layout, masks=True))
    first = layout / "HAM10000_images_part_1"
    inner = write_zip(tmp_path / "inner.zip", {name.replace("/", "\\"): file for name, file in members(first).items()})
    write_zip(layout / "all.zip", {"a/b/inner.Zip": inner, "__MACOSX/._inner.zip": b"junk"})
    shutil.rmtree(first)
    assert fingerprints(load_ham10000(layout, masks=True)) == expected


def test_one_archive_with_everything_or_one_folder_is_a_source(layout: Path, tmp_path: Path) -> None:
    archive = shutil.make_archive(str(tmp_path / "archive"), "zip", layout)
    (layout / "other.zip").write_bytes(b"PK\x03\x04 and then nothing")  # not needed, so not opened
    for file in layout.rglob("*.jpg"):
        file.rename(layout / file.name)
    assert fingerprints(load_ham10000(archive)) == fingerprints(load_ham10000(layout))
    assert load_split(archive, split="test", split_scheme=None)[1:] == ("ham10000-v1", "test")


def test_another_process_may_unpack_the_same_files_first(
    layout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = shutil.make_archive(str(tmp_path / "archive"), "zip", layout)
    unpack = folders._unpack

    def unpack_twice(file: Path, temporary: Path) -> None:
        unpack(file, temporary)
        shutil.copytree(temporary, temporary.with_name(temporary.name.partition(".")[0]))

    monkeypatch.setattr(folders, "_unpack", unpack_twice)
    assert len(load_ham10000(archive)["train"]) == 7
    assert [path.suffix for path in (tmp_path / "cache" / "skinvision").iterdir()] == [""]


def test_a_path_inside_an_archive_leads_nowhere_else(layout: Path, tmp_path: Path) -> None:
    picture = next(layout.rglob("*.jpg"))
    write_zip(tmp_path / "evil.zip", {"../../../escaped.jpg": picture, "/etc/escaped.jpg": picture, "run.sh": b"echo"})
    with pytest.raises(DataError, match=r"holds no HAM10000_metadata\.csv"):
        load_ham10000(tmp_path / "evil.zip")
    assert [p for p in tmp_path.rglob("escaped.jpg") if "cache" not in p.parts] == []
    assert not list(tmp_path.rglob("run.sh"))


@pytest.mark.parametrize(
    ("at", "value", "reason"),
    [
        (None, b"", "not a zip file"),
        (8, b"\x09\0", "compression|Deflate64"),
        (6, b"\x01\0", "password"),
        (14, b"crc!", "CRC"),
    ],
    ids=["damaged", "Deflate64", "encrypted", "bad CRC"],
)
def test_an_archive_that_cannot_be_unpacked_is_named_and_leaves_nothing_behind(
    tmp_path: Path, at: int | None, value: bytes, reason: str
) -> None:
    path = write_zip(tmp_path / "broken.zip", {"HAM10000_metadata.csv": b"image_id,lesion_id,dx\n" * 50})
    content = bytearray(path.read_bytes())
    if at is None:
        content = content[:60]
    else:  # a field of the local header, and the same two bytes further in the directory at the end
        directory = content.index(b"PK\1\2") + 2 + at
        content[at : at + len(value)] = content[directory : directory + len(value)] = value
    path.write_bytes(content)
    with pytest.raises(
        DataError, match=rf"broken\.zip cannot be unpacked here \(.*({reason}).*\).* give the folder"
    ) as caught:
        load_ham10000(path)
    assert "\n" not in str(caught.value)
    assert list((tmp_path / "cache" / "skinvision").iterdir()) == []


def test_names_that_this_system_cannot_have_are_the_archive_s_fault(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {f"{'a' * 300}.jpg": b"x"})
    with pytest.raises(DataError, match=r"a\.zip cannot be unpacked here \(File name too long\); "):
        load_ham10000(path)
    with pytest.raises(DataError, match=r"there is no folder .*nowhere\.zip; give a folder"):
        load_ham10000(tmp_path / "nowhere.zip")


def test_a_cache_that_cannot_be_written_is_not_the_data_s_fault(
    layout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = shutil.make_archive(str(tmp_path / "archive"), "zip", layout)
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr("datasets.config.HF_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(DataError, match=r"cannot write .*file.*: Not a directory; set HF_HOME to a folder"):
        load_ham10000(archive)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("datasets.config.HF_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(shutil, "copyfileobj", full)
    with pytest.raises(DataError, match=r"cannot write .*cache.*: No space left on device; set HF_HOME"):
        load_ham10000(archive)
    monkeypatch.setattr("skinvision_hf.data.hub_source.load_dataset", full)
    with pytest.raises(DataError, match=r"cannot write the cache of user/name \(No space .*set HF_HOME"):
        load_ham10000("user/name")
