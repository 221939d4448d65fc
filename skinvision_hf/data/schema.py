"""The columns of every data set here, and the checks that each source goes through."""

import hashlib
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from datasets import ClassLabel, Dataset, Features, Image, Value
from PIL.Image import Image as PillowImage
from tqdm.auto import tqdm

from skinvision_hf.data.images import open_image, printable
from skinvision_hf.data.tables import COLUMNS, code_of, column_of, columns_of, first_known, refuse_unknown
from skinvision_hf.errors import DataError, ImageError, first_ten
from skinvision_hf.labels import CODES

TEXT = Value("string")
FEATURES = Features(
    {"image": Image(), "label": ClassLabel(names=list(CODES)), "image_id": TEXT, "lesion_id": TEXT}
    | {"age": Value("float32"), "sex": TEXT, "localization": TEXT}
)
MASK = {"mask": Image()}
DX_TYPE = {"dx_type": TEXT}
PATIENT = {"patient_id": TEXT}

MISSING = ("", "nan", "na", "n/a", "none", "null", "unknown")
OLDEST = 130.0


def make_dataset(records: Sequence[dict[str, Any]], images: Sequence[Any], masks: Sequence[Any] | None) -> Dataset:
    """Check records and turn them into a data set as `unify` does.

    Args:
        records: A dictionary for each image, with the columns of HAM10000's metadata: image_id, lesion_id, dx, and,
            where known, dx_type, age, sex and localization.
        images: Path of each image, or its encoded bytes.
        masks: The same for lesion masks; None without masks.

    Raises:
        DataError: If there are no records, image_ids repeat, a diagnosis is unknown, or an age is not a number.
    """
    if not records:
        raise DataError("the data set has no images; check the path")
    names = [str(record["image_id"]) for record in records]
    if repeated := [name for name, count in Counter(names).items() if count > 1]:
        raise DataError(f"{len(repeated)} image_ids occur more than once: {first_ten(repeated)}; keep one of each")
    pairs = zip(names, images, strict=True)
    if odd := [printable(name) for name, image in pairs if not (_is_utf8(name) and _is_utf8(image))]:
        raise DataError(f"{len(odd)} paths of images are not UTF-8: {first_ten(odd)}; rename the files and folders")
    columns: dict[str, Sequence[Any]] = {"image": images} if masks is None else {"image": images, "mask": masks}
    known = [name for name in COLUMNS if name in records[0]]
    columns |= {name: [record[name] for record in records] for name in known}
    return unify(Dataset.from_dict(columns), "the metadata", masks=masks is not None)


def _is_utf8(path: str | bytes) -> bool:
    return isinstance(path, bytes) or path.encode("utf-8", "replace").decode() == path


def unify(dataset: Dataset, name: str, *, masks: bool = False) -> Dataset:
    """Bring rows into the columns `FEATURES`, `dx_type`, `patient_id` and, if asked for, `mask`: each image_id once.

    Copies on the Hub repeat images (13,354 rows for 10,015 images in `marmal88/skin_cancer`) and put them on both sides
    of their own splits, so repetitions and splits are both dropped.

    Args:
        dataset: With the columns image, image_id, lesion_id, `dx` or `label`, and, where known, patient_id, age, sex,
            localization, dx_type and mask, under any name of `skinvision_hf.data.tables.COLUMNS`.
        name: How messages call it.
        masks: Keep the column `mask`.

    Raises:
        DataError: If a column is missing, a diagnosis is unknown, or an age is not a number.
    """
    pictures = ["image", *(MASK if masks else ())]
    others = [column for column in dataset.column_names if column not in ("image", "mask")]
    found = {column: column_of(others, column) for column in COLUMNS if column != "dx"}
    labels = columns_of(others, "dx")
    missing = [column for column in pictures if column not in dataset.column_names]
    missing += [column for column in ("image_id", "lesion_id") if not found[column]] + ([] if labels else ["label"])
    if missing:
        problem = f"{name} has no column {' or '.join(missing)} (found: {', '.join(dataset.column_names)})"
        raise DataError(f"{problem}, so it cannot be used as HAM10000")
    nothing = [None] * len(dataset)
    values = {column: dataset[source][:] if source else nothing for column, source in found.items()}
    cleaned = _clean(values | {"dx": _labels(dataset, labels)}, name)
    dataset = dataset.select_columns(pictures)
    for column in pictures:  # also undecoded rows, paths, and plain bytes
        dataset = dataset.cast_column(column, Image())
    features = Features(FEATURES | DX_TYPE | PATIENT | (MASK if masks else {}))
    for column, content in cleaned.items():
        dataset = dataset.add_column(column, content, feature=features[column])
    first = {image_id: row for row, image_id in reversed(list(enumerate(cleaned["image_id"])))}
    return dataset.select_columns(list(features)).select([first[image_id] for image_id in sorted(first)])


