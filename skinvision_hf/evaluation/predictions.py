"""What a network says about a split, in memory and as a table."""

import csv
import io
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from skinvision_hf.data.tables import Table
from skinvision_hf.errors import DataError
from skinvision_hf.evaluation.bootstrap import lesion_counts
from skinvision_hf.files import atomic_write
from skinvision_hf.labels import CODES
from skinvision_hf.models.outputs import softmax

COLUMNS = ("image_id", "lesion_id", "label", *CODES)


@dataclass(frozen=True)
class Predictions:
    """The logits (n, 7) of the images of a split, beside their true classes (n,) int64, as positions in `CODES`."""

    image_ids: tuple[str, ...]
    lesion_ids: tuple[str, ...]
    labels: np.ndarray
    logits: np.ndarray

    @property
    def probabilities(self) -> np.ndarray:
        """Softmax of the logits (n, 7) float64; rows add up to 1."""
        return softmax(self.logits.astype(np.float64))

    @cached_property
    def counts(self) -> np.ndarray:
        """Bootstrap counts over lesions (resamples, n), the same for every statistic; see `lesion_counts`."""
        return lesion_counts(self.lesion_ids)

    def select(self, rows: np.ndarray) -> "Predictions":
        """Return the predictions of some images, chosen by position or by a mask (n,) bool."""
        images, lesions = (tuple(np.asarray(ids)[rows].tolist()) for ids in (self.image_ids, self.lesion_ids))
        return Predictions(images, lesions, self.labels[rows], self.logits[rows])

    def to_csv(self, path: str | Path) -> Path:
        """Write a table of image_id, lesion_id, label and the seven probabilities, atomically."""
        buffer = io.StringIO(newline="")
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(COLUMNS)
        rows = zip(self.image_ids, self.lesion_ids, self.labels, self.probabilities, strict=True)
        for image, lesion, label, values in rows:
            writer.writerow([image, lesion, CODES[label], *(f"{value:.7g}" for value in values)])
        return atomic_write(path, buffer.getvalue())

    @classmethod
    def from_csv(cls, path: str | Path) -> "Predictions":
        """Read such a table; the logits are the logarithms of its probabilities.

        Raises:
            DataError: If it cannot be read, or is not such a table.
        """
        rows = Table.read(Path(path)).rows
        if not rows:
            raise DataError(f"{path} holds no predictions; evaluate the model again")
        try:
            probabilities = np.array([[float(row[code]) for code in CODES] for row in rows])
            labels = np.array([CODES.index(row["label"]) for row in rows], dtype=np.int64)
            names = [(row["image_id"], row["lesion_id"]) for row in rows]
        except (KeyError, ValueError) as error:
            raise DataError(f"{path} is not a table of predictions with the columns {', '.join(COLUMNS)}") from error
        if not (np.isfinite(probabilities).all() and np.allclose(probabilities.sum(axis=1), 1, atol=1e-3)):
            raise DataError(f"the probabilities in {path} do not add up to 1; evaluate the model again")
        logits = np.log(np.clip(probabilities, 1e-12, 1))
        return cls(tuple(n for n, _ in names), tuple(n for _, n in names), labels, logits)
