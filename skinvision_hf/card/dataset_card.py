"""The card of the prepared data set."""

from typing import TYPE_CHECKING

from huggingface_hub import DatasetCard, DatasetCardData

from skinvision_hf.card.templating import LICENCE, NO_LINKS, Links, render_template
from skinvision_hf.config import DEFAULT_SCHEME
from skinvision_hf.data.summary import count_lesions

if TYPE_CHECKING:
    from datasets import DatasetDict

SIZES = (("n<1K", 1_000), ("1K<n<10K", 10_000), ("10K<n<100K", 100_000))


def render_dataset_card(data: "DatasetDict", *, repo_id: str, links: Links = NO_LINKS) -> DatasetCard:
    """Render the card of a data set, prepared with the default split scheme, from the data itself."""
    from skinvision_hf.data import fingerprint, scheme_name

    splits = [
        (name, len(rows), len(set(rows["lesion_id"])), count_lesions(rows), fingerprint(rows))
        for name, rows in data.items()
    ]
    images = sum(map(len, data.values()))
    synthetic = scheme_name(data) != DEFAULT_SCHEME
    title = "Synthetic lesions" if synthetic else "HAM10000 with leak-free splits"
    files = [{"split": name, "path": f"data/{name}-*.parquet"} for name in data]
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
        "dataset_card.md",
        metadata=metadata.to_yaml(),
        title=title,
        splits=splits,
        images=images,
        split_scheme=DEFAULT_SCHEME,
        synthetic=synthetic,
        repo_id=repo_id,
        links=links,
    )
    return DatasetCard(text)
