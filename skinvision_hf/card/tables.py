"""The tables of a card, and how numbers look in them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from skinvision_hf.evaluation.bootstrap import Estimate

__all__ = ["Section", "Table", "interval", "percent", "precise", "table"]


@dataclass(frozen=True)
class Table:
    """A table of a card.

    Attributes:
        title: What it is about.
        header: Names of the columns.
        rows: Texts of the cells.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Section:
    """A measured section.

    Attributes:
        summary: The finding in plain English; empty when none was written.
        tables: Its numbers.
    """

    summary: str
    tables: tuple[Table, ...]


def table(title: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """Make a table of texts."""
    return Table(title, tuple(header), tuple(tuple(row) for row in rows))


def interval(estimate: Estimate | Mapping[str, Any] | None) -> str:
    """A number and its interval with the two digits that test sets of this size carry; empty for None."""
    if estimate is None:
        return ""
    e = _estimate(estimate)
    if e.value is None:
        return "n/a"
    return f"{e.value:.2f}" if e.low is None else f"{e.value:.2f} ({e.low:.2f} to {e.high:.2f})"


def precise(estimate: Estimate | Mapping[str, Any]) -> str:
    """A number and its interval with three digits, as in the tables of the main metrics; for small numbers."""
    return str(_estimate(estimate))


def percent(estimate: Estimate | Mapping[str, Any]) -> str:
    """A share and its interval as percentages."""
    return _estimate(estimate).percent()


def _estimate(value: Estimate | Mapping[str, Any]) -> Estimate:
    return value if isinstance(value, Estimate) else Estimate(**value)
