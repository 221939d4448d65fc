"""The data set that this package writes: Parquet files that hold the images, one or more for each split."""

import json
import os
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset, DatasetDict, concatenate_datasets, load_dataset
from datasets.exceptions import DatasetsError
from datasets.table import embed_table_storage
from tqdm.auto import tqdm

from skinvision_hf.config import SPLITS
from skinvision_hf.data.table import FEATURES, fingerprint, first_ten
from skinvision_hf.errors import DataError
from skinvision_hf.files import is_disk_full, write_json

__all__ = ["assert_replaceable", "is_prepared", "read_prepared", "recorded_split", "save_prepared", "write_parquet"]

RECORD_FILE = "prepared.json"
DX_TYPE_FILE = "dx_type.json"
OWN_NAMES = {RECORD_FILE, DX_TYPE_FILE, "data", "figures"}
# Half a gigabyte of images at their original size.
ROWS_PER_FILE = 2000
ROWS_PER_GROUP = 100


def is_prepared(folder: Path) -> bool:
    """Whether a folder is a data set that `save_prepared` wrote."""
    return (folder / RECORD_FILE).is_file()


def save_prepared(data: DatasetDict, folder: str | Path, *, split_scheme: str) -> Path:
    """Write splits with their images into a folder; it appears whole or not at all.

    Args:
        data: From `load_ham10000`. A column `dx_type` goes to a file of its own, since it leaks the label.
        folder: Where to; an older prepared data set there is replaced.
        split: Name of the split.

    Returns:
        The folder.

    Raises:
        DataError: If the folder holds something else, or cannot be written.
    """
    folder = Path(folder).resolve()  # of a link, what it leads to is replaced
    assert_replaceable(folder)
    temporary, old = (folder.with_name(f".{folder.name}.{os.getpid()}.{end}") for end in ("tmp", "old"))
    try:
        for name, split in data.items():
            write_parquet(split.remove_columns([c for c in ("dx_type",) if c in split.column_names]), temporary, name)
        record = {name: {"images": len(split), "fingerprint": fingerprint(split)} for name, split in data.items()}
        write_json(temporary / RECORD_FILE, {"schema_version": 1, "split": split_scheme, "parts": record})
        if all("dx_type" in split.column_names for split in data.values()):
            kinds = {k: v for p in data.values() for k, v in zip(p["image_id"][:], p["dx_type"][:], strict=True)}
            write_json(temporary / DX_TYPE_FILE, kinds)
        if folder.exists():
            folder.rename(old)
        temporary.rename(folder)
    except OSError as error:
        raise DataError(f"cannot write {folder} ({error.strerror or error}); choose another --output_dir") from error
    finally:
        if old.exists() and not folder.exists():
            old.rename(folder)
        for rest in (temporary, old):
            shutil.rmtree(rest, ignore_errors=True)
    return folder


def assert_replaceable(folder: Path) -> None:
    """Check that a folder is not there, is empty, or holds a prepared data set and nothing else.

    Raises:
        DataError: If it holds something else, which writing there would delete.
    """
    if not folder.exists():
        return
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else {folder.name}
    if names and not is_prepared(folder):
        raise DataError(f"{folder} exists and is no prepared data set; choose another --output_dir")
    if others := sorted(names - OWN_NAMES):
        raise DataError(f"{folder} also holds {first_ten(others)}, which would be lost; move that away")


def write_parquet(dataset: Dataset, folder: Path, split: str) -> None:
    """Write a split as `data/<part>-*.parquet` with the images inside, a hundred at a time.

    Args:
        dataset: The split.
        folder: The data set's folder.
        part: Name of the split.
    """
    target = folder / "data"
    target.mkdir(parents=True, exist_ok=True)
    files = max(1, -(-len(dataset) // ROWS_PER_FILE))
    with tqdm(total=len(dataset), desc=f"write {split}", unit="image") as bar:
        for number in range(files):
            rows = dataset.shard(files, number, contiguous=True).with_format("arrow")
            path = target / f"{split}-{number:05d}-of-{files:05d}.parquet"
            with pq.ParquetWriter(path, dataset.features.arrow_schema) as writer:
                for batch in rows.iter(ROWS_PER_GROUP):
                    table = pa.Table.from_batches(batch.to_batches()).cast(dataset.features.arrow_schema)
                    writer.write_table(embed_table_storage(table))
                    bar.update(table.num_rows)


def recorded_split(folder: Path) -> str:
    """The name of the split in which a prepared data set was written.

    Raises:
        DataError: If its record is damaged.
    """
    return _read_record(folder)[0]


def _read_record(folder: Path) -> tuple[str, dict[str, int]]:
    """The split, and how many images each part has."""
    try:
        record = json.loads((folder / RECORD_FILE).read_text(encoding="utf-8"))
        return str(record["split"]), {name: record["parts"][name]["images"] for name in SPLITS}
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise DataError(f"the {RECORD_FILE} of {folder} is damaged; prepare the data again") from error


def read_prepared(folder: Path, *, masks: bool) -> Dataset:
    """Read all splits of a prepared data set as one; Arrow files in the cache of the datasets library back it.

    Raises:
        DataError: If it is incomplete, or has no masks and they are asked for.
    """
    _, sizes = _read_record(folder)
    files = {name: [str(f) for f in sorted((folder / "data").glob(f"{name}-*.parquet"))] for name in SPLITS}
    if not all(files.values()):
        raise DataError(f"{folder} has lost files of a split; prepare the data again")
    try:
        data = load_dataset("parquet", data_files=files)
    except (pa.ArrowException, DatasetsError, ValueError, OSError) as error:
        if is_disk_full(error):
            raise DataError(f"no space left for the cache of {folder}; free some, or set HF_HOME") from error
        raise DataError(
            f"the files of {folder} cannot be read ({type(error).__name__}); prepare the data again"
        ) from error
    if {name: len(split) for name, split in data.items()} != sizes:
        raise DataError(f"the files of {folder} are not those that it was written with; prepare the data again")
    dataset = concatenate_datasets([data[name] for name in SPLITS])
    if masks and "mask" not in dataset.column_names:
        raise DataError(f"{folder} was prepared without masks; prepare it with --masks")
    dataset = dataset.select_columns([*FEATURES, *(["mask"] if masks else [])])
    kinds = folder / DX_TYPE_FILE
    known = json.loads(kinds.read_text(encoding="utf-8")) if kinds.is_file() else {}
    names = dataset["image_id"][:]
    dataset = dataset.add_column("dx_type", [known.get(name, "unknown") for name in names])
    return dataset.select(sorted(range(len(names)), key=names.__getitem__))
