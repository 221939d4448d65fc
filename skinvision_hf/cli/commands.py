"""What the commands of this package share: their argument types, and what they need beside the package's own needs."""

import argparse
import importlib.util

from skinvision_hf.errors import SkinVisionError

__all__ = ["positive", "require_training"]

TRAINING_LIBRARIES = ("accelerate", "jsonargparse", "psutil")


def positive(text: str) -> int:
    """A whole number of at least 1, for argparse."""
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{number} is too small; give at least 1")
    return number


def require_training() -> None:
    """Check that the libraries that only training needs are there.

    Raises:
        SkinVisionError: If they are not.
    """
    missing = [name for name in TRAINING_LIBRARIES if importlib.util.find_spec(name) is None]
    if missing:
        raise SkinVisionError(f'training needs {" and ".join(missing)}: pip install "skinvision-hf[train]"')
