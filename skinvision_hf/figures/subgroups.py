"""A picture of one metric in every subgroup."""

from pathlib import Path

import numpy as np

from skinvision_hf.evaluation.subgroups import SMALL_GROUP, SubgroupReport
from skinvision_hf.figures.style import MUTED, PALETTE, new_figure, save_figure

__all__ = ["plot_subgroups"]


def plot_subgroups(report: SubgroupReport, path: str | Path, *, metric: str = "balanced_accuracy") -> Path:
    """Draw a metric and its interval in every subgroup; small groups are grey."""
    heights = [len(groups) for groups in report.groups.values()]
    with new_figure(7.5, 0.9 + 0.27 * sum(heights) + 0.35 * len(heights)) as figure:
        axes = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights, squeeze=False)[:, 0]
        for axis, (attribute, groups) in zip(axes, report.groups.items(), strict=True):
            for place, group in enumerate(groups):
                estimate = group.metrics[metric]
                value, low, high = np.array([estimate.value, estimate.low, estimate.high], dtype=float)
                colour = MUTED if group.small else PALETTE[5]
                axis.plot([low, high], [place, place], color=colour, linewidth=2)
                axis.plot(value, place, "o", color=colour, markersize=5, clip_on=False)
            axis.set_yticks(range(len(groups)), [f"{group.name} ({group.lesions})" for group in groups])
            axis.set(ylim=(len(groups) - 0.5, -0.5), xlim=(0, 1))
            axis.set_title(_title(report, attribute, metric), loc="left", fontsize=9)
        axes[-1].set_xlabel(f"{metric.replace('_', ' ').capitalize()} (grey: fewer than {SMALL_GROUP} lesions)")
        return save_figure(figure, path)


def _title(report: SubgroupReport, attribute: str, metric: str) -> str:
    gap = report.gap(attribute, metric)
    if gap is None:
        return f"By {attribute}"
    clear = "excludes zero" if gap.excludes_zero else "includes zero"
    return f"By {attribute}: largest gap {gap.difference}, {clear}"
