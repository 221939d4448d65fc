"""Answers as a table on disk: CSV, JSON lines or Parquet, one row for each image."""

import argparse
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from skinvision_hf.labels import CODES

__all__ = ["open_table", "table_path"]

Add: TypeAlias = Callable[[dict[str, Any]], object]

BATCH = 1000
COLUMNS: dict[str, str] = {
    "path": "string",
    "label": "string",
    "confidence": "float64",
    "malignant_probability": "float64",
    "suspicious": "bool",
    "in_distribution": "bool",
    "prediction_set": "string",
    **{f"probability_{code}": "float64" for code in CODES},
    "error": "string",
}
"""Of CSV and Parquet files, with their types. A prediction set is its codes with spaces between them."""


def table_path(text: str) -> Path:
    """The path of a table to be written, for argparse."""
    path = Path(text)
    if path.suffix.lower() not in (".csv", ".jsonl", ".parquet") or path.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is not the name of a table; it ends in .csv, .jsonl or .parquet")
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"there is no folder {path.parent}; make it first")
    return path


@contextmanager
def open_table(path: Path, *, total: int) -> Iterator[Add]:
    """Open a table and a progress bar; yield what adds an answer. A command that is stopped keeps its rows."""
    from tqdm import tqdm

    kind = _json_lines if path.suffix.lower() == ".jsonl" else _columns
    with kind(path) as write, tqdm(total=total, unit="image", disable=None) as bar:

        def add(record: dict[str, Any]) -> None:
            write(record)
            bar.update()

        yield add


@contextmanager
def _json_lines(path: Path) -> Iterator[Add]:
    with path.open("w", encoding="utf-8") as file:
        yield lambda record: file.write(json.dumps(record) + "\n")


@contextmanager
def _columns(path: Path) -> Iterator[Add]:
    import pyarrow
    from pyarrow import csv, parquet

    schema = pyarrow.schema([(name, pyarrow.type_for_alias(kind)) for name, kind in COLUMNS.items()])
    rows: list[dict[str, Any]] = []
    with (csv.CSVWriter if path.suffix.lower() == ".csv" else parquet.ParquetWriter)(str(path), schema) as writer:

        def add(record: dict[str, Any] | None) -> None:
            if record is not None:
                rows.append(_flat(record))
            if record is None or len(rows) == BATCH:
                writer.write_table(pyarrow.Table.from_pylist(rows, schema))
                rows.clear()

        try:
            yield add
        finally:
            add(None)


def _flat(record: dict[str, Any]) -> dict[str, Any]:
    flat = {f"probability_{code}": value for code, value in record.get("probabilities", {}).items()}
    return record | flat | {"prediction_set": " ".join(record.get("prediction_set") or ()) or None}
