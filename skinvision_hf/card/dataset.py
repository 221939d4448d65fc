"""The card of the prepared data set."""

from collections import Counter
from dataclasses import dataclass

from datasets import Dataset, DatasetDict
from huggingface_hub import DatasetCard, DatasetCardData, constants

from skinvision_hf.card.facts import Links
from skinvision_hf.card.model import NO_LINKS, WEIGHTS_LICENCE
from skinvision_hf.card.templating import render_template
from skinvision_hf.config import LEAKY_SCHEME
from skinvision_hf.data import fingerprint, scheme_name
from skinvision_hf.data.split_schemes import duplicate_pairs
from skinvision_hf.labels import CODES, DIAGNOSES, DISCLAIMER

__all__ = ["Part", "render_dataset_card"]

TEMPLATE = "dataset_card.md"
SIZES = (("n<1K", 1_000), ("1K<n<10K", 10_000), ("10K<n<100K", 100_000))


@dataclass(frozen=True)
class Part:
    """One part of a split, in numbers.

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
    def of(cls, name: str, dataset: Dataset) -> "Part":
        """Count a part."""
        counts = Counter(dataset["label"])
        by_code = {code: counts[number] for number, code in enumerate(CODES)}
        return cls(name, len(dataset), len(set(dataset["lesion_id"])), by_code, fingerprint(dataset))


def render_dataset_card(data: DatasetDict, *, split_scheme: str, repo_id: str, links: Links = NO_LINKS) -> DatasetCard:
    """Render the card of a prepared data set from the data itself.

    Args:
        data: The parts.
        split: Name of the split.
        repo_id: Where the data set is, or will be, on the Hub.
        links: The model that was trained on it and its Space, to link to.
    """
    splits = [Part.of(name, dataset) for name, dataset in data.items()]
    images = sum(split.images for split in splits)
    drawn, leaky = scheme_name(data, split_scheme) != split_scheme, split_scheme.endswith(LEAKY_SCHEME)
    title = "Lesions drawn in code" if drawn else f"HAM10000 with {'leaking' if leaky else 'leak-free'} splits"
    metadata = DatasetCardData(
        license=WEIGHTS_LICENCE,
        language="en",
        pretty_name=title,
        task_categories=["image-classification"],
        size_categories=[next(name for name, limit in SIZES if images < limit)],
        source_datasets=["original"],
        annotations_creators=["machine-generated" if drawn else "expert-generated"],
        tags=["dermatoscopy", "skin-lesion", *([] if drawn else ["ham10000"]), "medical-imaging"],
        configs=[
            {
                "config_name": "default",
                "data_files": [{"split": split.name, "path": f"data/{split.name}-*.parquet"} for split in splits],
            }
        ],
    )
    return DatasetCard(
        render_template(
            TEMPLATE,
            metadata=metadata.to_yaml(),
            splits=splits,
            images=images,
            split_scheme=split_scheme,
            title=title,
            drawn=drawn,
            leaky=leaky,
            repo_id=repo_id,
            links=links,
            endpoint=constants.ENDPOINT,
            diagnoses=DIAGNOSES,
            disclaimer=DISCLAIMER,
            duplicate_pairs=len(duplicate_pairs()),
        )
    )
