"""A network and a split to predictions, on one process or several."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from datasets import Dataset
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from skinvision_hf.data.loaders import iterate, make_loader
from skinvision_hf.data.transforms import eval_transform
from skinvision_hf.errors import DataError
from skinvision_hf.evaluation.predictions import Predictions
from skinvision_hf.evaluation.report import ImageFacts, ModelFacts
from skinvision_hf.evaluation.views import AveragedViews
from skinvision_hf.files import sha256, write_json
from skinvision_hf.models.modeling import EvaluationMode, SkinVisionForImageClassification
from skinvision_hf.models.release import METRICS_FILE, WEIGHTS_FILE

if TYPE_CHECKING:
    from accelerate import Accelerator

__all__ = [
    "assert_same_subject",
    "collect_logits",
    "measured_images",
    "measured_weights",
    "predict_dataset",
    "read_metrics",
    "write_metrics",
]


def collect_logits(
    model: torch.nn.Module, loader: DataLoader, *, accelerator: "Accelerator | None" = None, progress: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Run a network over a loader in evaluation mode and hand it back in the mode it was in.

    Args:
        model: Returns an output with `logits`.
        loader: From `make_loader`, prepared by the accelerator when there is one.
        accelerator: Gathers over processes, without the samples that only pad the last batch.
        progress: Show a progress bar (on the main process).

    Returns:
        Logits (n, 7) float32 and labels (n,) int64, in the order of the data set.
    """
    device = accelerator.device if accelerator else next(model.parameters()).device
    hidden = not progress or (accelerator is not None and not accelerator.is_local_main_process)
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
    num_workers: int = 0,
    accelerator: "Accelerator | None" = None,
    progress: bool = True,
) -> Predictions:
    """Predict every image of a split.

    Args:
        model: The network; its own `pretrained_cfg` decides how images are prepared.
        dataset: A split with the columns image, label, image_id and lesion_id.
        views: How many right-angle symmetries of each image the answer is the mean over.
        batch_size: Images a batch.
        num_workers: Processes that decode images.
        accelerator: Shares the work over processes; every process returns the same predictions.
        progress: Show a progress bar.

    Returns:
        The predictions, in the order of the data set.
    """
    loader = make_loader(
        dataset, eval_transform(model.config.pretrained_cfg), batch_size=batch_size, num_workers=num_workers
    )
    if accelerator is not None:
        loader = accelerator.prepare_data_loader(loader)
    answering = AveragedViews(model, views) if views > 1 else model
    logits, labels = collect_logits(answering, loader, accelerator=accelerator, progress=progress)
    identifiers: Sequence[str] = dataset["image_id"][:]
    return Predictions(
        image_ids=tuple(identifiers), lesion_ids=tuple(dataset["lesion_id"][:]), labels=labels, logits=logits
    )


def measured_weights(folder: Path, *, views: int = 1) -> ModelFacts:
    """Which network a report is about, so that it is never shown beside others."""
    return ModelFacts(sha256(folder / WEIGHTS_FILE), views)


def measured_images(dataset: Dataset) -> ImageFacts:
    """Median size of the images that a report is about, from about a hundred of them."""
    some = dataset.select(range(0, len(dataset), -(-len(dataset) // 100))).select_columns(["image"])
    return ImageFacts(tuple(np.median([row["image"].size for row in some], axis=0).astype(int).tolist()))


def assert_same_subject(folder: str | Path, model: ModelFacts) -> None:
    """Check that a folder has no report on another network: sections about two never stand in one file.

    Args:
        folder: Where a report is to go.
        model: What is to be measured.

    Raises:
        DataError: If it has one.
    """
    present = read_metrics(folder).get("model")
    if present is not None and ModelFacts.from_dict(present) != model:
        raise DataError(f"{folder} has a report on another model; choose another --output_dir")


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
    """Write sections of `metrics.json`; sections that other commands wrote there stay.

    Args:
        folder: A release or an output folder.
        sections: By name, such as the parts of `EvalReport.to_dict()`, or `calibration`.

    Returns:
        The file.

    Raises:
        DataError: If the file is not valid, or the folder cannot be written to.
    """
    path = Path(folder) / METRICS_FILE
    try:
        return write_json(path, read_metrics(folder) | dict(sections))
    except OSError as error:
        raise DataError(f"cannot write {path} ({error.strerror}); choose another folder") from error
