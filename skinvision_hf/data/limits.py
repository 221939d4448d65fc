"""A few images of each part, for trials."""

from datasets import DatasetDict

__all__ = ["limit_parts"]


def limit_parts(data: DatasetDict, limit: int, *, seed: int) -> DatasetDict:
    """Draw images of each part by lot, since a data set may be sorted by diagnosis.

    Args:
        data: The parts.
        limit: Largest number of images of each; 0 keeps all, in their order.
        seed: Seed of the draw.
    """
    if not limit:
        return data
    return DatasetDict({k: d.shuffle(seed=seed).select(range(min(limit, len(d)))) for k, d in data.items()})
