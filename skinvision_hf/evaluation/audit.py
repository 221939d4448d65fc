"""Whether lesions have images in more than one split, and what this does to the metrics."""

from collections import defaultdict
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np

from skinvision_hf.config import SPLITS
from skinvision_hf.data.image_lists import ListedImage, image_id_of, is_known, lesion_groups, read_list
from skinvision_hf.data.near_duplicates import near_duplicates
from skinvision_hf.data.tables import Table
from skinvision_hf.errors import DataError, first_ten
from skinvision_hf.evaluation.bootstrap import Statistic, bootstrap
from skinvision_hf.evaluation.comparison import difference
from skinvision_hf.evaluation.metrics import metric_title, overall_statistics
from skinvision_hf.evaluation.predictions import COLUMNS, Predictions
from skinvision_hf.records import Estimate, Record, markdown_table

REST = "the rest of HAM10000"
METRICS = ("balanced_accuracy", "macro_f1", "mean_auc", "accuracy", "melanoma_sensitivity", "melanoma_specificity")


@dataclass(frozen=True)
class SplitCounts(Record):
    """Images and lesions of one split, and how many of them are shared: the lesion is also in another split."""

    images: int
    lesions: int
    shared_images: int
    shared_lesions: int


@dataclass(frozen=True)
class AuditedMetric(Record):
    """A metric on all images and on those whose lesion is in no other split; and the second minus the first, paired."""

    on_all: Estimate
    on_clean: Estimate
    difference: Estimate


@dataclass(frozen=True)
class AuditReport(Record):
    """Which lesions have images in more than one split.

    Attributes:
        splits: Counts by split.
        leaks: For each lesion in more than one split, its images by split.
        unknown: Images that could not be checked, since their ids are not of HAM10000.
        metrics: With and without the leak, by name; None without predictions.
        kind: What is counted: lesions or, where pictures were compared, groups of near-duplicates named after one.
    """

    splits: dict[str, SplitCounts]
    leaks: dict[str, dict[str, tuple[str, ...]]]
    unknown: tuple[str, ...] = ()
    metrics: dict[str, AuditedMetric] | None = None
    kind: str = "lesions"

    @property
    def verdict(self) -> str:
        """One line: does it leak?"""
        where = f"both in {' and in '.join(self.splits)}" if len(self.splits) == 2 else "in more than one split"
        if not self.leaks:
            return f"No leak: no {self.kind} are {where}."
        images = {image for by_split in self.leaks.values() for names in by_split.values() for image in names}
        condition = f" if {REST} was used for training" if REST in self.splits else ""
        return f"Leak{condition}: {len(self.leaks)} {self.kind} with {len(images)} images are {where}."

    def __str__(self) -> str:
        """Markdown tables, the first leaks, and the verdict in the last line."""
        counts = [(name, *split.to_dict().values()) for name, split in self.splits.items()]
        lines = markdown_table(("split", "images", self.kind, "shared images", f"shared {self.kind}"), *counts)
        if self.metrics:
            clean = f"{self.metrics['accuracy'].on_clean.n} images that are not shared"
            rows = [(metric_title(name), m.on_all, m.on_clean, m.difference) for name, m in self.metrics.items()]
            lines += ["", *markdown_table(("metric", "all images", clean, "difference"), *rows)]
        if self.leaks:
            lines += ["", f"The first of {len(self.leaks)} {self.kind} in more than one split:"]
        for lesion, by_split in islice(self.leaks.items(), 10):
            lines.append(f"  {lesion}: " + "; ".join(f"{split} {', '.join(by_split[split])}" for split in by_split))
        if self.unknown:
            lines += ["", f"Not in HAM10000 and not checked: {len(self.unknown)} images: {first_ten(self.unknown)}"]
        return "\n".join([*lines, "", self.verdict])


