"""HAM10000 from a data set on the Hugging Face Hub, whatever its own splits are."""

from typing import Any

from datasets import ClassLabel, Dataset, concatenate_datasets, load_dataset
from datasets.exceptions import DatasetNotFoundError, DatasetsError

from skinvision_hf.data.table import DX_TYPE, FEATURES, MASK, code_of, first_ten
from skinvision_hf.errors import DataError
from skinvision_hf.files import is_disk_full
from skinvision_hf.labels import CODES

__all__ = ["read_hub", "unify"]


def read_hub(repo_id: str, *, masks: bool = False, revision: str | None = None) -> Dataset:
    """Load a data set from the Hub and bring it into this package's columns.

    Args:
        repo_id: Such as `marmal88/skin_cancer`, or a data set that this package published.
        masks: Add the column `mask`, which only data sets of this package have.
        revision: Branch, tag or commit.

    Raises:
        DataError: If it cannot be reached, or is no HAM10000.
    """
    try:
        splits = load_dataset(repo_id, revision=revision)
    except DatasetNotFoundError as error:
        raise DataError(f"there is no folder and no data set on the Hub named {repo_id}; check the name") from error
    except (DatasetsError, ValueError, RuntimeError, OSError) as error:
        if is_disk_full(error):
            raise DataError(f"no space left for the cache of {repo_id}; free some, or set HF_HOME") from error
        if isinstance(error, OSError):  # the Hub's own errors are among them
            raise DataError(
                f"cannot load {repo_id} from the Hub ({type(error).__name__}); check the network, or give a folder"
            ) from error
        reason = str(error).partition("\n")[0]
        raise DataError(
            f"{repo_id} cannot be loaded ({type(error).__name__}: {reason}); choose another copy"
        ) from error
    return unify(concatenate_datasets(list(splits.values())), repo_id, masks=masks)


def unify(dataset: Dataset, name: str, *, masks: bool = False) -> Dataset:
    """Bring rows into this package's columns: each image once, in the order of image_id.

    Copies on the Hub repeat images (13,354 rows for 10,015 images in `marmal88/skin_cancer`) and put them on both sides
    of their own splits, so repetitions and splits are both dropped.

    Args:
        dataset: With the columns image, image_id, lesion_id, `dx` (code or long name) or `label`, and, where known,
            age, sex, localization, dx_type and mask.
        name: How messages call it.
        masks: Keep the column `mask`.

    Raises:
        DataError: If a column is missing, or a diagnosis is unknown.
    """
    label = "dx" if "dx" in dataset.column_names else "label"
    wanted = ["image", "image_id", "lesion_id", label, *(["mask"] if masks else [])]
    missing = [column for column in wanted if column not in dataset.column_names]
    if missing:
        raise DataError(f"{name} has no column {' or '.join(missing)}, so it is no HAM10000 that can be used")
    first = {image_id: row for row, image_id in reversed(list(enumerate(dataset["image_id"][:])))}
    dataset = dataset.select([first[image_id] for image_id in sorted(first)])
    values = dataset[label][:]
    feature = dataset.features[label]
    if isinstance(feature, ClassLabel):
        values = feature.int2str(values)
    codes = [code_of(str(value)) for value in values]
    strange = sorted({str(v) for v, code in zip(values, codes, strict=True) if code is None})
    if strange:
        raise DataError(f"{name} has unknown diagnoses: {first_ten(strange)}; known are {', '.join(CODES)}")
    columns: dict[str, list[Any]] = {"label": [CODES.index(code) for code in codes if code]}
    for column in ("sex", "localization", "dx_type"):
        known = dataset[column][:] if column in dataset.column_names else [None] * len(dataset)
        columns[column] = [value or "unknown" for value in known]
    columns["age"] = dataset["age"][:] if "age" in dataset.column_names else [None] * len(dataset)
    dataset = dataset.select_columns([c for c in wanted if c != label])
    for column, content in columns.items():
        dataset = dataset.add_column(column, content, feature=(FEATURES | DX_TYPE)[column])
    features = type(FEATURES)(FEATURES | DX_TYPE | (MASK if masks else {}))
    return dataset.select_columns(list(features)).cast(features)
