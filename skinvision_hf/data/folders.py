"""The files of a source: listed without hidden ones, found by name, and unpacked from zip files into the cache."""

import errno
import filecmp
import hashlib
import lzma
import os
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TypeVar

from tqdm.auto import tqdm

from skinvision_hf.data.images import IMAGE_SUFFIXES
from skinvision_hf.errors import DataError, describe, first_ten

Result = TypeVar("Result")
TABLE_SUFFIXES = (".csv", ".tsv", ".tab")
ZIP_SUFFIX = ".zip"
# A table of Dataverse has lost its suffix in some downloads.
BARE_TABLE = "HAM10000_metadata"
# Folders that systems and programs leave beside the user's own.
SYSTEM_FOLDERS: tuple[str, ...] = ("__MACOSX", "__pycache__", "@eaDir", "#recycle", "@Recycle", "#snapshot")
SYSTEM_FOLDERS += ("$RECYCLE.BIN", "System Volume Information", "lost+found")
# A zip file in a zip file in a zip file; more than that is an attack.
MAX_DEPTH = 3
# The zip file that each folder in the cache was unpacked from.
_ARCHIVES: dict[Path, Path] = {}

# What `zipfile` raises on damaged, encrypted and differently compressed files.
CANNOT_UNPACK: tuple[type[Exception], ...] = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError)
CANNOT_UNPACK += (RuntimeError, ValueError, struct.error)
# Of names that this system cannot have, for which no other place for them helps.
NAME_ERRORS = (errno.ENAMETOOLONG, errno.EEXIST, errno.ENOTDIR, errno.EISDIR)


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name in SYSTEM_FOLDERS


def list_files(folder: Path, suffixes: Collection[str], *, depth: int | None = None) -> list[Path]:
    """List the files below a folder, sorted, without what is hidden; links to folders are followed.

    Suffixes are in lower case, and upper case is found too. `depth` is how many levels of folders below `folder` are
    looked into; None for all. DataError is raised if a folder cannot be read.
    """
    found: list[Path] = []
    seen: set[str] = set()
    for parent, folders, names in os.walk(folder, followlinks=True, onerror=_refuse):
        if (real := os.path.realpath(parent)) in seen:
            folders.clear()
            continue
        seen.add(real)
        deeper = len(Path(parent).parts) - len(folder.parts) != depth
        folders[:] = sorted(name for name in folders if deeper and not _is_hidden(name))
        found += [Path(parent, name) for name in sorted(names) if not _is_hidden(name) and _suffix(name) in suffixes]
    return found


def _refuse(error: OSError) -> None:
    raise DataError(f"cannot read {describe(error)}; check the path and its permissions") from error


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()  # noqa: PTH122 - pathlib is ten times as slow on as many names


class Pictures:
    """The pictures below some folders, `depth` levels deep, found by what tables call them."""

    def __init__(self, folders: Iterable[Path], *, depth: int | None = None) -> None:
        self._by_stem: dict[str, list[Path]] = {}
        for folder in folders:
            for path in list_files(folder, IMAGE_SUFFIXES, depth=depth):
                self._by_stem.setdefault(path.stem, []).append(path)

    def find(self, name: str) -> str | None:
        """The path of the picture with an image_id, a file name, or the end of a path, which then must match; or None.

        Several different files of one name raise DataError.
        """
        *parents, last = PurePosixPath(name.replace("\\", "/")).parts or ("",)
        parents = [part for part in parents if part != ".."]
        stem = last[: -len(_suffix(last))] if _suffix(last) in IMAGE_SUFFIXES else last
        found = [p for p in self._by_stem.get(stem, ()) if list(p.parts[-1 - len(parents) : -1]) == parents]
        found = [p for p in found if p.name == last] or found
        if not found:
            return None
        # Copies under two folders, as on Kaggle, are one image.
        if others := [p for p in found[1:] if not filecmp.cmp(found[0], p)]:
            named = first_ten(map(shown, (found[0], *others)))
            raise DataError(f"several images are named {name}: {named}; give their paths, or move the others away")
        return str(found[0])


