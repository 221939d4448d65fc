"""Which images a command line names: files, folders, patterns and standard input."""

import glob
import sys
from collections.abc import Sequence
from pathlib import Path

from skinvision_hf.errors import ImageError

__all__ = ["STDIN", "check_images", "find_images"]

STDIN = "-"


def find_images(names: Sequence[str]) -> list[str]:
    """List the images that were named, those of a folder or pattern in alphabetical order.

    Args:
        names: Paths of files and of folders (which are searched with all folders in them), patterns as of a shell, and
            `-` for standard input. A path that exists is never a pattern.

    Raises:
        ImageError: If a folder or a pattern has no images.
    """
    return [image for name in names for image in _expand(name)]


def _expand(name: str) -> list[str]:
    path = Path(name)
    if name == STDIN or path.is_file():
        return [name]
    if path.is_dir():
        from skinvision_hf.data.folders import list_files
        from skinvision_hf.data.images import IMAGE_SUFFIXES

        found = [str(picture) for picture in list_files(path, IMAGE_SUFFIXES)]
    elif glob.has_magic(name):
        found = sorted(match for match in glob.iglob(name, recursive=True) if Path(match).is_file())  # noqa: PTH207 - of any root
    else:
        return [name]
    if not found:
        raise ImageError(f"there are no images in {name}; check the path")
    return found


def check_images(paths: Sequence[str]) -> bool:
    """Whether any of the images exists; otherwise names those that do not, before seconds go into loading a model."""
    if any(path == STDIN or Path(path).exists() for path in paths):
        return True
    for path in paths:
        print(f"error: there is no file {path}; check the path", file=sys.stderr)
    return False
