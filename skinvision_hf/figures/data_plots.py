"""Figures of a data set: diagnoses, age, sex, body site and colour by diagnosis and split, and some of its images."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from datasets import Dataset, DatasetDict
from matplotlib.axes import Axes

from skinvision_hf.data.summary import colour_statistics, count_lesions
from skinvision_hf.figures.style import (
    CLASS_COLOURS,
    IMAGE_NOTE,
    MUTED,
    SPLIT_COLOURS,
    hide_axes,
    new_figure,
    save_figure,
)
from skinvision_hf.labels import CODES, diagnosis

__all__ = ["draw_data", "plot_ages", "plot_classes", "plot_colours", "plot_samples", "plot_shares"]

SAMPLES = 6
CHANNELS = {"red": "#C0392B", "green": "#27803B", "blue": "#2C5FA8"}


def draw_data(data: DatasetDict, folder: str | Path, *, seed: int = 0) -> list[Path]:
    """Draw all figures of a data set.

    Args:
        data: From `load_ham10000`.
        folder: Where to.
        seed: Seed of the images that are shown.

    Returns:
        The files. The last, samples.png, shows images of the data set, so its licence is that of the data.
    """
    folder = Path(folder)
    return [
        plot_classes(data, folder / "classes.png"),
        plot_ages(data, folder / "age.png"),
        plot_shares(data, "sex", folder / "sex.png"),
        plot_shares(data, "localization", folder / "localization.png"),
        plot_colours(colour_statistics(data), folder / "colours.png"),
        plot_samples(data["train"], folder / "samples.png", seed=seed),
    ]


def plot_classes(data: DatasetDict, path: str | Path) -> Path:
    """Draw how many images each diagnosis has in each split, on a logarithmic scale."""
    height = 0.8 / len(data)
    with new_figure(8, 5) as figure:
        axis = figure.subplots()
        for place, (split, dataset) in enumerate(data.items()):
            counts = [images for images, _ in count_lesions(dataset).values()]
            bars = axis.barh(
                np.arange(7) + (place - 1) * height, counts, height, color=SPLIT_COLOURS[split], label=split
            )
            axis.bar_label(bars, fmt="{:,.0f}", padding=3, fontsize=8)
        axis.set_yticks(range(7), [f"{diagnosis(code).name}\n({code})" for code in CODES])
        axis.set(xscale="log", xlabel="images (logarithmic)", ylim=(6.6, -0.6))
        axis.margins(x=0.12)
        axis.grid(visible=False, axis="y")
        figure.legend(loc="outside upper right", ncols=3)
        return save_figure(figure, path)


def plot_ages(data: DatasetDict, path: str | Path) -> Path:
    """Draw the ages of the patients by diagnosis and by split; images without an age are counted."""
    ages = {split: np.array(dataset["age"][:], dtype=float) for split, dataset in data.items()}
    labels = {split: np.array(dataset["label"][:]) for split, dataset in data.items()}
    every, diagnoses = np.concatenate(list(ages.values())), np.concatenate(list(labels.values()))
    by_diagnosis = {code: every[(diagnoses == k) & ~np.isnan(every)] for k, code in enumerate(CODES)}
    by_split = {split: values[~np.isnan(values)] for split, values in ages.items()}
    with new_figure(10, 4.2) as figure:
        left, right = figure.subplots(1, 2, sharey=True, width_ratios=(7, 3))
        _boxes(left, by_diagnosis, CLASS_COLOURS)
        _boxes(right, by_split, SPLIT_COLOURS)
        left.set(ylabel="age in years", title="By diagnosis")
        right.set(title="By split")
        figure.suptitle(f"Boxes: quartiles; unknown for {np.isnan(every).sum():,} of {len(every):,} images", fontsize=9)
        return save_figure(figure, path)


def _boxes(axis: Axes, groups: Mapping[str, np.ndarray], colours: Mapping[str, str]) -> None:
    boxes = axis.boxplot(list(groups.values()), widths=0.6, patch_artist=True, medianprops={"color": "black"})
    for box, name in zip(boxes["boxes"], groups, strict=True):
        box.set_facecolor(colours[name])
    axis.set_xticks(range(1, len(groups) + 1), [f"{name}\n{len(values):,}" for name, values in groups.items()])


def plot_shares(data: DatasetDict, column: str, path: str | Path) -> Path:
    """Draw the shares of a column's values within each diagnosis and each split.

    Args:
        data: The splits.
        column: `sex` or `localization`.
        path: Where to.
    """
    labels = [CODES[label] for dataset in data.values() for label in dataset["label"][:]]
    values = [value for dataset in data.values() for value in dataset[column][:]]
    names = [name for name, _ in Counter(values).most_common()]
    rows = {code: [v for v, label in zip(values, labels, strict=True) if label == code] for code in CODES}
    rows |= {split: list(dataset[column][:]) for split, dataset in data.items()}
    shares = np.array([[row.count(name) / max(len(row), 1) for name in names] for row in rows.values()])
    with new_figure(3.5 + 0.62 * len(names), 5.4) as figure:
        axis = figure.subplots()
        axis.imshow(shares, cmap="Blues", vmin=0, vmax=max(1e-9, shares.max()), aspect="auto")
        for line, row in enumerate(shares):
            for place, share in enumerate(row):
                colour = "white" if share > 0.6 * shares.max() else "black"
                axis.text(place, line, f"{share:.0%}", ha="center", va="center", fontsize=8, color=colour)
        axis.set_yticks(range(len(rows)), [f"{name} ({len(row):,})" for name, row in rows.items()])
        crowded = len(names) > 4
        axis.set_xticks(range(len(names)), names, rotation=40 if crowded else 0, ha="right" if crowded else "center")
        axis.axhline(len(CODES) - 0.5, color="black", linewidth=1)
        axis.grid(visible=False)
        axis.set_title(f"{column.capitalize()} by diagnosis and split", loc="left")
        return save_figure(figure, path)


def plot_colours(colours: Mapping[str, np.ndarray], path: str | Path) -> Path:
    """Draw the mean red, green and blue of the images of each diagnosis.

    Args:
        colours: From `colour_statistics`.
        path: Where to.
    """
    with new_figure(9, 4.2) as figure:
        axis = figure.subplots()
        for place, (name, colour) in enumerate(CHANNELS.items()):
            columns = [values[:, place] for values in colours.values()]
            boxes = axis.boxplot(
                columns,
                positions=np.arange(len(columns)) + (place - 1) * 0.27,
                widths=0.22,
                patch_artist=True,
                medianprops={"color": "white"},
                flierprops={"marker": ".", "markersize": 2, "markeredgecolor": MUTED},
            )
            for box in boxes["boxes"]:
                box.set_facecolor(colour)
            boxes["boxes"][0].set_label(name)
        axis.set_xticks(range(len(colours)), [f"{code}\n{len(values):,}" for code, values in colours.items()])
        axis.set(ylabel="mean over an image, 0 to 255", ylim=(0, 255))
        axis.set_title("Colour of the images of each diagnosis", loc="left")
        figure.legend(loc="outside upper right", ncols=3)
        return save_figure(figure, path)


def plot_samples(dataset: Dataset, path: str | Path, *, seed: int = 0) -> Path:
    """Show some randomly drawn images of each diagnosis."""
    labels = np.array(dataset["label"][:])
    generator = np.random.default_rng(seed)
    with new_figure(1.5 + 1.5 * SAMPLES, 8.6) as figure:
        axes = figure.subplots(len(CODES), SAMPLES)
        for line, (number, code) in zip(axes, enumerate(CODES), strict=True):
            rows = generator.permutation(np.flatnonzero(labels == number))[:SAMPLES]
            for axis, row in zip(line, rows, strict=False):
                axis.imshow(dataset[int(row)]["image"].convert("RGB"))
            for axis in line:
                hide_axes(axis)
            line[0].set_ylabel(code, rotation=0, ha="right", va="center", fontsize=11)
        return save_figure(figure, path, note=IMAGE_NOTE)
