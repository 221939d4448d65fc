"""Files that appear whole or not at all, and texts that name no path of the machine that wrote them."""

import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from skinvision_hf.errors import DataError, ModelError, describe


def atomic_write(path: str | os.PathLike[str], content: str | bytes) -> Path:
    """Write a file, text as UTF-8, under a temporary name in its own folder, then rename it; make parent folders."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
        temporary.replace(path)
    except OSError as error:
        if error.errno:
            error.filename = str(path)  # the name that the user knows
        raise
    finally:
        temporary.unlink(missing_ok=True)
    return path


def exists(path: str) -> bool:
    """Whether a path leads to something; False for one that nothing can have, such as a name that is too long."""
    return os.path.exists(path)  # noqa: PTH110 - Path.exists raises then


def make_folder(path: str | os.PathLike[str]) -> Path:
    """Make the folder of a command's results early, so that a wrong path costs no hours; DataError if that fails."""
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise DataError(f"cannot write {describe(error, folder)}; choose another --output_dir") from error
    return folder


def write_json(path: str | os.PathLike[str], value: Any) -> Path:
    """Write a value as indented JSON, atomically; ValueError for NaN and infinities, which JSON does not have."""
    return atomic_write(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file of a release; ModelError if it is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelError(f"{path.parent} has no {path.name}; train and evaluate the release first") from error
    except ValueError as error:
        raise ModelError(f"{path} is not valid JSON ({error}); give an intact release") from error


def sha256(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def without_folders(argument: str) -> str:
    """Keep only the name of a path that leads out of the working folder; other text stays as it is.

    What is published says what was used, but not where it lay on some machine. The text is a setting or an argument of
    a command: `PATH`, `--flag=PATH`, or something else.
    """
    flag, equals, value = argument.partition("=") if argument.startswith("--") else ("", "", argument)
    path = Path(value)
    outside = path.is_absolute() or ".." in path.parts
    return flag + equals + (path.name if outside else value)
