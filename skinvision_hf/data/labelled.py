"""Any labelled images as a data set to evaluate on: a folder for each class, or a table of labels."""

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from datasets import Dataset

from skinvision_hf.data.folders import TABLE_SUFFIXES, Pictures, list_files, read_places, shown
from skinvision_hf.data.images import IMAGE_SUFFIXES
from skinvision_hf.data.schema import FEATURES, PATIENT, make_dataset
from skinvision_hf.data.tables import Table, code_of, is_table, refuse_unknown
from skinvision_hf.errors import DataError, first_ten
from skinvision_hf.labels import CODES


def load_labelled(source: str | Path, *, skip_unknown: bool = False) -> Dataset:
    """Load labelled images.

    Args:
        source: A folder with one folder of images for each class, named by any name of a diagnosis; or a table (.csv,
            .tsv, .tab) with a column `image` (a path or an image_id) and either a column `label` or a column of 0 and 1
            for each diagnosis, as in the ISIC challenges; or a folder or zip file that holds one such table and the
            images. Names of columns and diagnoses that the ISIC Archive uses are known. A column `lesion_id` groups
            photographs of one lesion; without it each image counts as a lesion of its own.
        skip_unknown: Leave out images whose label is none of the seven diagnoses, instead of refusing them.

    Returns:
        The columns of `skinvision_hf.data.FEATURES`, and `patient_id`, which is "unknown" where the table has none.

    Raises:
        DataError: If nothing is found, images are missing or there twice, or a label is unknown; offenders are counted
            and named.
    """
    path = Path(source)
    if not path.exists():
        raise DataError(f"there is no {path}; give a table of labels, or a folder with one folder for each class")
    if is_table(path):
        # The images lie below the table's folder or, when none does, in folders beside it.
        nearby = (Pictures([f], depth=d) for f, d in ((path.parent, None), (path.resolve().parent.parent, 1)))
        records, files = _from_table(Table.read(path), nearby, skip_unknown=skip_unknown)
    elif path.is_dir() or path.suffix.lower() == ".zip":
        records, files = read_places(path, lambda folders: _from_folders(path, folders, skip_unknown=skip_unknown))
    else:
        raise DataError(f"{path} is neither a folder, a zip file nor a table ({', '.join(TABLE_SUFFIXES)})")
    if skip_unknown:
        kept = [row for row, record in enumerate(records) if code_of(record["dx"])]
        records, files = [records[row] for row in kept], [files[row] for row in kept]
    remedy = "correct the labels, or leave these images out with --skip_unknown"
    refuse_unknown([record["dx"] for record in records], str(path), remedy)
    _refuse_twice([record["image_id"] for record in records], files)
    return make_dataset(records, files, None).select_columns([*FEATURES, *PATIENT])


def _refuse_twice(names: Sequence[str], files: Sequence[str]) -> None:
    """Refuse a file under several names, such as `a/x.jpg` and `./a/x.jpg` or a link, which would count twice."""
    names_of = defaultdict(list)
    for name, file in zip(names, files, strict=True):
        names_of[os.path.realpath(file)].append(name)
    if twice := [" = ".join(same) for same in names_of.values() if len(same) > 1]:
        raise DataError(f"{len(twice)} images are there under several names: {first_ten(twice)}; keep one of each")


def holds_labels(folders: Sequence[Path]) -> bool:
    """Whether folders hold a table of labels, or folders named after diagnoses."""
    return bool(_tables(folders) or _from_classes(folders))


# How the names of lesion masks end, which may lie beside their images.
MASKS = ("_segmentation", "_superpixels", "_mask")
Rows = tuple[list[dict[str, str]], list[str]]
"""Records as `make_dataset` takes them, and the file of each image."""


def _from_folders(source: Path, folders: Sequence[Path], *, skip_unknown: bool) -> Rows:
    """By a table at the top, else by folders of classes, else by a table further down."""
    tables = _tables(folders)
    at_top = bool(tables) and tables[0].parent in folders
    if not at_top and (rows := _from_classes(folders)):
        return rows
    if len(tables) == 1:
        return _from_table(Table.read(tables[0]), [Pictures(folders)], skip_unknown=skip_unknown)
    if tables:
        raise DataError(
            f"{source} holds several tables of labels: {first_ten(map(shown, tables))}; name the one to use"
        )
    named = f"folders of images named after the diagnoses ({', '.join(CODES)})"
    raise DataError(f"{source} holds no CSV file with labels, and no {named}")


def _tables(folders: Sequence[Path]) -> list[Path]:
    """The tables of labels in the first folder that has some, those nearest to its top only."""
    for folder in folders:
        tables = [path for path in list_files(folder, TABLE_SUFFIXES) if Table.read(path, head_only=True).has_labels]
        if tables:
            top = min(len(path.parts) for path in tables)
            return [path for path in tables if len(path.parts) == top]
    return []


def _from_classes(folders: Sequence[Path]) -> Rows | None:
    """Images in folders named after their diagnosis; None when no folder is."""
    records, files = [], []
    for folder in map(_inner, folders):
        for file in list_files(folder, IMAGE_SUFFIXES):
            name = file.relative_to(folder).with_suffix("").as_posix()
            if "/" in name and not name.endswith(MASKS):
                records.append({"image_id": name, "lesion_id": name, "dx": name.partition("/")[0]})
                files.append(str(file))
    return (records, files) if any(code_of(record["dx"]) for record in records) else None


def _inner(folder: Path) -> Path:
    """Where the folders of classes lie: zip files often hold them in a folder of their own."""
    parents = {path.relative_to(folder).parts[:-1] for path in list_files(folder, IMAGE_SUFFIXES)}
    tops = {parts[0] for parts in parents if parts}
    if len(tops) == 1 and () not in parents and not code_of(top := tops.pop()):
        return _inner(folder / top)
    return folder


def _from_table(table: Table, places: Iterable[Pictures], *, skip_unknown: bool) -> Rows:
    """The images of a table, from the first place that has any of them."""
    records = [record for record in table.records() if code_of(record["dx"]) or not skip_unknown]
    files = []
    pictures = next((place for place in places if any(place.find(r["image_id"]) for r in records)), Pictures([]))
    for record in records:
        name = record["image_id"]
        beside = os.path.join(table.path.parent, name)  # noqa: PTH118
        here = os.path.isfile(beside)  # noqa: PTH113 - of names that no file can have, False
        file = beside if here else pictures.find(name)
        files.append(file or "")
        record["lesion_id"] = record.get("lesion_id") or name
    if missing := [record["image_id"] for record, file in zip(records, files, strict=True) if not file]:
        gone = f"{len(missing)} of {len(records)} images of {table.name} are not on disk: {first_ten(missing)}"
        raise DataError(f"{gone}; give the folder that holds both the table and the images, or correct the names in it")
    return records, files