def places(source: Path) -> Iterator[list[Path]]:
    """Yield the folders to look in for a source's files: the folder alone, then also what its zip files hold.

    A caller stops as soon as it has found them, since unpacking may take minutes.
    """
    folders = [source] if source.is_dir() else []
    if folders:
        yield folders
    if archives := list_files(source, (ZIP_SUFFIX,)) if folders else [source]:
        unpacked = {cached_folder([archive], partial(_unpack, archive)): archive for archive in archives}
        _ARCHIVES.update(unpacked)
        yield [*folders, *unpacked]


def shown(path: Path) -> str:
    """A path as the user knows it: `archive.zip: table.csv` for what was unpacked into the cache."""
    archives = (f"{archive}: {path.relative_to(at)}" for at, archive in _ARCHIVES.items() if path.is_relative_to(at))
    return next(archives, str(path))


def read_places(source: Path, read: Callable[[list[Path]], Result]) -> Result:
    """Read a source, a folder or a zip file, from its folder; when that raises DataError, from its zip files too."""
    problem = DataError(f"{source} is empty")
    for folders in places(source):
        try:
            return read(folders)
        except DataError as error:  # noqa: PERF203 - at most two places
            problem = error
    raise problem


def cached_folder(sources: Sequence[Path], make: Callable[[Path], None]) -> Path:
    """Have `make` fill a folder in the cache from files, once for as long as they stay the same."""
    import datasets  # takes a second, and listing files must not

    stamps = "".join(f"{f.resolve()}|{f.stat().st_size}|{f.stat().st_mtime_ns}\n" for f in sources)
    cache = Path(datasets.config.HF_CACHE_HOME) / "skinvision"
    target = cache / hashlib.sha256(os.fsencode(stamps)).hexdigest()[:16]
    if target.is_dir():
        return target
    temporary = target.with_name(f"{target.name}.{os.getpid()}.tmp")
    try:
        temporary.mkdir(parents=True)
        make(temporary)
        temporary.replace(target)
    except OSError as error:
        if error.errno is None:  # a decoder's, not the system's
            raise
        if error.filename and Path(error.filename) in sources:
            raise DataError(f"cannot read {describe(error)}; check its permissions") from error
        if not target.is_dir():  # as it is when another process has made the same folder meanwhile
            place = describe(error, error.filename or cache)
            raise DataError(f"cannot write {place}; set HF_HOME to a folder with space that can be written") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target


def _unpack(archive: Path, target: Path, origin: Path | None = None, depth: int = 1) -> None:
    """Unpack the pictures and tables of a zip file, and of zip files in it; errors name `origin`, the user's file."""
    origin = origin or archive
    try:
        with zipfile.ZipFile(archive) as opened:
            for member in tqdm([m for m in opened.infolist() if not m.is_dir()], desc=f"unpack {origin.name}"):
                path = _safe_path(member.filename, target)
                if path is None:
                    continue
                path.parent.mkdir(parents=True, exist_ok=True)
                with opened.open(member) as source, path.open("wb") as copy:
                    shutil.copyfileobj(source, copy)
                if path.suffix.lower() == ZIP_SUFFIX:
                    if depth < MAX_DEPTH:
                        _unpack(path, path.with_suffix(""), origin, depth + 1)
                    path.unlink()
    except CANNOT_UNPACK as error:
        number = getattr(error, "errno", None)
        if number and number not in NAME_ERRORS:  # the system's, not a decompressor's
            raise
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0] or type(error).__name__
        remedy = "download it again if it is damaged, or unpack it with another program and give the folder"
        raise DataError(f"{origin} cannot be unpacked here ({reason}); {remedy}") from error


def _safe_path(name: str, target: Path) -> Path | None:
    """Where a member goes, never outside of `target`; None for what is hidden or of no use."""
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    useful = parts and (_suffix(parts[-1]) in (*IMAGE_SUFFIXES, *TABLE_SUFFIXES, ZIP_SUFFIX) or parts[-1] == BARE_TABLE)
    return target.joinpath(*parts) if useful and not any(map(_is_hidden, parts)) else None
