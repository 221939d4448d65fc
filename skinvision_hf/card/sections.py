"""The optional sections of metrics.json as tables: what was measured is shown, what was not is said to be missing."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from skinvision_hf.card.explanations import read_explanations
from skinvision_hf.card.tables import Section, Table, interval, percent, precise, table
from skinvision_hf.evaluation.conformal import COVERAGE
from skinvision_hf.evaluation.metrics import metric_title
from skinvision_hf.labels import CODES, diagnosis
from skinvision_hf.ood.typicality import REJECTED_SHARE

__all__ = ["read_sections"]

Raw = Mapping[str, Any]

# All metrics of a group are in metrics.json; these are the ones that fit on a page.
GROUP_METRICS = (
    *("balanced_accuracy", "macro_f1", "mean_auc", "accuracy"),
    *("melanoma_sensitivity", "melanoma_specificity"),
)
ERRORS = {
    "ece": "Expected calibration error",
    "overconfidence": "Stated certainty less share of right answers",
    "classwise_ece": "The same for each diagnosis, averaged",
    "brier_score": "Brier score",
    "log_loss": "Log loss",
}
DETECTORS = {
    "maximum_logit": "maximum logit",
    "energy": "energy",
    "mahalanobis": "Mahalanobis distance",
    "neighbours": "distance to the nearest neighbours",
    "vim": "ViM",
}
# Shares of the images that the model answers, for the table of what is gained when it may leave the others.
ANSWERED = (1.0, 0.9, 0.8, 0.7, 0.5)


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
        "decision_rules": _decision_rules,
        "subgroups": _subgroups,
        "guard": _guard,
        "explanations": read_explanations,
    }
    return {
        name: Section(metrics[name].get("summary", ""), tuple(read(metrics[name])))
        for name, read in readers.items()
        if name in metrics
    }


def _calibration(section: Raw) -> Iterable[Table]:
    before, after = section["before"], section["after"]
    header = ("error (0 is best)", "as trained", f"calibrated (temperature {section['temperature']:.2f})")
    chance = section.get("chance", {})
    rows = [
        (title, precise(before[name]), precise(after[name]), _chance(chance, name))
        for name, title in ERRORS.items()
        if name in before
    ]
    yield table("Over all images", (*header, "a perfectly calibrated model: mean (95th percentile)"), rows)
    by_class = [
        (diagnosis(code).name, precise(before["per_class"][code]), precise(after["per_class"][code])) for code in CODES
    ]
    yield table("Calibration error of each diagnosis", ("diagnosis", *header[1:]), by_class)


def _chance(chance: Raw, name: str) -> str:
    """What a perfectly calibrated model would show; empty where that was not measured, or means nothing."""
    return f"{chance[name]['mean']:.3f} ({chance[name]['high']:.3f})" if name in chance else ""


def _conformal(section: Raw) -> Iterable[Table]:
    header = (
        *("truth on the list, asked for", "promised for", "truth on the list", "each lesion counted once"),
        "length of the list",
    )
    rows = [
        (
            f"{entry['target']:.0%}",
            "each diagnosis" if entry["class_conditional"] else "all images together",
            percent(entry["coverage"]),
            percent(entry["lesion_coverage"]) if "lesion_coverage" in entry else "",
            interval(entry["mean_size"]),
        )
        for entry in section["sets"]
    ]
    yield table("Over all images", header, rows)
    both = [_promise(section, class_conditional=True), _promise(section, class_conditional=False)]
    by_class = [
        (diagnosis(code).name, *(cell for sets in both for cell in _coverage(sets["per_class"][code])))
        for code in CODES
    ]
    columns = ("promised for each: truth on the list", "length", "promised for all: truth on the list", "length")
    yield table(f"By diagnosis, {COVERAGE:.0%} asked for", ("diagnosis", *columns), by_class)


def _promise(section: Raw, *, class_conditional: bool) -> Raw:
    for entry in section["sets"]:
        if entry["target"] == COVERAGE and entry["class_conditional"] is class_conditional:
            return entry
    raise KeyError(f"sets with the target {COVERAGE}")


def _coverage(entry: Raw) -> tuple[str, str]:
    return percent(entry["coverage"]), interval(entry["mean_size"])


def _operating_points(section: Raw) -> Iterable[Table]:
    rates = ("sensitivity", "specificity", "precision", "negative_predictive_value")
    for task, title in (("malignant", "Malignant or benign"), ("melanoma", "Melanoma or anything else")):
        entry = section[task]
        rows = [
            (f"{p['fixed']} {p['level']:.0%}", f"{p['threshold']:.3g}", *(percent(p[rate]) for rate in rates))
            for p in entry["points"]
        ]
        title = f"{title}: AUC {interval(entry['auc'])}, {entry['prevalence']:.0%} of the images"
        yield table(title, ("threshold chosen for", "threshold", *map(metric_title, rates)), rows)
    risk = section["abstention"]["risk"]
    points = [min(range(len(risk["x"])), key=lambda k: abs(risk["x"][k] - share)) for share in ANSWERED]
    left = [
        (f"{risk['x'][k]:.0%}", f"{risk['y'][k]:.0%} ({risk['low'][k]:.0%} to {risk['high'][k]:.0%})") for k in points
    ]
    yield table("When the least certain images are left to a person", ("images answered", "answers wrong"), left)


def _decision_rules(section: Raw) -> Iterable[Table]:
    names = tuple(section["rules"][0]["test"])
    rows = [
        (rule["name"], f"{rule['exponent']:g}", *(interval(rule["test"][name]) for name in names))
        for rule in section["rules"]
    ]
    yield table("Rules chosen on validation, on test images", ("rule", "exponent", *map(metric_title, names)), rows)


def _subgroups(section: Raw) -> Iterable[Table]:
    header = ("images", "lesions", *map(metric_title, GROUP_METRICS))
    for attribute, groups in section["groups"].items():
        rows = [
            (
                group["name"] + (" (small)" if group["small"] else ""),
                f"{group['images']:,}",
                f"{group['lesions']:,}",
                *(interval(group["metrics"][name]) for name in GROUP_METRICS),
            )
            for group in groups
        ]
        yield table(f"By {attribute}", (attribute, *header), rows)
    gaps = [
        (
            attribute,
            metric_title(gap["metric"]),
            gap["best"],
            gap["worst"],
            interval(gap["difference"]),
            "no" if gap["excludes_zero"] else "yes",
            f"{gap['p_value']:.2g}" if "p_value" in gap else "",
        )
        for attribute, entries in section["gaps"].items()
        for gap in entries
        if gap["metric"] in GROUP_METRICS
    ]
    header = (
        *("by", "metric", "best group", "worst group", "difference", "interval includes 0"),
        "p (shuffled groups)",
    )
    yield table("Largest gaps between groups", header, gaps)


def _guard(section: Raw) -> Iterable[Table]:
    rows = [
        (kind, interval(entry["auroc"]), percent(entry["fpr95"]), percent(entry["accepted"]))
        for kind, entry in section["far"].items()
    ]
    rows += [(f"{kind} (ambiguous)", "", "", percent(e)) for kind, e in section["ambiguous_accepted"].items()]
    missed = f"taken for lesions when {1 - REJECTED_SHARE:.0%} of lesions pass"
    title = f"Other pictures; {percent(section['kept'])} of the test images pass"
    yield table(title, ("pictures", "AUROC", missed, "pass the guard"), rows)
    compared = [
        (
            DETECTORS.get(name, name),
            interval(entry["auroc"]),
            percent(entry["fpr95"]),
            "kept" if name == section["method"] else "",
        )
        for name, entry in section["comparison"].items()
    ]
    yield table(
        "Ways to tell, compared on validation images, every second one with hairs or a ruler drawn on it",
        ("detector", "AUROC", missed, ""),
        compared,
    )
    severities = sorted({e["severity"] for e in section["shifted"]} - {0})
    for name, title in (("accuracy", "Right answers"), ("accepted", "Images that pass the guard")):
        cells = {(e["shift"], e["severity"]): percent(e[name]) for e in section["shifted"]}
        shifts = [shift for shift, severity in cells if severity == severities[0]]
        changed = [(shift, *(cells[shift, severity] for severity in severities)) for shift in shifts]
        header = ("change", *(f"severity {severity}" for severity in severities))
        subject = f"{section['shifted'][0]['accuracy']['n']} test images, drawn by lot and changed"
        yield table(f"{title} among {subject}; unchanged: {cells['none', 0]}", header, changed)
