"""A network and a split to predictions, on one process or several."""

import json
import math
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm.auto import tqdm
from transformers.modeling_outputs import ImageClassifierOutput

from skinvision_hf.data.loaders import iterate, make_loader
from skinvision_hf.data.transforms import eval_transform
from skinvision_hf.errors import DataError
from skinvision_hf.evaluation.predictions import Predictions
from skinvision_hf.evaluation.report import ImageFacts, ModelFacts
from skinvision_hf.files import sha256, write_json
from skinvision_hf.models.modeling import EvaluationMode, SkinVisionForImageClassification
from skinvision_hf.models.release import METRICS_FILE, WEIGHTS_FILE

if TYPE_CHECKING:
    from accelerate import Accelerator

# Quarter turns, and whether the image is mirrored before; a square image fits the network in any of them. The first
# one, two, four or all of them belong together.
SYMMETRIES = tuple(product((0, 2, 1, 3), (False, True)))


def collect_logits(
    model: torch.nn.Module, loader: DataLoader, *, accelerator: "Accelerator | None" = None
) -> tuple[np.ndarray, np.ndarray]:
    """Run a network over a loader in evaluation mode and hand it back in the mode it was in.

    Args:
        model: Returns an output with `logits`.
        loader: From `make_loader`, prepared by the accelerator when there is one.
        accelerator: Gathers over processes, without the samples that only pad the last batch.

    Returns:
        Logits (n, 7) float32 and labels (n,) int64, in the order of the data set.
    """
    device = accelerator.device if accelerator else next(model.parameters()).device
    hidden = accelerator is not None and not accelerator.is_local_main_process
    logits, labels = [], []
    bar = tqdm(iterate(loader), total=len(loader), desc="evaluate", unit="batch", disable=hidden, leave=False)
    with EvaluationMode(model), torch.inference_mode():
        for batch in bar:
            pixels = batch["pixel_values"].to(device).contiguous(memory_format=torch.channels_last)
            result = (model(pixels).logits, batch["labels"].to(device))
            if accelerator is not None:
                result = accelerator.gather_for_metrics(result)
            logits.append(result[0].float().cpu().numpy())
            labels.append(result[1].cpu().numpy())
    return np.concatenate(logits), np.concatenate(labels).astype(np.int64)


def predict_dataset(
    model: SkinVisionForImageClassification,
    dataset: Dataset,
    *,
    views: int = 1,
    batch_size: int = 64,
    accelerator: "Accelerator | None" = None,
) -> Predictions:
    """Predict every image of a split.

    Args:
        model: The network; its own `pretrained_cfg` decides how images are prepared.
        dataset: A split with the columns image, label, image_id and lesion_id.
        views: How many right-angle symmetries of each image the answer is the mean over.
        batch_size: Images a batch.
        accelerator: Shares the work over processes; every process returns the same predictions.

    Returns:
        The predictions, in the order of the data set.
    """
    loader = make_loader(dataset, eval_transform(model.config.pretrained_cfg), batch_size=batch_size)
    if accelerator is not None:
        loader = accelerator.prepare_data_loader(loader)
    answering = AveragedViews(model, views) if views > 1 else model
    logits, labels = collect_logits(answering, loader, accelerator=accelerator)
    return Predictions(tuple(dataset["image_id"][:]), tuple(dataset["lesion_id"][:]), labels, logits)


def symmetric_views(pixels: Tensor, count: int) -> Iterator[Tensor]:
    """Yield `count` right-angle symmetries of square images (n, 3, side, side), the images themselves first."""
    for turns, mirrored in SYMMETRIES[:count]:
        view = (pixels.flip(-1) if mirrored else pixels).rot90(turns, dims=(-2, -1))
        yield view.contiguous(memory_format=torch.channels_last)


class AveragedViews(torch.nn.Module):
    """Test-time augmentation: a network's mean probabilities over several views of each image, as logits.

    Args:
        network: The network.
        count: How many right-angle symmetries it looks at; one of `skinvision_hf.config.VIEWS`.
    """

    def __init__(self, network: SkinVisionForImageClassification, count: int) -> None:
        super().__init__()
        self.network, self.count = network, count

    def forward(self, pixel_values: Tensor) -> ImageClassifierOutput:
        """Return an output whose `logits` (n, 7) are the logarithms of probabilities."""
        views = symmetric_views(pixel_values, self.count)
        answers = torch.stack([self.network(view).logits.float().log_softmax(dim=1) for view in views])
        return ImageClassifierOutput(logits=answers.logsumexp(dim=0) - math.log(self.count))


def measured_weights(folder: Path, *, views: int = 1) -> ModelFacts:
    """Which network a report is about, so that it is never shown beside others."""
    return ModelFacts(sha256(folder / WEIGHTS_FILE), views)


def measured_images(dataset: Dataset) -> ImageFacts:
    """Median size of the images that a report is about, from about a hundred of them."""
    some = dataset.select(range(0, len(dataset), -(-len(dataset) // 100))).select_columns(["image"])
    return ImageFacts(tuple(np.median([row["image"].size for row in some], axis=0).astype(int).tolist()))


def assert_same_subject(folder: str | Path, model: ModelFacts) -> None:
    """Check that a folder has no report on another network: sections about two never stand in one file.

    Raises:
        DataError: If it has one.
    """
    present = read_metrics(folder).get("model")
    if present is not None and ModelFacts.from_dict(present) != model:
        raise DataError(f"{folder} has the report of another model; choose another --output_dir")


def read_metrics(folder: str | Path) -> dict[str, Any]:
    """Read the sections of a folder's `metrics.json`; none where there is no such file.

    Raises:
        DataError: If the file is not valid.
    """
    path = Path(folder) / METRICS_FILE
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}
    except (ValueError, TypeError) as error:
        raise DataError(f"{path} is not a valid {METRICS_FILE}; move it away") from error


def write_metrics(folder: str | Path, sections: Mapping[str, Any]) -> Path:
    """Write sections into the `metrics.json` of a folder; sections that other commands wrote there stay.

    Raises:
        DataError: If the file is not valid, or the folder cannot be written to.
    """
    path = Path(folder) / METRICS_FILE
    try:
        return write_json(path, read_metrics(folder) | dict(sections))
    except OSError as error:
        raise DataError(f"cannot write {path} ({error.strerror}); choose another folder") from error
