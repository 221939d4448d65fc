"""The columns of every data set here, and the checks that each source goes through."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from datasets import ClassLabel, Dataset, Features, Image, Value
from PIL import Image as Pillow
from tqdm.auto import tqdm

from skinvision_hf.errors import DECODE_ERRORS, DataError
from skinvision_hf.labels import CODES, DIAGNOSES

__all__ = ["FEATURES", "MASK", "code_of", "decode_image", "fingerprint", "first_ten", "make_dataset", "verify_images"]

FEATURES = Features(
    {
        "image": Image(),
        "label": ClassLabel(names=list(CODES)),
        "image_id": Value("string"),
        "lesion_id": Value("string"),
        "age": Value("float32"),
        "sex": Value("string"),
        "localization": Value("string"),
    }
)
MASK = {"mask": Image()}
DX_TYPE = {"dx_type": Value("string")}
UNKNOWN = "unknown"

UNREADABLE = (*DECODE_ERRORS, Pillow.DecompressionBombError)

# Names that other copies of the data give the diagnoses, in lower case without punctuation.
ALIASES = {
    "actinickeratoses": "akiec",
    "basalcellcarcinoma": "bcc",
    "benignkeratosislikelesions": "bkl",
    "benignkeratosis": "bkl",
    "dermatofibroma": "df",
    "melanoma": "mel",
    "melanocyticnevi": "nv",
    "melanocyticnevus": "nv",
    "vascularlesions": "vasc",
    "vascularlesion": "vasc",
} | {d.isic.lower(): d.code for d in DIAGNOSES}


def code_of(name: str) -> str | None:
    """The code of a diagnosis by its code, ISIC column or long name, or None when it is none of the seven."""
    plain = "".join(character for character in name.lower() if character.isalnum())
    return plain if plain in CODES else ALIASES.get(plain)


def first_ten(names: Iterable[str]) -> str:
    """The first ten names, and how many more there are."""
    names = list(names)
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")


def make_dataset(records: Sequence[dict[str, Any]], images: Sequence[Any], masks: Sequence[Any] | None) -> Dataset:
    """Check records and turn them into a data set in the order of their image_id.

    Args:
        records: One dictionary an image, with the columns of HAM10000's metadata as text: image_id, lesion_id, dx, and,
            where known, dx_type, age, sex and localization.
        images: Path of each image, or its encoded bytes.
        masks: The same for lesion masks; None without masks.

    Returns:
        The columns of `FEATURES`, `dx_type`, and `mask` where there are masks. Images are decoded when read.

    Raises:
        DataError: If there are no records, image_ids repeat, a diagnosis is unknown, or an age is no number.
    """
    if not records:
        raise DataError("the data set has no images; check the path")
    order = sorted(range(len(records)), key=lambda row: str(records[row]["image_id"]))
    records = [records[row] for row in order]
    repeated = [name for name, count in Counter(str(r["image_id"]) for r in records).items() if count > 1]
    if repeated:
        raise DataError(f"{len(repeated)} image_ids occur more than once: {first_ten(repeated)}; remove the extra rows")
    codes = [code_of(str(record["dx"])) for record in records]
    strange = sorted({str(r["dx"]) for r, code in zip(records, codes, strict=True) if code is None})
    if strange:
        raise DataError(f"unknown diagnoses: {first_ten(strange)}; known are {', '.join(CODES)}")
    columns: dict[str, Any] = {
        "image": [images[row] for row in order],
        "label": [CODES.index(code) for code in codes if code],
        "age": [_age(record) for record in records],
    }
    for name in ("image_id", "lesion_id"):
        columns[name] = [str(record[name]) for record in records]
    for name in ("sex", "localization", "dx_type"):
        columns[name] = [str(record.get(name) or UNKNOWN) for record in records]
    features = Features(FEATURES | DX_TYPE)
    if masks is not None:
        columns["mask"] = [masks[row] for row in order]
        features = Features(features | MASK)
    # Paths and bytes stay plain until the cast: encoding them one by one as images takes minutes.
    pictures = {name: columns[name] for name in ("image", "mask") if name in columns}
    plain = {name: Value("string" if isinstance(values[0], str) else "binary") for name, values in pictures.items()}
    dataset = Dataset.from_dict(columns, features=Features(features | plain))
    for name in pictures:
        dataset = dataset.cast_column(name, Image())
    return dataset


def _age(record: dict[str, Any]) -> float | None:
    text = str(record.get("age") if record.get("age") is not None else "").strip()
    if text.lower() in ("", "nan", "na", "none", UNKNOWN):
        return None
    try:
        return float(text)
    except ValueError as error:
        raise DataError(f"the age {text!r} of {record['image_id']} is no number; leave it empty if unknown") from error


def decode_image(value: dict[str, Any], image_id: str) -> Pillow.Image:
    """Decode an image as the datasets library does.

    Args:
        value: From a column with the feature `Image(decode=False)`: `path`, `bytes`, or both.
        image_id: How a message calls it.

    Raises:
        DataError: If it cannot be read.
    """
    try:
        return Image().decode_example(value)
    except UNREADABLE as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"the image {image_id} cannot be read ({reason}); download or extract it again") from error


def verify_images(
    dataset: Dataset, *, decode: Callable[[dict[str, Any], str], object] = decode_image, progress: bool = True
) -> None:
    """Decode every image and mask once.

    Args:
        dataset: With the columns `image` and `image_id`, and `mask` where there are masks.
        decode: What decodes them, as `decode_image` does.
        progress: Show a progress bar.

    Raises:
        DataError: If some cannot be read; counts all and names the first ten.
    """
    unreadable: list[str] = []
    for name in ("image", "mask"):
        if name not in dataset.column_names:
            continue
        rows = dataset.select_columns([name, "image_id"]).cast_column(name, Image(decode=False))
        bar = tqdm(rows, desc=f"check {name}s", unit="image", disable=not progress)
        unreadable += [row["image_id"] for row in bar if not _is_readable(decode, row[name], row["image_id"])]
    if unreadable:
        raise DataError(
            f"{len(unreadable)} images cannot be read: {first_ten(unreadable)}; download or extract them again"
        )


def _is_readable(decode: Callable[[dict[str, Any], str], object], value: dict[str, Any], image_id: str) -> bool:
    try:
        decode(value, image_id)
    except DataError:
        return False
    return True


def fingerprint(dataset: Dataset) -> str:
    """SHA-256, in hexadecimal, of the lines `image_id,lesion_id,label` of a split in its order."""
    columns = (dataset["image_id"][:], dataset["lesion_id"][:], dataset["label"][:])
    lines = "".join(f"{image},{lesion},{label}\n" for image, lesion, label in zip(*columns, strict=True))
    return hashlib.sha256(lines.encode()).hexdigest()
