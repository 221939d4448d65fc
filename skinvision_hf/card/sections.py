"""The optional sections of metrics.json as tables: what was measured is shown, what was not is said to be missing."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from skinvision_hf.labels import diagnosis
from skinvision_hf.metrics.estimates import Estimate

__all__ = ["Section", "Table", "read_sections"]

Raw = Mapping[str, Any]


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


def read_sections(metrics: Raw) -> dict[str, Section]:
    """Read those of the known optional sections that metrics.json has.

    Args:
        metrics: The content of metrics.json.

    Returns:
        Sections by their key, such as `calibration`.

    Raises:
        KeyError: If a section lacks a field.
    """
    readers: dict[str, Callable[[Raw], Iterable[Table]]] = {
        "calibration": _calibration,
        "conformal": _conformal,
        "operating_points": _operating_points,
        "subgroups": _subgroups,
        "guard": _guard,
        "explanations": _anything,
    }
    return {
        name: Section(metrics[name].get("summary", ""), tuple(read(metrics[name])))
        for name, read in readers.items()
        if name in metrics
    }


def _calibration(section: Raw) -> Iterable[Table]:
    titles = {
        "ece": "Expected calibration error, 15 bins",
        "classwise_ece": "The same by diagnosis, averaged",
        "brier_score": "Brier score",
        "log_loss": "Log loss",
    }
    rows = [(title, _cell(section["before"][name]), _cell(section["after"][name])) for name, title in titles.items()]
    title = f"Before and after the temperature {section['temperature']:.3f}"
    yield _table(title, ("error (0 is best)", "before", "after"), rows)


def _conformal(section: Raw) -> Iterable[Table]:
    rows = [
        (
            f"{entry['target']:.0%}",
            "each diagnosis" if entry["class_conditional"] else "all images together",
            _cell(entry["coverage"]),
            _cell(entry["mean_size"]),
            _cell(entry["per_class"]["mel"]["coverage"]),
        )
        for entry in section["sets"]
    ]
    header = ("coverage asked for", "promised for", "coverage", "mean size of a set", "coverage of melanomas")
    yield _table("Prediction sets", header, rows)


def _operating_points(section: Raw) -> Iterable[Table]:
    rates = ("sensitivity", "specificity", "precision", "negative_predictive_value")
    for task in ("malignant", "melanoma"):
        entry = section[task]
        rows = [
            (f"{p['fixed']} {p['level']:.0%}", f"{p['threshold']:.4f}", *(_cell(p[rate]) for rate in rates))
            for p in entry["points"]
        ]
        codes = ", ".join(diagnosis(code).name for code in entry["codes"])
        title = f"{task.capitalize()} ({codes}) against the rest: AUC {_cell(entry['auc'])}"
        yield _table(title, ("fixed on validation", "threshold", *map(_words, rates)), rows)


def _subgroups(section: Raw) -> Iterable[Table]:
    for attribute, groups in section["groups"].items():
        names = list(groups[0]["metrics"]) if groups else []
        rows = [
            (
                group["name"] + (" (small)" if group["small"] else ""),
                f"{group['images']:,}",
                *(_cell(group["metrics"][name]) for name in names),
            )
            for group in groups
        ]
        yield _table(f"By {attribute}", (attribute, "images", *map(_words, names)), rows)
    gaps = [
        (
            attribute,
            _words(gap["metric"]),
            gap["best"],
            gap["worst"],
            _cell(gap["difference"]),
            _yes(gap["excludes_zero"]),
        )
        for attribute, entries in section["gaps"].items()
        for gap in entries
    ]
    header = ("by", "metric", "best group", "worst group", "difference", "interval excludes 0")
    yield _table("Largest gaps between groups", header, gaps)


def _guard(section: Raw) -> Iterable[Table]:
    far = [
        (kind, _cell(entry["auroc"]), _cell(entry["fpr95"]), _cell(entry["accepted"]))
        for kind, entry in section["far"].items()
    ]
    header = ("pictures", "AUROC", "false positive rate at 95 %", "let pass")
    yield _table(f"Other pictures, told apart by {_words(section['method'])}", header, far)
    shifted = [
        (_words(e["shift"]), str(e["severity"]), _cell(e["accuracy"]), _cell(e["accepted"])) for e in section["shifted"]
    ]
    yield _table("Changed test images", ("change", "severity", "accuracy", "let pass"), shifted)


def _anything(section: Raw) -> Iterable[Table]:
    """A section without a reader of its own: every estimate in it, under the path that leads to it."""
    yield _table("All numbers", ("what", "value"), [(path, _cell(value)) for path, value in _estimates(section)])


def _estimates(value: Any, path: tuple[str, ...] = ()) -> Iterable[tuple[str, Raw]]:
    if isinstance(value, Mapping) and {"value", "low", "high", "n"} <= value.keys():
        yield ", ".join(map(_words, path)), value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _estimates(item, (*path, key))


def _table(title: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    return Table(title, tuple(header), tuple(tuple(row) for row in rows))


def _cell(estimate: Raw) -> str:
    return str(Estimate(**estimate))


def _words(name: str) -> str:
    return name.replace("_", " ")


def _yes(value: bool) -> str:
    return "yes" if value else "no"
