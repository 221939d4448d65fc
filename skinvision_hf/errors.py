"""The package's own errors: one line each that names the remedy; commands print them without a traceback.

And those of Pillow, which say that an image is broken.
"""

import struct
import sys
from collections.abc import Callable, Sequence

__all__ = [
    "DECODE_ERRORS",
    "DataError",
    "HubError",
    "ImageError",
    "ModelError",
    "RunError",
    "SkinVisionError",
    "run_command",
]


DECODE_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    EOFError,
    RuntimeError,
    struct.error,
)
"""What Pillow's decoders raise on broken files; they validate little before they compute."""


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


def run_command(function: Callable[[Sequence[str] | None], int], argv: Sequence[str] | None = None) -> int:
    """Run a command's body and turn its errors into one line on standard error and an exit code.

    Args:
        function: The body; takes the arguments and returns an exit code.
        argv: The arguments, or None for those of the process.

    Returns:
        The body's own exit code, 2 for an error that the user can mend, 1 for a run or a disk that failed, 130 after
        Ctrl-C.

    Raises:
        OSError: If it is about no file, such as BrokenPipeError when the reader of the output went away.
    """
    try:
        return function(argv)
    except RunError as error:
        code, message = 1, f"error: {error}"
    except SkinVisionError as error:
        code, message = 2, f"error: {error}"
    except OSError as error:
        # Of others, such as a server's, nothing is known here; the reader of a pipe may go when it likes.
        if error.errno is None or isinstance(error, (ConnectionError, TimeoutError)):
            raise
        place = f" {error.filename}" if error.filename else ""
        code = 1
        message = f"error: cannot read or write{place}: {error.strerror or error}; check the disk and run again"
    except KeyboardInterrupt as error:
        code, message = 130, f"stopped. {error}".rstrip()
    print(message, file=sys.stderr)  # noqa: T201 - the one place where a command's error reaches the user
    return code