def audit_files(path: Path, train: Path | None = None) -> AuditReport:
    """Find the lesions that have images in more than one split.

    Args:
        path: A table of image ids or a folder, see `read_list`; without splits, it is checked against the rest of
            HAM10000. If it is a predictions.csv, the metrics with and without the leak are measured, too.
        train: The training images, when they are elsewhere. Pictures in folders without ids are compared.

    Raises:
        DataError: If a file cannot be read, or nothing can be checked in one of the splits.
    """
    images = read_list(path, only="test") + read_list(train, only="train") if train else read_list(path)
    splits, checked = {image.split for image in images}, {image.split for image in images if is_known(image.name)}
    if len(splits) > 1 and splits != checked and path.is_dir() and (train is None or train.is_dir()):
        groups = near_duplicates([image.name for image in images])
        return _audit(images, groups, kind="groups of near-duplicates")
    images = [ListedImage(image_id_of(name), split) for name, split in images]
    if len(splits) == 1:
        images += [ListedImage(name, REST) for name in lesion_groups().keys() - {name for name, _ in images}]
    has_predictions = path.is_file() and set(COLUMNS) <= set(Table.read(path, head_only=True).columns)
    return _audit(images, lesion_groups(), predictions=Predictions.from_csv(path) if has_predictions else None)


def _audit(
    images: Iterable[ListedImage],
    groups: Mapping[str, str],
    *,
    predictions: Predictions | None = None,
    kind: str = "lesions",
) -> AuditReport:
    """Find the groups of images by name, lesions or near-duplicates, that are in more than one split."""
    members: dict[str, dict[str, tuple[str, ...]]] = defaultdict(lambda: defaultdict(tuple))
    # Training, validation and test before others.
    ordered = sorted(set(images), key=lambda i: ([*SPLITS, i.split].index(i.split), i.split, i.name))
    for name, split in ordered:
        if name in groups:
            members[groups[name]][split] += (name,)
    leaks = {lesion: by_split for lesion, by_split in sorted(members.items()) if len(by_split) > 1}
    return AuditReport(
        splits={split: _count(split, members) for split in dict.fromkeys(split for _, split in ordered)},
        leaks=leaks,
        unknown=tuple(dict.fromkeys(name for name, _ in ordered if name not in groups)),
        metrics=_measure(predictions, leaks) if predictions else None,
        kind=kind,
    )


def _count(split: str, members: Mapping[str, Mapping[str, tuple[str, ...]]]) -> SplitCounts:
    inside = [(len(by_split[split]), len(by_split) > 1) for by_split in members.values() if split in by_split]
    if not inside:
        problem = f"no image in {split} has an id of HAM10000, such as ISIC_0024306"
        raise DataError(f"{problem}; give ids, or two folders of pictures to compare")
    shared = [images for images, is_shared in inside if is_shared]
    return SplitCounts(sum(images for images, _ in inside), len(inside), sum(shared), len(shared))


def _measure(predictions: Predictions, leaks: Container[str]) -> dict[str, AuditedMetric]:
    """The metrics on all of HAM10000's images among the predictions, and on those that are not shared."""
    lesions = tuple(lesion_groups().get(image_id_of(name), "") for name in predictions.image_ids)
    known = replace(predictions, lesion_ids=lesions).select(np.array([lesion != "" for lesion in lesions]))
    clean = np.array([lesion not in leaks for lesion in known.lesion_ids])
    on_all, on_clean = _estimates(known), _estimates(known.select(clean))
    statistics = overall_statistics(known.labels, known.probabilities)

    def change(statistic: Statistic) -> Estimate:
        return difference(statistic, lambda counts: statistic(counts * clean), known.counts)

    return {name: AuditedMetric(on_all[name], on_clean[name], change(statistics[name])) for name in METRICS}


def _estimates(predictions: Predictions) -> dict[str, Estimate]:
    if not predictions.image_ids:
        return dict.fromkeys(METRICS, Estimate(None, None, None, 0))
    statistics = overall_statistics(predictions.labels, predictions.probabilities)
    return {name: bootstrap(statistics[name], predictions.counts) for name in METRICS}
