"""The columns of every data set here, and the checks that each source goes through."""

import hashlib
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from datasets import ClassLabel, Dataset, Features, Image, Value
from PIL.Image import Image as PillowImage
from tqdm.auto import tqdm

from skinvision_hf.data.images import open_image
from skinvision_hf.data.tables import refuse_unknown
from skinvision_hf.errors import DataError, ImageError, first_ten
from skinvision_hf.labels import CODES, code_of

__all__ = ["FEATURES", "clean_columns", "decode_image", "fingerprint", "make_dataset", "undecoded", "verify_images"]

TEXT = Value("string")
FEATURES = Features(
    {"image": Image(), "label": ClassLabel(names=list(CODES)), "image_id": TEXT, "lesion_id": TEXT}
    | {"age": Value("float32"), "sex": TEXT, "localization": TEXT}
)
MASK = {"mask": Image()}
DX_TYPE = {"dx_type": TEXT}

MISSING = ("", "nan", "na", "n/a", "none", "null", "unknown")
OLDEST = 130.0


def make_dataset(records: Sequence[dict[str, Any]], images: Sequence[Any], masks: Sequence[Any] | None) -> Dataset:
    """Check records and turn them into a data set in the order of their image_id.

    It has the columns of `FEATURES`, `dx_type`, and `mask` where there are masks.

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
    order = sorted(range(len(records)), key=lambda row: str(records[row]["image_id"]))
    records = [records[row] for row in order]
    repeated = [name for name, count in Counter(str(r["image_id"]) for r in records).items() if count > 1]
    if repeated:
        raise DataError(f"{len(repeated)} image_ids occur more than once: {first_ten(repeated)}; remove the extra rows")
    columns = clean_columns({name: [r.get(name) for r in records] for name in (*FEATURES, *DX_TYPE, "dx")})
    features = Features(FEATURES | DX_TYPE | ({} if masks is None else MASK))
    # Paths and bytes stay plain until the cast: encoding them one by one as images takes minutes.
    pictures = {"image": images} if masks is None else {"image": images, "mask": masks}
    for name, values in pictures.items():
        columns[name] = [values[row] for row in order]
    plain = {name: Value("string" if isinstance(values[0], str) else "binary") for name, values in pictures.items()}
    dataset = Dataset.from_dict(columns, features=Features(features | plain))
    for name in pictures:
        dataset = dataset.cast_column(name, Image())
    return dataset


def clean_columns(columns: dict[str, list[Any]], name: str = "the metadata") -> dict[str, list[Any]]:
    """Turn values by the columns of HAM10000's metadata (or None) into those of `FEATURES` and `DX_TYPE`, images aside.

    Raises:
        DataError: If a diagnosis is unknown, or an age is not a number.
    """
    dx = [_text(value) for value in columns["dx"]]
    refuse_unknown(dx, name)
    cleaned: dict[str, list[Any]] = {"label": [CODES.index(code) for code in map(code_of, dx) if code]}
    for column in ("image_id", "lesion_id"):
        cleaned[column] = [str(value) for value in columns[column]]
    for column in ("localization", "dx_type"):
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
        age = float(text or "nan")
    except ValueError as error:
        raise DataError(f"the age {text!r} of {image_id} is not a number; leave it empty if unknown") from error
    return age if math.isfinite(age) and 0 <= age <= OLDEST else None


def undecoded(dataset: Dataset) -> Dataset:
    """A data set whose images and masks stay files when rows are read, for `decode_image`."""
    for name in ("image", "mask"):
        if name in dataset.column_names:
            dataset = dataset.cast_column(name, Image(decode=False))
    return dataset


def decode_image(value: dict[str, Any], image_id: str) -> PillowImage:
    """Open an image from a column with the feature `Image(decode=False)`; see `skinvision_hf.data.images.open_image`.

    Raises:
        DataError: If it cannot be read or used.
    """
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
        raise DataError(
            f"{len(failures)} images cannot be read: {first_ten(failures)}; the first: {next(iter(failures.values()))}"
        )


def fingerprint(dataset: Dataset) -> str:
    """SHA-256, in hexadecimal, of the lines `image_id,lesion_id,label` of a split in its order."""
    columns = (dataset["image_id"][:], dataset["lesion_id"][:], dataset["label"][:])
    lines = "".join(f"{image},{lesion},{label}\n" for image, lesion, label in zip(*columns, strict=True))
    return hashlib.sha256(lines.encode()).hexdigest()
