"""Frozen dataclasses that travel through JSON: what was measured, and how sure that is."""

import types
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from skinvision_hf.errors import DataError

R = TypeVar("R", bound="Record")


class Record:
    """Base of frozen dataclasses whose fields are numbers, text, other records, and tuples and dictionaries of them.

    A field with a default is optional: JSON leaves it out while it has its default. Other keys are ignored.
    docs/metrics.md says what each field of the records in metrics.json means.
    """

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as a dictionary that JSON can hold."""
        return {
            field.name: _to_json(value)
            for field in fields(self)  # type: ignore[arg-type]  # only subclasses are dataclasses
            if (value := getattr(self, field.name)) != field.default
        }

    @classmethod
    def from_dict(cls: type[R], values: Mapping[str, Any]) -> R:
        """Read what `to_dict` wrote.

        Raises:
            DataError: If a field is missing or of a wrong type; the message names it.
        """
        return _read_record(cls, values, "")


@dataclass(frozen=True)
class Estimate(Record):
    """A number with its 95 % confidence interval.

    Attributes:
        value: The number on the images as they are; None where it is not defined, such as the AUC of a class without
            images.
        low: Lower end of the interval; None where there is none.
        high: Upper end.
        n: Number of images that the number is about.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int

    def __format__(self, spec: str) -> str:
        """The number and its interval, each in a format for numbers, such as `.0%`."""
        spec = spec or ".3f"
        if self.value is None:
            return "n/a"
        return f"{self.value:{spec}}" + ("" if self.low is None else f" ({self.low:{spec}} to {self.high:{spec}})")

    def __str__(self) -> str:
        return format(self)


def markdown_table(*rows: Sequence[object]) -> list[str]:
    """The lines of a Markdown table; the first row is its head."""
    head, *body = (f"| {' | '.join(map(str, row))} |" for row in rows)
    return [head, "|" + " --- |" * len(rows[0]), *body]


def _to_json(value: Any) -> Any:
    if isinstance(value, Record):
        return value.to_dict()
    if isinstance(value, Mapping):
        return {key: _to_json(item) for key, item in value.items()}
    return [_to_json(item) for item in value] if isinstance(value, tuple) else value


_hints = cache(get_type_hints)


def _read_record(cls: type[Any], values: Any, place: str) -> Any:
    if not isinstance(values, Mapping):
        raise DataError(f"{place or 'it'} is not a JSON object")
    found = {}
    for field in fields(cls):
        name = f"{place}.{field.name}" if place else field.name
        if field.name in values:
            found[field.name] = _read(_hints(cls)[field.name], values[field.name], name)  # type: ignore[arg-type]
        elif field.default is MISSING:
            raise DataError(f"{name} is missing")
    return cls(**found)


def _read(kind: Any, value: Any, place: str) -> Any:
    """Read a value as a record, `dict[str, ...]`, `tuple[..., ...]`, a literal, an optional one or a plain type."""
    origin, arguments = get_origin(kind), get_args(kind)
    if is_dataclass(kind):
        return _read_record(kind, value, place)  # type: ignore[arg-type]
    if origin in (Union, types.UnionType):
        if value is None and types.NoneType in arguments:
            return None
        return _read(next(a for a in arguments if a is not types.NoneType), value, place)
    if origin is dict and isinstance(value, Mapping):
        return {key: _read(arguments[1], item, f"{place}.{key}") for key, item in value.items()}
    if origin is tuple and isinstance(value, list):
        return tuple(_read(arguments[0], item, f"{place}[{k}]") for k, item in enumerate(value))
    if kind is float and type(value) in (int, float):
        return float(value)
    if (origin is Literal and value in arguments) or type(value) is kind:
        return value
    raise DataError(f"{place} is not valid")
