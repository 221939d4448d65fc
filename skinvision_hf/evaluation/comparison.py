"""Whether one model is better than another on the same images."""

from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import binomtest

from skinvision_hf.errors import DataError
from skinvision_hf.evaluation.bootstrap import RESAMPLES, AbsoluteSum, Statistic, bootstrap, images_of, lesion_counts
from skinvision_hf.evaluation.metrics import metric_title, overall_statistics
from skinvision_hf.evaluation.predictions import Predictions
from skinvision_hf.records import Estimate, Record, markdown_table


@dataclass(frozen=True)
class Comparison(Record):
    """Two models on the same images.

    Calibration errors are not compared: resampling moves both up, so their difference has no such interval. McNemar's
    p-value is too small where lesions have several images; it is here for comparison with work that reports it.
    """

    images: int
    lesions: int
    differences: dict[str, Estimate]
    only_first_right: int
    only_second_right: int
    lesion_p: float
    mcnemar_p: float

    def __str__(self) -> str:
        """A Markdown table and the test in a sentence."""
        rows = [(metric_title(name), estimate) for name, estimate in self.differences.items()]
        return "\n".join(
            [
                f"second minus first on the same {self.images} images of {self.lesions} lesions; "
                "paired 95 % confidence intervals over lesions",
                "",
                *markdown_table(("metric", "difference"), *rows),
                "",
                f"Right on one side only: first {self.only_first_right}, second {self.only_second_right}; exact test "
                f"over lesions p = {self.lesion_p:.3g} (over images, as if they were independent: McNemar's "
                f"p = {self.mcnemar_p:.3g})",
            ]
        )


def compare(first: Predictions, second: Predictions, *, resamples: int = RESAMPLES) -> Comparison:
    """Compare the predictions of two models on the same images, in any order, in the same resamples of lesions.

    Raises:
        DataError: If the two are not about the same images with the same labels.
    """
    row = {name: number for number, name in enumerate(second.image_ids)}
    if set(row) != set(first.image_ids) or len(row) != len(second.image_ids):
        raise DataError("the two sets of predictions are about different images; evaluate both on the same split")
    second = second.select(np.array([row[name] for name in first.image_ids]))
    if not np.array_equal(first.labels, second.labels):
        raise DataError("the two sets of predictions disagree about the labels; evaluate both on the same data")
    labels, counts = first.labels, lesion_counts(first.lesion_ids, resamples=resamples)
    before, after = (overall_statistics(labels, p.probabilities) for p in (first, second))
    was_right, is_right = (p.probabilities.argmax(axis=1) == labels for p in (first, second))
    gains = is_right.astype(int) - was_right
    only_first, only_second = int((gains < 0).sum()), int((gains > 0).sum())
    differ = only_first + only_second
    return Comparison(
        images=len(labels),
        lesions=len(set(first.lesion_ids)),
        differences={
            name: difference(statistic, after[name], counts)
            for name, statistic in before.items()
            if not isinstance(statistic, AbsoluteSum)
        },
        only_first_right=only_first,
        only_second_right=only_second,
        lesion_p=_sign_flip_p(gains, np.asarray(first.lesion_ids)),
        mcnemar_p=float(binomtest(only_first, differ).pvalue) if differ else 1.0,
    )


def difference(before: Statistic, after: Statistic, counts: np.ndarray) -> Estimate:
    """Estimate one statistic minus another in the same resamples."""
    paired = bootstrap(lambda counts: after(counts) - before(counts), counts)
    return replace(paired, n=images_of(before, counts))


def _sign_flip_p(gains: np.ndarray, lesion_ids: np.ndarray) -> float:
    """Exact two-sided p-value of the sum of gains (n,) if the sign of each lesion's sum is random."""
    _, lesion = np.unique(lesion_ids, return_inverse=True)
    sums = np.bincount(lesion, weights=gains).astype(int)
    chance = np.ones(1)
    for size in np.abs(sums[sums != 0]):
        coin = np.zeros(2 * size + 1)
        coin[[0, -1]] = 0.5
        chance = np.convolve(chance, coin)
    totals = np.arange(len(chance)) - len(chance) // 2
    return min(1.0, float(chance[np.abs(totals) >= abs(sums.sum())].sum()))
