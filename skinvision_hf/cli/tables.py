"""Answers as a table on disk: CSV, JSON lines or Parquet, one row for each image."""

import argparse
import csv
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from skinvision_hf.labels import CODES

__all__ = ["Write", "open_table", "table_path"]

Write: TypeAlias = Callable[[dict[str, Any]], object]

BATCH = 1000
COLUMNS: dict[str, type] = {
    "path": str,
    "label": str,
    "confidence": float,
    "malignant_probability": float,
    "suspicious": bool,
    "in_distribution": bool,
    "prediction_set": str,
    **{f"probability_{code}": float for code in CODES},
    "error": str,
}
"""Of CSV and Parquet files. A prediction set is its codes with spaces between them."""


def table_path(text: str) -> Path:
    """The path of a table to be written, for argparse."""
    path = Path(text)
    if path.suffix.lower() not in WRITERS or path.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is not the name of a table; it ends in {', '.join(WRITERS)}")
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"there is no folder {path.parent}; make it first")
    return path


@contextmanager
def open_table(path: Path, *, total: int) -> Iterator[Write]:
    """Open a table and a progress bar; yield what adds an answer. A command that is stopped keeps its rows."""
    from tqdm import tqdm

    with WRITERS[path.suffix.lower()](path) as write, tqdm(total=total, unit="image", disable=None) as bar:

        def add(record: dict[str, Any]) -> None:
            write(record)
            bar.update()

        yield add


def _row(record: dict[str, Any]) -> dict[str, Any]:
    """One answer in the columns of a flat table."""
    members = record.get("prediction_set")
    flat = {f"probability_{code}": value for code, value in record.get("probabilities", {}).items()}
    return {name: (record | flat).get(name) for name in COLUMNS} | {
        "prediction_set": None if members is None else " ".join(members)
    }


@contextmanager
def _csv(path: Path) -> Iterator[Write]:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        yield lambda record: writer.writerow(_row(record))


@contextmanager
def _json_lines(path: Path) -> Iterator[Write]:
    with path.open("w", encoding="utf-8") as file:
        yield lambda record: file.write(json.dumps(record) + "\n")


@contextmanager
def _parquet(path: Path) -> Iterator[Write]:
    import pyarrow
    from pyarrow import parquet

    types = {str: pyarrow.string(), float: pyarrow.float64(), bool: pyarrow.bool_()}
    schema = pyarrow.schema([(name, types[kind]) for name, kind in COLUMNS.items()])
    rows: list[dict[str, Any]] = []
    with parquet.ParquetWriter(path, schema) as writer:

        def flush() -> None:
            writer.write_table(pyarrow.Table.from_pylist(rows, schema))
            rows.clear()

        def add(record: dict[str, Any]) -> None:
            rows.append(_row(record))
            if len(rows) == BATCH:
                flush()

        try:
            yield add
        finally:
            flush()


WRITERS = {".csv": _csv, ".jsonl": _json_lines, ".parquet": _parquet}
