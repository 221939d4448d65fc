"""HAM10000 as a data set of the `datasets` library: on the Hub, downloaded by hand, or written by `save_to_disk`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset, concatenate_datasets, load_dataset
from datasets.exceptions import DatasetNotFoundError, DatasetsError

from skinvision_hf.data.folders import cached_folder, list_files
from skinvision_hf.data.schema import unify
from skinvision_hf.errors import DataError, describe, system_error

ARROW = "rows.arrow"
ROWS_PER_BATCH = 100


def is_hub_id(source: str) -> bool:
    """Whether a source looks like `owner/name` and is not a path."""
    return source.count("/") == 1 and not source.startswith((".", "/", "~")) and not Path(source).exists()


def read_hub(repo_id: str, *, masks: bool = False, revision: str | None = None) -> Dataset:
    """Load a data set from the Hub, at a branch, tag or commit, and bring it into this package's columns."""
    try:
        splits = load_dataset(repo_id, revision=revision)
    except DatasetNotFoundError as error:
        raise DataError(f"there is no folder {repo_id}, and no data set of this name on the Hub; check it") from error
    except (DatasetsError, ValueError, RuntimeError, OSError) as error:
        if refused := system_error(error):
            problem = f"cannot write the cache of {repo_id} ({describe(refused)})"
            raise DataError(f"{problem}; set HF_HOME to a folder with space that can be written") from error
        reason = f"{type(error).__name__}: {str(error).strip()}".partition("\n")[0]
        problem = f"there is no folder {repo_id}, and it cannot be loaded from the Hub ({reason})"
        raise DataError(f"{problem}; check the network, or give a folder") from error
    return unify(concatenate_datasets(list(splits.values())), repo_id, masks=masks)


def is_copy(source: str) -> bool:
    """Whether a folder, or folders in it, hold Parquet or Arrow files."""
    return Path(source).is_dir() and bool(_find_shards(Path(source)))


def read_copy(source: str, *, masks: bool, **_: Any) -> Dataset:
    """Read a folder of Parquet files, such as a data set of the Hub downloaded by hand, or one of `save_to_disk`."""
    return unify(read_shards(_find_shards(Path(source))), source, masks=masks)


def _find_shards(folder: Path) -> list[Path]:
    """The Parquet files, or else the Arrow files, and none that `datasets` cached beside them."""
    files = [f for f in list_files(folder, (".parquet", ".arrow"), depth=1) if not f.name.startswith("cache-")]
    return [file for file in files if file.suffix.lower() == ".parquet"] or files


def read_shards(files: Sequence[Path]) -> Dataset:
    """Read Arrow files, or Parquet files by way of an Arrow file in the cache, as one data set.

    Paths are taken as they are, which `load_dataset` does not do: it takes them for patterns. Damaged files and a cache
    that cannot be written raise DataError.
    """
    try:
        if parquet := files[0].suffix.lower() == ".parquet":
            cache = cached_folder(files, lambda target: _to_arrow(files, target / ARROW))
        shards = [cache / ARROW] if parquet else files
        return concatenate_datasets([Dataset.from_file(str(shard)) for shard in shards])
    except (pa.ArrowException, ValueError, OSError) as error:
        reason, folder = str(error).partition("\n")[0], files[0].parent
        raise DataError(f"the files of {folder} cannot be read ({reason}); download or prepare them again") from error


def _to_arrow(files: Sequence[Path], target: Path) -> None:
    schema = pq.read_schema(files[0])
    with target.open("wb") as sink, pa.ipc.new_stream(sink, schema) as writer:
        for file in files:
            with file.open("rb") as source:
                for batch in pq.ParquetFile(source).iter_batches(ROWS_PER_BATCH):
                    writer.write_table(pa.Table.from_batches([batch]).cast(schema))
