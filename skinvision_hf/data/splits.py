"""One part of HAM10000, or labelled images, for commands that measure on either."""

from pathlib import Path

from datasets import Dataset

from skinvision_hf.data.folder import METADATA_NAMES
from skinvision_hf.data.ham10000 import load_ham10000, resolve_scheme, scheme_name
from skinvision_hf.data.labelled import load_labelled
from skinvision_hf.data.prepared import is_prepared
from skinvision_hf.errors import DataError

__all__ = ["load_split"]


def load_split(source: str | Path, *, split: str, split_scheme: str | None) -> tuple[Dataset, str, str]:
    """Load what a model is to be measured on.

    Args:
        source: Any source of `load_ham10000` or of `load_labelled`.
        part: train, validation or test; labelled images are always used whole.
        split: Name of the split of HAM10000; None for the source's own, see `load_ham10000`.

    Returns:
        The images, for HAM10000 with the column `dx_type`; the name of the split or of the labelled data; and the part.

    Raises:
        DataError: If the source cannot be found or used.
    """
    path = Path(source)
    if path.suffix.lower() == ".csv" or (path.is_dir() and any(path.iterdir()) and not _is_ham10000(path)):
        return load_labelled(path), path.stem, "all"
    split_scheme = resolve_scheme(source, split_scheme)
    data = load_ham10000(source, split_scheme=split_scheme, dx_type=True)
    if not len(data[split]):
        raise DataError(f"{source} has no images of the part {split} of {split_scheme}; choose another --split")
    return data[split], scheme_name(data, split_scheme), split


def _is_ham10000(folder: Path) -> bool:
    return is_prepared(folder) or any((folder / n).is_file() for n in METADATA_NAMES) or any(folder.glob("*.zip"))
