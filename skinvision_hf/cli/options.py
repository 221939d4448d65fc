"""What the commands share: parsers, options, and types of arguments that are checked before a library is imported."""

import argparse
import importlib.util
import os
import re
import textwrap
from collections.abc import Callable
from pathlib import Path

from skinvision_hf.config import DEFAULT_SCHEME, SPLIT_SCHEMES, SPLITS, SYNTHETIC_SOURCE
from skinvision_hf.errors import DataError, ModelError, SkinVisionError
from skinvision_hf.files import exists
from skinvision_hf.labels import DISCLAIMER

HUB_ID = re.compile(r"[\w-][\w.-]*/[\w.-]+")
SHARE = re.compile(r"0?\.\d*[1-9]\d*")
TRAINING_LIBRARIES = ("accelerate", "jsonargparse", "onnx", "onnxruntime")
# What libraries read as whole numbers, without a word about the variable when it is something else.
HUB_NUMBERS = ("HF_HUB_DOWNLOAD_TIMEOUT", "HF_HUB_ETAG_TIMEOUT")
LAUNCH_NUMBERS = ("WORLD_SIZE", "RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_PORT", "OMP_NUM_THREADS")


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
    parser.add_argument(
        "--model", dest="ref", type=release, metavar="REF", help="release folder or Hub id (default: the bundled one)"
    )
    parser.add_argument("--revision", help="branch, tag or commit of a Hub id")
    if device:
        about = "device, such as cpu, cuda or mps (default: a GPU if one can be used, else the CPU)"
        parser.add_argument("--device", help=about)


def add_data_options(parser: argparse.ArgumentParser, about: str, *, required: bool = True) -> None:
    """Add the options that say which images are measured, and where the results go."""
    parser.add_argument("--data", dest="source", type=source, required=required, metavar="SOURCE", help=about)
    parser.add_argument("--split", choices=SPLITS, default="test", help="split of HAM10000 (default: %(default)s)")
    add_split_scheme(parser)
    parser.add_argument("--output_dir", required=True, type=Path, help="folder for the results")


def add_split_scheme(parser: argparse.ArgumentParser) -> None:
    """Add the option that says how HAM10000 is split."""
    parser.add_argument(
        "--split_scheme",
        choices=SPLIT_SCHEMES,
        help=f"split scheme (default: that of the prepared data, else {DEFAULT_SCHEME})",
    )


def hub_id(text: str) -> str:
    """A repository on the Hub."""
    if not HUB_ID.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a Hub id; write it as user/name")
    return text


def positive(text: str) -> int:
    """A whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def share(text: str) -> float:
    """A number between 0 and 1."""
    if not SHARE.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number between 0 and 1, such as 0.95")
    return float(text)


def output_file(*suffixes: str) -> Callable[[str], Path]:
    """The path of a file to be written, whose name ends in one of the suffixes."""

    def output(text: str) -> Path:
        path = Path(text)
        if path.is_dir():
            raise argparse.ArgumentTypeError(f"{text!r} is a folder; give a file name")
        if path.suffix.lower() not in suffixes:
            raise argparse.ArgumentTypeError(f"{text!r} is not a file name that ends in {' or '.join(suffixes)}")
        return path

    return output


def source(text: str) -> str:
    """A source of images: a path that exists, a Hub id, or `synthetic`."""
    if _leads_nowhere(text) and not re.fullmatch(SYNTHETIC_SOURCE, text):
        raise DataError(f"{text or '(empty)'} is neither a file nor a folder; check the path")
    return text


def release(text: str) -> str:
    """A reference to a release: a path that exists, or a Hub id."""
    if _leads_nowhere(text):
        raise ModelError(f"{text or '(empty)'} is neither a folder nor a Hub id such as user/name; check the path")
    return text


def _leads_nowhere(text: str) -> bool:
    return not text or (not HUB_ID.fullmatch(text) and not exists(text))


def images(text: str) -> Path:
    """A table or a folder of images."""
    if not text:
        raise DataError("the path is empty; name a table or a folder of images")
    return Path(text)


def require_training() -> None:
    """Raise SkinVisionError if a library is missing that only training needs."""
    missing = [name for name in TRAINING_LIBRARIES if importlib.util.find_spec(name) is None]
    if missing:
        raise SkinVisionError(f'training needs {" and ".join(missing)}: pip install "skinvision-hf[train]"')


def check_environment(*, launched: bool) -> None:
    """Raise SkinVisionError if a variable of the Hub, or of the launcher if `launched`, is not a whole number."""
    for name in HUB_NUMBERS + (LAUNCH_NUMBERS if launched else ()):
        value = os.environ.get(name, "1")
        if not re.fullmatch(r"-?\d+", value):
            problem = f"the environment variable {name} is {value!r}, which is not a whole number"
            raise SkinVisionError(f"{problem}; correct it, or run: unset {name}")


def is_main_process() -> bool:
    """Whether this is the one process, of those that a launcher started, that writes and prints."""
    return int(os.environ.get("RANK", "0")) == 0
