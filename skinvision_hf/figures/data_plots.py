"""Figures of a data set: diagnoses, age, sex, body site and colour by diagnosis and split, and some of its images."""

from collections import Counter
from pathlib import Path

import numpy as np
from datasets import Dataset, DatasetDict
from matplotlib.ticker import LogLocator

from skinvision_hf.data.images import to_rgb
from skinvision_hf.data.summary import colour_statistics, count_lesions
from skinvision_hf.figures.style import COLOURS, draw_boxes, draw_table, new_figure, save_figure, save_grid
from skinvision_hf.labels import CODES, diagnosis

SAMPLES = 6


def draw_data(data: DatasetDict, folder: str | Path) -> list[Path]:
    """Draw all figures of a data set into a folder; the last one shows images, so its licence is that of the data."""
    folder = Path(folder)
    return [
        plot_classes(data, folder / "classes.png"),
        plot_ages(data, folder / "age.png"),
        plot_shares(data, "sex", folder / "sex.png"),
        plot_shares(data, "localization", folder / "localization.png"),
        plot_colours(data, folder / "colours.png"),
        plot_samples(data["train"], folder / "samples.png"),
    ]


def plot_classes(data: DatasetDict, path: Path) -> Path:
    """Draw how many images each diagnosis has in each split, on a logarithmic scale."""
    height = 0.8 / len(data)
    with new_figure(8, 5) as figure:
        axis = figure.subplots()
        for place, (split, dataset) in enumerate(data.items()):
            counts = [images for images, _ in count_lesions(dataset).values()]
            bars = axis.barh(np.arange(7) + (place - 1) * height, counts, height, color=COLOURS[split], label=split)
            axis.bar_label(bars, fmt="{:,.0f}", padding=3, fontsize=8)
        axis.set_yticks(range(7), [f"{diagnosis(code).name}\n({code})" for code in CODES])
        axis.set(xscale="log", xlabel="images (logarithmic)", ylim=(6.6, -0.6))
        axis.xaxis.set_major_locator(LogLocator(subs=(1, 3)))  # few images have one power of ten among them
        axis.xaxis.set_major_formatter("{x:,g}")
        axis.xaxis.set_minor_formatter("")  # without it, few images give labels that overlap
        axis.margins(x=0.12)
        axis.grid(visible=False, axis="y")
        figure.legend(loc="outside upper right", ncols=3)
        return save_figure(figure, path)


def plot_ages(data: DatasetDict, path: Path) -> Path:
    """Draw the ages of the patients by diagnosis and by split; images without an age are counted."""
    ages = _group(data, "age", dtype=float)
    known = {name: values[~np.isnan(values)] for name, values in ages.items()}
    images = sum(map(len, data.values()))
    unknown = images - sum(len(known[split]) for split in data)
    with new_figure(9, 4.2) as figure:
        axis = figure.subplots()
        draw_boxes(axis, known)
        axis.axvline(len(CODES) + 0.5, color="black", linewidth=1)
        title = f"Age by diagnosis and split; unknown for {unknown:,} of {images:,} images"
        axis.set(ylabel="age in years", title=title)
        return save_figure(figure, path)


def plot_shares(data: DatasetDict, column: str, path: Path) -> Path:
    """Draw the shares of the values of a column, `sex` or `localization`, within each diagnosis and each split."""
    rows = _group(data, column, dtype=object)
    names = [name for name, _ in Counter(np.concatenate([rows[split] for split in data])).most_common()]
    shares = np.array([[(row == name).sum() / max(len(row), 1) for name in names] for row in rows.values()])
    with new_figure(3.5 + 0.62 * len(names), 5.4) as figure:
        axis = figure.subplots()
        draw_table(axis, shares, [[f"{share:.0%}" for share in row] for row in shares])
        axis.set_yticks(range(len(rows)), [f"{name} ({len(row):,})" for name, row in rows.items()])
        axis.set_xticks(range(len(names)), names, rotation=40, ha="right")
        axis.axhline(len(CODES) - 0.5, color="black", linewidth=1)
        axis.set_title(f"{column.capitalize()} by diagnosis and split", loc="left")
        return save_figure(figure, path)


def plot_colours(data: DatasetDict, path: Path) -> Path:
    """Draw the mean red, green and blue of the images of each diagnosis."""
    colours = colour_statistics(data)
    with new_figure(12, 4.2) as figure:
        axes = figure.subplots(1, 3, sharey=True)
        for channel, (axis, title) in enumerate(zip(axes, ("Red", "Green", "Blue"), strict=True)):
            draw_boxes(axis, {code: means[:, channel] for code, means in colours.items()})
            axis.set(title=title, ylim=(0, 255))
        axes[0].set_ylabel("mean over an image, 0 to 255")
        return save_figure(figure, path)


def plot_samples(dataset: Dataset, path: Path) -> Path:
    """Show some randomly drawn images of each diagnosis."""
    labels = np.array(dataset["label"][:])
    shuffled = np.random.default_rng(0).permutation(len(labels))
    samples = []
    for k, code in enumerate(CODES):
        rows = shuffled[labels[shuffled] == k][:SAMPLES]
        samples.append((code, [(to_rgb(image), "") for image in dataset.select(rows)["image"]]))
    return save_grid(samples, path, title="Randomly drawn training images of each diagnosis")


def _group(data: DatasetDict, column: str, *, dtype: type) -> dict[str, np.ndarray]:
    """The values of a column within each diagnosis, by code, and within each split, by name."""
    splits: dict[str, np.ndarray] = {split: np.array(dataset[column][:], dtype) for split, dataset in data.items()}
    values = np.concatenate(list(splits.values()))
    labels = np.concatenate([dataset["label"][:] for dataset in data.values()])
    return {code: values[labels == k] for k, code in enumerate(CODES)} | splits
