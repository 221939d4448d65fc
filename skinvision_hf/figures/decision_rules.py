"""Picture of the trade between accuracy over all images and over the diagnoses."""

from pathlib import Path

from skinvision_hf.decision_rules import DecisionRulesReport
from skinvision_hf.figures.style import SPLIT_COLOURS, new_figure, save_figure

__all__ = ["plot_decision_rules"]

# Hollow and of different sizes, since two rules may be the same.
MARKERS = (("o", 40), ("^", 90), ("s", 150))


def plot_decision_rules(report: DecisionRulesReport, path: str | Path) -> Path:
    """Draw balanced accuracy against accuracy as answers lean to rare diagnoses more and more, and the chosen rules."""
    with new_figure(6, 5) as figure:
        axis = figure.subplots()
        for part, lines in report.curve.items():
            axis.plot(lines["accuracy"], lines["balanced_accuracy"], color=SPLIT_COLOURS[part], label=part)
        for rule, (marker, size) in zip(report.rules, MARKERS, strict=True):
            point = (rule.test["accuracy"].value or 0.0, rule.test["balanced_accuracy"].value or 0.0)
            label = f"{rule.name} (exponent {rule.exponent:g})"
            axis.scatter(*point, edgecolors="black", facecolors="none", marker=marker, s=size, zorder=3, label=label)
        axis.set(
            title="Answers that lean to rare diagnoses, or to frequent ones",
            xlabel="Accuracy (over images)",
            ylabel="Balanced accuracy (over diagnoses)",
        )
        axis.legend(fontsize=8)
        return save_figure(figure, path)
