"""Which images are shown: drawn by lot, never picked by hand."""

from dataclasses import dataclass

import numpy as np

from skinvision_hf.labels import CODES

__all__ = ["RULE", "Example", "choose_by_class", "choose_by_outcome"]

RULE = "the first images of each diagnosis in an order drawn by lot (seed {seed})"


@dataclass(frozen=True)
class Example:
    """One image of a data set that is shown.

    Attributes:
        row: Its row in the data set.
        label: Code of its true diagnosis.
        predicted: Code of the predicted one.
    """

    row: int
    label: str
    predicted: str


def choose_by_class(
    rows: np.ndarray, labels: np.ndarray, predicted: np.ndarray, *, count: int = 4, seed: int = 0
) -> dict[str, list[Example]]:
    """Draw up to `count` images of each diagnosis.

    Args:
        rows: Row of each image in the data set (n,).
        labels: True class of each image (n,).
        predicted: Predicted class of each image (n,).
        count: Images a diagnosis.
        seed: Seed of the draw.
    """
    shuffled = np.random.default_rng(seed).permutation(len(rows))
    examples = [Example(int(rows[i]), CODES[labels[i]], CODES[predicted[i]]) for i in shuffled]
    return {code: [e for e in examples if e.label == code][:count] for code in CODES}


def choose_by_outcome(
    rows: np.ndarray, labels: np.ndarray, predicted: np.ndarray, *, seed: int = 0
) -> dict[str, tuple[Example | None, Example | None]]:
    """Draw one image of each diagnosis that is predicted correctly and one that is not, where there are any."""
    drawn = choose_by_class(rows, labels, predicted, count=len(rows), seed=seed)
    return {
        code: (
            next((e for e in examples if e.predicted == e.label), None),
            next((e for e in examples if e.predicted != e.label), None),
        )
        for code, examples in drawn.items()
    }
