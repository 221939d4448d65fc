"""What the commands share: their parser, types of arguments, and checks that are quick since they need no library."""

import argparse
import importlib.util
import os
import re
import textwrap
from pathlib import Path

from skinvision_hf.config import DEFAULT_SCHEME, SPLIT_SCHEMES
from skinvision_hf.errors import DataError, ModelError, SkinVisionError
from skinvision_hf.labels import DISCLAIMER

__all__ = [
    "add_model_options",
    "add_split_scheme",
    "check_model",
    "check_source",
    "epilog",
    "is_main_process",
    "make_parser",
    "png",
    "positive",
    "require_training",
    "share",
]

HUB_ID = re.compile(r"[\w-][\w.-]*/[\w.-]+")
SYNTHETIC = re.compile(r"synthetic(\[:\d+\])?")
TRAINING_LIBRARIES = ("accelerate", "jsonargparse", "psutil")


def make_parser(name: str, description: str, *, example: str) -> argparse.ArgumentParser:
    """Make the parser of a command, whose help ends with an example and the disclaimer."""
    return argparse.ArgumentParser(
        prog=f"skinvision {name}".rstrip(),
        description=description,
        epilog=epilog(example),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def epilog(example: str) -> str:
    """What ends the help of a command."""
    return f"example:\n{textwrap.indent(example, '  ')}\n\n{textwrap.fill(DISCLAIMER, 100)}"


def add_model_options(parser: argparse.ArgumentParser, *, device: bool = False) -> None:
    """Add the options that say which release answers, and where it runs."""
    parser.add_argument("--model", metavar="REF", help="release folder or Hub id (default: the bundled release)")
    parser.add_argument("--revision", help="branch, tag or commit of a Hub id")
    if device:
        parser.add_argument("--device", help="torch device, such as cpu or cuda (default: the accelerator, if any)")


def add_split_scheme(parser: argparse.ArgumentParser) -> None:
    """Add the option that says how HAM10000 is split."""
    parser.add_argument(
        "--split_scheme",
        choices=SPLIT_SCHEMES,
        help=f"how images are split (default: as the data was prepared, else {DEFAULT_SCHEME})",
    )


def positive(text: str) -> int:
    """A whole number of at least 1, for argparse."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def share(text: str) -> float:
    """A number between 0 and 1, for argparse."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number between 0 and 1, such as 0.95")
    return value


def png(text: str) -> Path:
    """The path of a PNG file to be written, for argparse."""
    path = Path(text)
    if path.suffix.lower() != ".png" or path.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is not the name of a picture; give one that ends in .png")
    return path


def check_source(source: str) -> None:
    """Check that a source of images can be one, as far as that is quick.

    Raises:
        DataError: If it is a path to nothing.
    """
    if _leads_nowhere(source) and not SYNTHETIC.fullmatch(source):
        raise DataError(f"there is no file or folder {source}; check the path")


def check_model(ref: str | None) -> None:
    """Check that a reference to a release can be one, as far as that is quick.

    Raises:
        ModelError: If it is a path to nothing.
    """
    if ref is not None and _leads_nowhere(ref):
        raise ModelError(f"{ref} is neither a folder nor a Hub id such as user/name; check the path")


def _leads_nowhere(text: str) -> bool:
    return not HUB_ID.fullmatch(text) and not Path(text).exists()


def require_training() -> None:
    """Check that the libraries that only training needs are there.

    Raises:
        SkinVisionError: If they are not.
    """
    missing = [name for name in TRAINING_LIBRARIES if importlib.util.find_spec(name) is None]
    if missing:
        raise SkinVisionError(f'training needs {" and ".join(missing)}: pip install "skinvision-hf[train]"')


def is_main_process() -> bool:
    """Whether this is the one process, of those that a launcher started, that measures, writes and prints."""
    return int(os.environ.get("RANK", "0")) == 0
