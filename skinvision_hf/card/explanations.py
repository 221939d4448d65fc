"""The section `explanations` of metrics.json as tables."""

from collections.abc import Iterable, Mapping
from typing import Any

from skinvision_hf.card.tables import Table, interval, table
from skinvision_hf.explain.collecting import NO_NETWORK, TRAINED
from skinvision_hf.explain.controls import CENTRE, NOISE, RANDOMISATIONS
from skinvision_hf.explain.localisation import MEASURES
from skinvision_hf.explain.report import ROAD, TITLES
from skinvision_hf.labels import CODES, diagnosis

__all__ = ["read_explanations"]

Raw = Mapping[str, Any]

CONTROL_NAMES = {CENTRE: "a blob in the centre", NOISE: "noise"}
RANDOM_NAMES = {"classifier": "classifier random", "all": "all layers random"}
OUTCOMES = {"correct": "right answers", "incorrect": "wrong answers"}


def read_explanations(section: Raw) -> Iterable[Table]:
    """Make the tables: where maps lie, beside controls; whether they depend on the weights; and by diagnosis."""
    test, favourite = section["test"], section["favourite"]
    maps = {(entry["map"], entry["network"]): entry for entry in test["maps"]}
    methods = [name for name, network in maps if network == TRAINED]
    rows = [(_name(name, favourite), *_scores(maps[name, TRAINED])) for name in methods]
    rows += [(title, *_scores(maps[name, NO_NETWORK])) for name, title in CONTROL_NAMES.items()]
    title = f"Where the heat lies, on {test['images']:,} test images of {test['lesions']:,} lesions"
    yield table(title, ("map", *TITLES.values()), rows)

    alike = [
        (_name(name, favourite), *(interval(maps[name, what]["rank_correlation"]) for what in RANDOMISATIONS))
        for name in methods
    ]
    header = ("map", *(RANDOM_NAMES.get(what, what) for what in RANDOMISATIONS))
    yield table("Likeness to the map of a random network (rank correlation; 0 is best)", header, alike)

    chosen = maps[favourite, TRAINED]
    groups = [(diagnosis(code).name, chosen["per_class"][code]) for code in CODES]
    groups += [(title, chosen["by_outcome"][name]) for name, title in OUTCOMES.items()]
    by_group = [
        (title, f"{group[MEASURES[0]]['n']:,}", *(interval(group[name]) for name in MEASURES))
        for title, group in groups
    ]
    columns = [TITLES[name] for name in MEASURES]
    yield table(f"{favourite} by diagnosis and by outcome", ("images of", "images", *columns), by_group)


def _scores(entry: Raw) -> list[str]:
    return [*(interval(entry[name]) for name in MEASURES), interval(entry[ROAD])]


def _name(method: str, favourite: str) -> str:
    return f"**{method}** (best on validation)" if method == favourite else method
