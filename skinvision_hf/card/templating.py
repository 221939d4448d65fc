"""The templates of the cards, which may use nothing that they were not given."""

import re
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, FileSystemLoader, PackageLoader, StrictUndefined, UndefinedError

from skinvision_hf.card.tables import interval
from skinvision_hf.errors import ModelError
from skinvision_hf.evaluation.bootstrap import LEVEL
from skinvision_hf.evaluation.metrics import metric_title

__all__ = ["render_template"]

# The template of the model card is at the top of a checkout, and in `templates` once the package is built.
CHECKOUT = Path(__file__).parents[2]


def render_template(name: str, **values: Any) -> str:
    """Fill a template of the package.

    Args:
        name: File in `skinvision_hf/templates`, or at the top of the checkout.
        values: What the template may use, beside `level`, which is that of all intervals; a name that is missing is an
            error and never an empty place.

    Raises:
        ModelError: If the template asks for a value that there is not.
    """
    environment = Environment(
        loader=ChoiceLoader([PackageLoader("skinvision_hf"), FileSystemLoader(CHECKOUT)]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # Markdown is no HTML, and all values come from our own files
    )
    environment.filters |= {
        "interval": str,
        "short": interval,
        "whole": lambda value: f"{value:,}",
        "count": _count,
        "metric_title": metric_title,
    }
    try:
        text = environment.get_template(name).render({"level": f"{LEVEL:.0%}"} | values)
    except UndefinedError as error:
        raise ModelError(
            f"{name} asks for a value that this release does not have ({error}); write the release again with this "
            "version of skinvision_hf"
        ) from error
    # What a condition leaves out leaves its empty lines; Markdown needs one at most.
    return re.sub(r"\n{3,}", "\n\n", text)


def _count(number: int, word: str) -> str:
    """A number of things: 1 epoch, 2 epochs."""
    return f"{number:,} {word}" + ("" if number == 1 else "s")
