"""The section `explanations` of metrics.json as tables."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from skinvision_hf.card.tables import Table, interval, table
from skinvision_hf.explain.collecting import NO_NETWORK, TRAINED
from skinvision_hf.explain.controls import CENTRE, NOISE, RANDOMISATIONS
from skinvision_hf.explain.localisation import MEASURES
from skinvision_hf.explain.report import ROAD, TITLES
from skinvision_hf.labels import CODES, diagnosis

__all__ = ["against_the_centre", "read_explanations"]

Raw = Mapping[str, Any]

# The criteria for readers who do not know their names.
PLAIN = {
    "pointing_game": "how often the hottest point is on the lesion",
    "energy_inside": "the share of the heat that is on the lesion",
    "iou": "the overlap of the hot area and the lesion (IoU)",
    "inside_outside_ratio": "how much hotter the lesion is than the rest",
    ROAD: "how much more probability goes with the hot pixels than with the cold ones (ROAD)",
}
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


def against_the_centre(section: Raw) -> str:
    """Say of each criterion whether the favourite beats a blob in the centre of every image, which knows no image."""
    maps = {(entry["map"], entry["network"]): entry for entry in section["test"]["maps"]}
    ours, blob = maps[section["favourite"], TRAINED], maps[CENTRE, NO_NETWORK]
    found = [_compare(name, ours, blob) for name in PLAIN if None not in (ours[name]["value"], blob[name]["value"])]
    verdicts = [
        f"{verdict} {', '.join(one.words for one in found if one.lead == lead)}"
        for verdict, lead in (("the map is ahead in", 1), ("the blob is ahead in", -1), ("they tie in", 0))
        if any(one.lead == lead for one in found)
    ]
    if not found:
        return ""
    text = (
        "A blob in the middle of every image is a baseline that looks at no pixel. The map's numbers against the "
        f"blob's: {'; '.join(verdicts)}."
    )
    if any(one.sure and one.lead > 0 for one in found):
        return text
    return text + " So nothing shows that these heat maps find lesions better than a guess at the middle does."


@dataclass(frozen=True)
class _Compared:
    """One criterion: in words with both numbers; 1 if the map leads, -1 if the blob does; and whether that is sure."""

    words: str
    lead: int
    sure: bool


def _compare(name: str, ours: Raw, blob: Raw) -> _Compared:
    """Compare by the interval of the difference from image to image, or by the two intervals where it is not known."""
    mine, other, difference = ours[name], blob[name], ours["over_centre"].get(name)
    numbers = f"{mine['value']:.2f} against {other['value']:.2f}"
    if difference:
        sure = difference["low"] is not None and not difference["low"] <= 0 <= difference["high"]
        return _Compared(f"{PLAIN[name]} ({numbers})", _sign(difference["value"]) if sure else 0, sure)
    sure = mine["low"] is not None and other["low"] is not None
    sure = sure and (mine["low"] > other["high"] or other["low"] > mine["high"])
    doubt = "" if sure else ", but the intervals overlap"
    return _Compared(f"{PLAIN[name]} ({numbers}{doubt})", _sign(mine["value"] - other["value"]), sure)


def _sign(number: float) -> int:
    return (number > 0) - (number < 0)


def _scores(entry: Raw) -> list[str]:
    return [*(interval(entry[name]) for name in MEASURES), interval(entry[ROAD])]


def _name(method: str, favourite: str) -> str:
    return f"**{method}** (best on validation)" if method == favourite else method
