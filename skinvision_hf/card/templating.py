"""The templates of the cards, which may use nothing that they were not given."""

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from skinvision_hf.metrics.estimates import Estimate

__all__ = ["render_template"]


def render_template(name: str, **values: Any) -> str:
    """Fill a template of the package.

    Args:
        name: File in `skinvision_hf/templates`.
        values: What the template may use; a name that is missing is an error and never an empty place.
    """
    environment = Environment(
        loader=PackageLoader("skinvision_hf"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # Markdown is no HTML, and all values come from our own files
    )
    environment.filters |= {"interval": str, "share": _share, "whole": lambda value: f"{value:,}"}
    return environment.get_template(name).render(values)


def _share(value: Estimate | float) -> str:
    """A number in [0, 1] as a percentage."""
    number = value.value if isinstance(value, Estimate) else value
    return "n/a" if number is None else f"{number:.1%}".replace("%", " %")
