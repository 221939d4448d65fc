"""Answers as a table on disk: CSV, JSON lines or Parquet, one row for each image."""

import argparse
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from skinvision_hf.labels import CODES

BATCH = 1000
# Of CSV and Parquet files, with their types. A prediction set is its codes with spaces between them.
COLUMNS = {
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


def table_path(text: str) -> Path:
    """The path of a table to be written, for argparse."""
    path = Path(text)
    if path.suffix.lower() not in (".csv", ".jsonl", ".parquet") or path.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is not the name of a table; it ends in .csv, .jsonl or .parquet")
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"there is no folder {path.parent}; make it first")
    return path


@contextmanager
def open_table(path: Path) -> Iterator[Callable[[dict[str, Any]], object]]:
    """Open a table and yield what adds an answer to it. A command that is stopped keeps its rows."""
    if path.suffix.lower() == ".jsonl":
        with path.open("w", encoding="utf-8") as file:
            yield lambda record: file.write(json.dumps(record) + "\n")
        return
    import pyarrow
    from pyarrow import csv, parquet

    schema = pyarrow.schema([(name, pyarrow.type_for_alias(kind)) for name, kind in COLUMNS.items()])
    rows: list[dict[str, Any]] = []
    with (csv.CSVWriter if path.suffix.lower() == ".csv" else parquet.ParquetWriter)(str(path), schema) as writer:

        def write_rows() -> None:
            writer.write_table(pyarrow.Table.from_pylist(rows, schema))
            rows.clear()

        def add(record: dict[str, Any]) -> None:
            rows.append(_flat(record))
            if len(rows) == BATCH:
                write_rows()

        try:
            yield add
        finally:
            write_rows()


def _flat(record: dict[str, Any]) -> dict[str, Any]:
    flat = {f"probability_{code}": value for code, value in record.get("probabilities", {}).items()}
    return record | flat | {"prediction_set": " ".join(record.get("prediction_set") or ()) or None}
