"""Any labelled images as a data set to evaluate on: a folder for each class, or a CSV file."""

import csv
from pathlib import Path

from datasets import Dataset

from skinvision_hf.data.folder import IMAGE_SUFFIXES
from skinvision_hf.data.table import FEATURES, code_of, first_ten, make_dataset
from skinvision_hf.errors import DataError
from skinvision_hf.labels import CODES, DIAGNOSES

__all__ = ["load_labelled"]

ISIC_COLUMNS = tuple(d.isic for d in DIAGNOSES)
LABEL_COLUMNS = ("label", "dx", "diagnosis")


def load_labelled(source: str | Path, *, images: str | Path | None = None) -> Dataset:
    """Load labelled images.

    Args:
        source: A folder with one folder of images for each class, named by code, ISIC column or long name; or a CSV
            file with the column `image` (a path or an image_id) and either `label` or the ISIC one-hot columns MEL, NV,
            BCC, AKIEC, BKL, DF and VASC; or a folder with one such file, as the ISIC 2018 test set is unpacked. A
            column `lesion_id` groups photographs of one lesion.
        images: Folder of a CSV file's images; the file's own folder, and those below it, when None.

    Returns:
        The columns of `skinvision_hf.data.FEATURES`. Without lesion_ids each image counts as a lesion of its own.

    Raises:
        DataError: If nothing is found, images are missing, or a label is unknown; offenders are counted and named.
    """
    path = Path(source)
    if path.is_dir():
        tables = [file for file in sorted(path.glob("*.csv")) if _label_columns(file)]
        if not tables:
            return _from_folders(path)
        if len(tables) > 1:
            raise DataError(f"{path} holds several tables of labels: {first_ten(f.name for f in tables)}; name one")
        path = tables[0]
    if not path.is_file():
        raise DataError(f"there is no {path}; give a CSV file, or a folder with one folder of images for each class")
    return _from_table(path, Path(images) if images else path.parent)


def _from_folders(folder: Path) -> Dataset:
    folders = {child: code_of(child.name) for child in sorted(folder.iterdir()) if child.is_dir()}
    records, paths = [], []
    for child, code in folders.items():
        for file in sorted(child.rglob("*")) if code else ():
            if file.suffix.lower() in IMAGE_SUFFIXES:
                name = file.relative_to(folder).with_suffix("").as_posix()
                records.append({"image_id": name, "lesion_id": name, "dx": code})
                paths.append(str(file))
    if not records:
        raise DataError(
            f"{folder} holds no CSV file with labels, and no folders of images named after the diagnoses "
            f"({', '.join(CODES)})"
        )
    unknown = [child.name for child, code in folders.items() if code is None]
    if unknown:
        raise DataError(f"folders that are no diagnosis: {first_ten(unknown)}; known are {', '.join(CODES)}")
    return make_dataset(records, paths, None).select_columns(list(FEATURES))


def _label_columns(table: Path) -> list[str]:
    """The columns of a CSV file that hold the labels: one of names, or the seven of ISIC; none in other files."""
    with table.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        columns = next(csv.reader(file), [])
    if "image" not in columns and "image_id" not in columns:
        return []
    if set(ISIC_COLUMNS) <= set(columns):
        return list(ISIC_COLUMNS)
    return [name for name in LABEL_COLUMNS if name in columns][:1]


def _from_table(table: Path, folder: Path) -> Dataset:
    labels = _label_columns(table)
    if not labels:
        raise DataError(f"{table} needs a column image, and a column label or the columns {', '.join(ISIC_COLUMNS)}")
    if not folder.is_dir():
        raise DataError(f"there is no folder of images {folder}; check --images")
    rows = _read_rows(table, labels)
    known: dict[str, list[Path]] = {}
    for file in sorted(folder.rglob("*")):
        if file.suffix.lower() in IMAGE_SUFFIXES:
            known.setdefault(file.stem, []).append(file)
    records: list[dict[str, str]] = []
    paths: list[str] = []
    missing: list[str] = []
    for row in rows:
        name = _name(row)
        path = _find(name, folder, known)
        if path is None:
            missing.append(name)
            continue
        records.append({**row, "image_id": name, "lesion_id": row.get("lesion_id") or name, "dx": _label(row, labels)})
        paths.append(str(path))
    if missing:
        raise DataError(f"{len(missing)} of {len(rows)} images of {table} are not on disk: {first_ten(missing)}")
    return make_dataset(records, paths, None).select_columns(list(FEATURES))


def _find(name: str, folder: Path, known: dict[str, list[Path]]) -> Path | None:
    """The file of an image: at its path, or, for a name without a folder, the one file of that name; None without."""
    if (folder / name).is_file():
        return folder / name
    files = known.get(name.removesuffix(Path(name).suffix) if Path(name).suffix.lower() in IMAGE_SUFFIXES else name, [])
    if len(files) > 1:
        raise DataError(f"{folder} holds several images named {name}: {first_ten(map(str, files))}; give their paths")
    return files[0] if files else None


def _read_rows(table: Path, labels: list[str]) -> list[dict[str, str]]:
    try:
        with table.open(newline="", encoding="utf-8-sig") as lines:
            rows = list(csv.DictReader(lines))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{table} is no CSV file in UTF-8; save it again as CSV in that encoding") from error
    incomplete = [n for n, row in enumerate(rows, start=2) if not (_name(row) and all(row[c] for c in labels))]
    if incomplete:
        raise DataError(f"{table}: {len(incomplete)} rows are incomplete, the first in line {incomplete[0]}; mend them")
    return rows


def _name(row: dict[str, str]) -> str:
    """What a row calls its image."""
    return row.get("image") or row.get("image_id") or ""


def _label(row: dict[str, str], columns: list[str]) -> str:
    if len(columns) == 1:
        return row[columns[0]]
    try:
        chosen = [name for name in columns if float(row[name]) == 1]
    except ValueError:
        chosen = []
    if len(chosen) != 1:
        raise DataError(f"{_name(row)} has {len(chosen)} diagnoses in its ISIC columns; exactly one must be 1")
    return chosen[0]
