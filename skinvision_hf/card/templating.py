"""The templates of the pages, which may use nothing that they were not given."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from huggingface_hub import constants

from skinvision_hf.data.split_schemes import duplicate_pairs, load_manifest
from skinvision_hf.errors import ModelError
from skinvision_hf.evaluation.bootstrap import LEVEL
from skinvision_hf.evaluation.metrics import metric_title
from skinvision_hf.labels import DIAGNOSES, DISCLAIMER

LICENCE = "cc-by-nc-4.0"
"""The licence of HAM10000, which the weights inherit."""

# The template of the model card is at the top of a checkout, and in `templates` once the package is built.
CHECKOUT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Links:
    """Where a model, the data set that it was trained on, and the Space that shows it are on the Hub, if they are."""

    model_id: str | None = None
    dataset_id: str | None = None
    space_id: str | None = None


NO_LINKS = Links()


@cache
def templates() -> jinja2.Environment:
    """The templates of the package, with what all of them may use; values are escaped in HTML, not in Markdown."""
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader("skinvision_hf"), jinja2.FileSystemLoader(CHECKOUT)]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=jinja2.select_autoescape(["html"]),
    )
    environment.filters |= {
        "interval": str,
        "short": lambda estimate: "" if estimate is None else f"{estimate:.2f}",
        "percent": lambda estimate: "" if estimate is None else f"{estimate:.0%}",
        "whole": lambda value: f"{value:,}",
        "count": lambda number, word: f"{number:,} {word}" + "s" * (number != 1),
        "metric_title": metric_title,
    }
    environment.globals |= {
        "diagnoses": DIAGNOSES,
        "disclaimer": DISCLAIMER,
        "duplicate_pairs": len(duplicate_pairs()),
        "ham10000_images": len(load_manifest()),
        "level": f"{LEVEL:.0%}",
    }
    return environment


def render_template(name: str, **values: Any) -> str:
    """Fill a template of the package, which may use these values, beside what all of them may.

    Raises:
        ModelError: If the template needs a value that there is not.
    """
    try:
        text = templates().get_template(name).render({"endpoint": constants.ENDPOINT} | values)
    except jinja2.UndefinedError as error:
        raise ModelError(
            f"{name} needs a value that this release does not have ({error}); evaluate the release again"
        ) from error
    # A condition that leaves something out leaves its empty lines.
    return re.sub(r"\n{3,}", "\n\n", text)