def _labels(dataset: Dataset, columns: Sequence[str]) -> list[str]:
    """The names of the diagnoses: of each row, the first that is known."""
    named = []
    for column in columns:
        feature, values = dataset.features[column], dataset[column][:]
        named.append([feature.int2str(v) if isinstance(feature, ClassLabel) else _text(v) for v in values])
    return [first_known(row) for row in zip(*named, strict=True)]


def _clean(columns: dict[str, list[Any]], name: str) -> dict[str, list[Any]]:
    """Turn values by the keys of `COLUMNS` (or None) into those of `unify`, images aside."""
    refuse_unknown(columns["dx"], name)
    cleaned: dict[str, list[Any]] = {"label": [CODES.index(code) for code in map(code_of, columns["dx"]) if code]}
    for column in ("image_id", "lesion_id"):
        cleaned[column] = [str(value) for value in columns[column]]
    for column in ("localization", "dx_type", "patient_id"):
        cleaned[column] = [_text(value) or "unknown" for value in columns[column]]
    sexes = [_text(value).lower() or "unknown" for value in columns["sex"]]
    cleaned["sex"] = [{"m": "male", "f": "female"}.get(sex, sex) for sex in sexes]
    cleaned["age"] = list(map(_age, columns["age"], cleaned["image_id"]))
    return cleaned


def _text(value: Any) -> str:
    """A value as text; empty when it says that it is missing."""
    text = "" if value is None else str(value).strip()
    return "" if text.lower() in MISSING else text


def _age(value: Any, image_id: str) -> float | None:
    """An age in years; None when it is missing, also as -1, 999 or infinity."""
    text = _text(value)
    try:
        age = float(text.replace(",", ".") or "nan")
    except ValueError as error:
        raise DataError(f"the age {text!r} of {image_id} is not a number; leave it empty if unknown") from error
    return age if math.isfinite(age) and 0 <= age <= OLDEST else None


def undecoded(dataset: Dataset) -> Dataset:
    """A data set whose images and masks stay files when rows are read, for `decode_image`."""
    for name in {"image", "mask"} & set(dataset.column_names):
        dataset = dataset.cast_column(name, Image(decode=False))
    return dataset


def decode_image(value: dict[str, Any], image_id: str) -> PillowImage:
    """Open an image from a column with the feature `Image(decode=False)`; DataError if it cannot be read or used."""
    try:
        return open_image(value, name=f"the image {image_id}")
    except ImageError as error:
        raise DataError(str(error)) from error


def verify_images(dataset: Dataset, *, progress: bool = True) -> None:
    """Decode every image, and every mask where there are masks, once.

    Raises:
        DataError: If some cannot be read; counts all, names the first ten, and says what is wrong with the first.
    """
    failures: dict[str, str] = {}
    for row in tqdm(undecoded(dataset), desc="check images", unit="image", disable=not progress):
        try:
            for name in {"image", "mask"} & row.keys():
                decode_image(row[name], row["image_id"])
        except DataError as error:  # noqa: PERF203 - decoding takes a thousand times as long
            failures[row["image_id"]] = str(error)
    if failures:
        first = next(iter(failures.values()))
        raise DataError(f"{len(failures)} images cannot be read: {first_ten(failures)}; the first: {first}")


def fingerprint(dataset: Dataset) -> str:
    """SHA-256, in hexadecimal, of the lines `image_id,lesion_id,label` of a split in its order."""
    columns = (dataset["image_id"][:], dataset["lesion_id"][:], dataset["label"][:])
    lines = "".join(f"{image},{lesion},{label}\n" for image, lesion, label in zip(*columns, strict=True))
    return hashlib.sha256(lines.encode()).hexdigest()
