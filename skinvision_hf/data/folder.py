"""HAM10000 as it is downloaded: metadata, images and masks in folders or zip files."""

import csv
import hashlib
import os
import shutil
import zipfile
from pathlib import Path

import datasets
from datasets import Dataset
from tqdm.auto import tqdm

from skinvision_hf.data.table import first_ten, make_dataset
from skinvision_hf.errors import DataError

__all__ = ["METADATA_NAMES", "read_folder", "read_zips"]

METADATA_NAMES = ("HAM10000_metadata.csv", "HAM10000_metadata.tab", "HAM10000_metadata")
REQUIRED_COLUMNS = ("lesion_id", "image_id", "dx")
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
MASK_SUFFIX = "_segmentation"


def read_folder(folder: Path, *, masks: bool) -> Dataset:
    """Read a folder in the layout of the Dataverse or Kaggle downloads; images may lie in any folders below it.

    Args:
        folder: Holds a metadata file and the images, or their zip files.
        masks: Add the lesion masks, `<image_id>_segmentation.png`.

    Raises:
        DataError: If something is missing or wrong; all offenders are counted and the first ten named.
    """
    metadata = _find_metadata(folder)
    zips = sorted(folder.glob("*.zip"))
    if metadata is None and zips:
        return read_zips(zips, masks=masks)
    if metadata is None:
        raise DataError(
            f"{folder} holds no {METADATA_NAMES[0]} or .tab; give the folder with HAM10000's metadata and images"
        )
    records = _read_metadata(metadata)
    pictures = _find_pictures(folder)
    if zips and not set(pictures) & {record["image_id"] for record in records}:
        return read_zips([*zips, metadata], masks=masks)
    images = _locate(records, pictures, "")
    return make_dataset(records, images, _locate(records, pictures, MASK_SUFFIX) if masks else None)


def read_zips(files: list[Path], *, masks: bool) -> Dataset:
    """Unpack downloaded zip files once into the cache of the datasets library, then read them as a folder.

    Args:
        files: Zip files, and a metadata file if it lies beside them.
        masks: Add the lesion masks.

    Raises:
        DataError: If a file is damaged, the disk is full, or what they hold cannot be used.
    """
    stamps = "".join(f"{f.resolve()}|{f.stat().st_size}|{f.stat().st_mtime_ns}\n" for f in files)
    target = Path(datasets.config.HF_CACHE_HOME) / "skinvision" / hashlib.sha256(stamps.encode()).hexdigest()[:16]
    if not target.is_dir():
        temporary = target.with_name(f"{target.name}.{os.getpid()}.tmp")
        try:
            temporary.mkdir(parents=True)
            for file in files:
                _unpack(file, temporary)
            temporary.replace(target)
        except OSError as error:
            # Another process may have unpacked the same files meanwhile.
            if not target.is_dir():
                raise DataError(
                    f"cannot unpack into {target.parent} ({error.strerror}); set HF_HOME to another disk"
                ) from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return read_folder(target, masks=masks)


def _unpack(file: Path, target: Path) -> None:
    """Only pictures and metadata leave the archive, under their own names, so that no path in it can lead elsewhere."""
    if file.suffix.lower() != ".zip":
        shutil.copy(file, target / file.name)
        return
    try:
        with zipfile.ZipFile(file) as archive:
            wanted = [m for m in archive.infolist() if _is_wanted(m)]
            for member in tqdm(wanted, desc=f"unpack {file.name}", unit="file"):
                with archive.open(member) as source, (target / Path(member.filename).name).open("wb") as copy:
                    shutil.copyfileobj(source, copy)
    except zipfile.BadZipFile as error:
        raise DataError(f"{file} is damaged or incomplete; download it again") from error


def _is_wanted(member: zipfile.ZipInfo) -> bool:
    name = Path(member.filename)
    hidden = name.name.startswith(".") or "__MACOSX" in name.parts
    return not member.is_dir() and not hidden and (name.suffix.lower() in IMAGE_SUFFIXES or name.name in METADATA_NAMES)


def _find_metadata(folder: Path) -> Path | None:
    return next((folder / name for name in METADATA_NAMES if (folder / name).is_file()), None)


def _read_metadata(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            head = file.readline()
            file.seek(0)
            reader = csv.DictReader(file, delimiter="\t" if "\t" in head else ",")
            missing = [name for name in REQUIRED_COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise DataError(f"{path} has no column {' or '.join(missing)}; download HAM10000's metadata again")
            records = list(reader)
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no text file; download HAM10000's metadata again") from error
    incomplete = [number for number, r in enumerate(records, start=2) if not all(r[name] for name in REQUIRED_COLUMNS)]
    if incomplete:
        raise DataError(f"{path}: {len(incomplete)} rows are incomplete, the first in line {incomplete[0]}; mend them")
    return records


def _find_pictures(folder: Path) -> dict[str, Path]:
    """Pictures by their name without suffix. Copies under several folders, as on Kaggle, are the same file."""
    found: dict[str, Path] = {}
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            stem, suffix = os.path.splitext(name)  # noqa: PTH122 - pathlib is ten times as slow on as many names
            if suffix.lower() in IMAGE_SUFFIXES:
                found.setdefault(stem, Path(parent, name))
    return found


def _locate(records: list[dict[str, str]], pictures: dict[str, Path], suffix: str) -> list[str]:
    names = [record["image_id"] + suffix for record in records]
    missing = [name for name in names if name not in pictures]
    if missing:
        kind = "masks" if suffix else "images"
        raise DataError(
            f"{len(missing)} of {len(names)} {kind} in the metadata are not on disk: {first_ten(missing)}; "
            + ("download the segmentations too" if suffix else "download both image parts")
        )
    return [str(pictures[name]) for name in names]
