"""The card of the prepared data set."""

from collections import Counter
from dataclasses import dataclass
from typing import Self

from datasets import Dataset, DatasetDict
from huggingface_hub import DatasetCard, DatasetCardData

from skinvision_hf.card.templating import LICENCE, NO_LINKS, Links, render_template
from skinvision_hf.config import LEAKY_SCHEME
from skinvision_hf.data import fingerprint, scheme_name
from skinvision_hf.labels import CODES

__all__ = ["render_dataset_card"]

TEMPLATE = "dataset_card.md"
SIZES = (("n<1K", 1_000), ("1K<n<10K", 10_000), ("10K<n<100K", 100_000))


@dataclass(frozen=True)
class SplitSummary:
    """One split in numbers.

    Attributes:
        name: Such as `train`.
        images: Number of images.
        lesions: Number of lesions.
        by_code: Images by code of the diagnosis.
        fingerprint: SHA-256 of its rows; see `skinvision_hf.data.fingerprint`.
    """

    name: str
    images: int
    lesions: int
    by_code: dict[str, int]
    fingerprint: str

    @classmethod
    def of(cls, name: str, dataset: Dataset) -> Self:
        """Count the images of a split."""
        counts = Counter(dataset["label"])
        by_code = {code: counts[number] for number, code in enumerate(CODES)}
        return cls(name, len(dataset), len(set(dataset["lesion_id"])), by_code, fingerprint(dataset))


def render_dataset_card(data: DatasetDict, *, split_scheme: str, repo_id: str, links: Links = NO_LINKS) -> DatasetCard:
    """Render the card of a prepared data set from the data itself.

    Args:
        data: The splits.
        split_scheme: Name of the split scheme.
        repo_id: Where the data set is, or will be, on the Hub.
        links: The model that was trained on it and its Space, to link to.
    """
    splits = [SplitSummary.of(name, dataset) for name, dataset in data.items()]
    images = sum(split.images for split in splits)
    synthetic, leaky = scheme_name(data, split_scheme) != split_scheme, split_scheme == LEAKY_SCHEME
    title = "Synthetic lesions" if synthetic else f"HAM10000 with {'leaking' if leaky else 'leak-free'} splits"
    files = [{"split": split.name, "path": f"data/{split.name}-*.parquet"} for split in splits]
    metadata = DatasetCardData(
        license=LICENCE,
        language="en",
        pretty_name=title,
        task_categories=["image-classification"],
        size_categories=[next(name for name, limit in SIZES if images < limit)],
        source_datasets=["original"],
        annotations_creators=["machine-generated" if synthetic else "expert-generated"],
        tags=["dermatoscopy", "skin-lesion", *([] if synthetic else ["ham10000"]), "medical-imaging"],
        configs=[{"config_name": "default", "data_files": files}],
    )
    text = render_template(
        TEMPLATE,
        metadata=metadata.to_yaml(),
        title=title,
        splits=splits,
        images=images,
        split_scheme=split_scheme,
        synthetic=synthetic,
        leaky=leaky,
        repo_id=repo_id,
        links=links,
    )
    return DatasetCard(text)
