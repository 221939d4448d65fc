"""The data set that this package writes: Parquet files that hold the images, one or more for each split."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset, DatasetDict, concatenate_datasets
from PIL import Image
from tqdm.auto import tqdm

from skinvision_hf.config import SPLITS
from skinvision_hf.data.folders import list_files
from skinvision_hf.data.hub_source import read_shards
from skinvision_hf.data.images import MIN_SIDE, encode
from skinvision_hf.data.schema import DX_TYPE, FEATURES, decode_image, fingerprint, undecoded
from skinvision_hf.errors import DataError, describe, first_ten
from skinvision_hf.files import write_json

RECORD_FILE = "prepared.json"
DX_TYPE_FILE = "dx_type.json"
OWN_NAMES = {RECORD_FILE, DX_TYPE_FILE, "data", "figures"}
ROWS_PER_FILE = 2000  # half a gigabyte of images at their original size
ROWS_PER_GROUP = 100


def is_prepared(source: str | Path) -> bool:
    """Whether a folder is a data set that `save_prepared` wrote."""
    return (Path(source) / RECORD_FILE).is_file()


def save_prepared(data: DatasetDict, folder: str | Path, *, split_scheme: str) -> Path:
    """Write splits with their images into a folder; it appears whole or not at all.

    Args:
        data: From `load_ham10000`. A column `dx_type` goes to a file of its own, since it leaks the label.
        folder: Where to; an older prepared data set there is replaced.
        split_scheme: Name of the split scheme of `data`.

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
            write_parquet(split.remove_columns([c for c in DX_TYPE if c in split.column_names]), temporary, name)
        record = {name: {"images": len(split), "fingerprint": fingerprint(split)} for name, split in data.items()}
        write_json(temporary / RECORD_FILE, {"schema_version": 2, "split_scheme": split_scheme, "splits": record})
        if all("dx_type" in split.column_names for split in data.values()):
            kinds = {k: v for d in data.values() for k, v in zip(d["image_id"][:], d["dx_type"][:], strict=True)}
            write_json(temporary / DX_TYPE_FILE, kinds)
        if folder.exists():
            folder.rename(old)
        temporary.rename(folder)
    except OSError as error:
        raise DataError(f"cannot write {describe(error, folder)}; choose another --output_dir") from error
    finally:
        if old.exists() and not folder.exists():
            old.rename(folder)
        for rest in (temporary, old):
            shutil.rmtree(rest, ignore_errors=True)
    return folder


def assert_replaceable(folder: Path) -> None:
    """Raise DataError if a folder holds anything but a prepared data set, which writing there would delete."""
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if (names or folder.is_file()) and not is_prepared(folder):
        raise DataError(f"{folder} exists and is not a prepared data set; choose another --output_dir")
    if others := sorted(names - OWN_NAMES):
        raise DataError(f"{folder} also holds {first_ten(others)}, which would be lost; move that away")


def write_parquet(dataset: Dataset, folder: Path, split: str) -> None:
    """Write a split as `data/<split>-*.parquet` below `folder` with the images inside, a hundred at a time."""
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
                    writer.write_table(_with_bytes(table))
                    bar.update(table.num_rows)


def _with_bytes(table: pa.Table) -> pa.Table:
    """Put the files into a table that may only name their paths, which are never URLs or patterns."""
    for name in {"image", "mask"} & set(table.column_names):
        files, field = table[name].to_pylist(), table.field(name)
        for file in files:
            file["bytes"] = file["bytes"] or Path(file["path"]).read_bytes()
            file["path"] = file["path"] and Path(file["path"]).name
        table = table.set_column(table.column_names.index(name), field, pa.array(files, field.type))
    return table


def read_record(folder: Path) -> tuple[str, dict[str, str]]:
    """The split scheme of a prepared data set, and the fingerprint of each split; DataError if they are damaged."""
    try:
        record = json.loads((folder / RECORD_FILE).read_text(encoding="utf-8"))
        return str(record["split_scheme"]), {name: record["splits"][name]["fingerprint"] for name in SPLITS}
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise DataError(f"the {RECORD_FILE} of {folder} is damaged; prepare the data again") from error


def read_prepared(source: str, *, masks: bool, **_: Any) -> Dataset:
    """Read all splits of a prepared data set as one."""
    folder = Path(source)
    splits = []
    for name, expected in read_record(folder)[1].items():
        files = [path for path in list_files(folder / "data", (".parquet",)) if path.name.startswith(f"{name}-")]
        if not files:
            raise DataError(f"{folder} has lost the files of the split {name}; prepare the data again")
        splits.append(read_shards(files))
        if fingerprint(splits[-1]) != expected:
            raise DataError(f"the files of {folder} are not those that it was written with; prepare the data again")
    dataset = concatenate_datasets(splits)
    if masks and "mask" not in dataset.column_names:
        raise DataError(f"{folder} was prepared without masks; prepare it with --masks")
    dataset = dataset.select_columns([*FEATURES, *(["mask"] if masks else [])])
    kinds = folder / DX_TYPE_FILE
    known = json.loads(kinds.read_text(encoding="utf-8")) if kinds.is_file() else {}
    names = dataset["image_id"][:]
    dataset = dataset.add_column("dx_type", [known.get(name, "unknown") for name in names])
    return dataset.select(np.argsort(names))


def shrink_images(data: DatasetDict, max_side: int) -> DatasetDict:
    """Scale images and masks down to sides of at most `max_side` pixels, for trials on small machines.

    Images that are no larger stay as they are; others become JPEG files of quality 95.

    Raises:
        DataError: If images would become too small to be classified.
    """

    def shrink(row: dict[str, Any]) -> dict[str, Any]:
        return {k: _shrunk(row[k], row["image_id"], max_side, mask=k == "mask") for k in ("image", "mask") if k in row}

    # Files and not pixels, so that images which stay as they are keep their bytes.
    return DatasetDict({name: undecoded(split).map(shrink, features=split.features) for name, split in data.items()})


def _shrunk(file: dict[str, Any], name: str, max_side: int, *, mask: bool) -> dict[str, Any]:
    image = decode_image(file, name)
    if max(image.size) <= max_side:
        return file
    image = image.convert("L") if mask else image
    image.thumbnail((max_side, max_side), Image.Resampling.NEAREST if mask else Image.Resampling.LANCZOS)
    if min(image.size) < MIN_SIDE:
        raise DataError(f"the image {name} would have a side of {min(image.size)} pixels; choose a larger --max_side")
    return {"bytes": encode(image, "PNG" if mask else "JPEG", quality=95), "path": None}
