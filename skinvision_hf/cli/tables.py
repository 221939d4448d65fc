"""Answers as a table on disk: CSV, JSON lines or Parquet, one row for each image."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from skinvision_hf.labels import CODES

SUFFIXES = (".csv", ".jsonl", ".parquet")
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


@contextmanager
def open_table(path: Path) -> Iterator[Callable[[dict[str, Any]], object]]:
    """Open a table and yield what adds an answer to it. A command that is stopped keeps its rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
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
