"""A network and labelled images to predictions and their `EvalReport`; two models on them to a `Comparison`."""

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm.auto import tqdm
from transformers.modeling_outputs import ImageClassifierOutput

from skinvision_hf.config import EVALUATION_BATCH
from skinvision_hf.data import load_split, verify_images
from skinvision_hf.data.loaders import iterate, make_loader
from skinvision_hf.data.transforms import eval_transform
from skinvision_hf.errors import DataError
from skinvision_hf.evaluation.calibration import measure_calibration, recorded_temperature
from skinvision_hf.evaluation.comparison import Comparison, compare
from skinvision_hf.evaluation.conformal import measure_conformal
from skinvision_hf.evaluation.decisions import measure_point
from skinvision_hf.evaluation.predictions import Predictions
from skinvision_hf.evaluation.report import (
    SCHEMA_VERSION,
    EvalReport,
    ImageFacts,
    evaluate_predictions,
    measured_weights,
)
from skinvision_hf.evaluation.subgroups import group_columns, measure_subgroups
from skinvision_hf.files import make_folder, without_folders, write_json
from skinvision_hf.models.modeling import EvaluationMode, SkinVisionForImageClassification, best_device
from skinvision_hf.models.prediction import TASKS, ConformalPredictor, stored_points

if TYPE_CHECKING:
    from accelerate import Accelerator

# Quarter turns, and whether the image is mirrored before; a square image fits the network in any of them. The first
# one, two, four or all of them belong together.
SYMMETRIES = tuple(product((0, 2, 1, 3), (False, True)))


def collect_logits(
    model: torch.nn.Module, loader: DataLoader, *, accelerator: "Accelerator | None" = None
) -> tuple[np.ndarray, np.ndarray]:
    """Run a network over a loader in evaluation mode and hand it back in the mode it was in.

    An accelerator, which has prepared the loader, gathers over processes, without what only pads the last batch.

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
    batch_size: int = EVALUATION_BATCH,
    accelerator: "Accelerator | None" = None,
) -> Predictions:
    """Predict every image of a split with the columns image, label, image_id and lesion_id, in its order.

    The network's own `pretrained_cfg` decides how images are prepared. `views` is the number of right-angle symmetries
    of each image that the answer is the mean over. An accelerator shares the work over processes, each of which returns
    the same predictions.

    Raises:
        DataError: If images cannot be read; names all of them.
    """
    loader = make_loader(dataset, eval_transform(model.config.pretrained_cfg), batch_size=batch_size)
    if accelerator is not None:
        loader = accelerator.prepare_data_loader(loader)
    answering = AveragedViews(model, views) if views > 1 else model
    try:
        logits, labels = collect_logits(answering, loader, accelerator=accelerator)
    except DataError:
        verify_images(dataset)  # finds the others that are like the first one
        raise
    return Predictions(tuple(dataset["image_id"][:]), tuple(dataset["lesion_id"][:]), labels, logits)


def symmetric_views(pixels: Tensor, count: int) -> Iterator[Tensor]:
    """Yield `count` right-angle symmetries of square images (n, 3, side, side), the images themselves first."""
    for turns, mirrored in SYMMETRIES[:count]:
        view = (pixels.flip(-1) if mirrored else pixels).rot90(turns, dims=(-2, -1))
        yield view.contiguous(memory_format=torch.channels_last)


class AveragedViews(torch.nn.Module):
    """Test-time augmentation: a network's mean probabilities over several views of each image, as logits."""

    def __init__(self, network: SkinVisionForImageClassification, count: int) -> None:
        super().__init__()
        self.network, self.count = network, count

    def forward(self, pixel_values: Tensor) -> ImageClassifierOutput:
        """Return an output whose `logits` (n, 7) are the logarithms of probabilities."""
        views = symmetric_views(pixel_values, self.count)
        answers = torch.stack([self.network(view).logits.float().log_softmax(dim=1) for view in views])
        return ImageClassifierOutput(logits=answers.logsumexp(dim=0) - math.log(self.count))


def evaluate_release(
    release: Path,
    model: SkinVisionForImageClassification,
    dataset: Dataset,
    predictions: Predictions,
    *,
    scheme: str,
    split: str,
    views: int = 1,
) -> EvalReport:
    """Measure a network, and the prediction sets and thresholds of its release, by its predictions of labelled images.

    `scheme` is the name of the split scheme or of other data; `views` is that of `predict_dataset`.
    """
    report = replace(
        evaluate_predictions(predictions, split_scheme=scheme, split=split),
        model=measured_weights(release, views=views),
        images=_measured_images(dataset),
        subgroups=measure_subgroups(predictions, group_columns(dataset)),
    )
    if views > 1:
        # Temperature, prediction sets and thresholds belong to the answer to a single view.
        return report
    predictor = ConformalPredictor.load(release)
    points = {
        task: tuple(measure_point(p.task, p.fixed, p.level, p.threshold, predictions) for p in stored)
        for task in TASKS
        if (stored := stored_points(release, task))
    }
    return replace(
        report,
        calibration=measure_calibration(predictions, temperature=recorded_temperature(model)),
        conformal=measure_conformal(predictor, predictions) if predictor else None,
        stored_thresholds=points or None,
    )


def _measured_images(dataset: Dataset) -> ImageFacts:
    """Median size of the images that a report is about, from about a hundred of them."""
    some = dataset.select(range(0, len(dataset), -(-len(dataset) // 100))).select_columns(["image"])
    return ImageFacts(tuple(np.median([row["image"].size for row in some], axis=0).astype(int).tolist()))


def compare_models(
    first: str,
    second: str,
    source: str | Path | None,
    output_dir: str | Path,
    *,
    split: str = "test",
    split_scheme: str | None = None,
    batch_size: int = EVALUATION_BATCH,
    skip_unknown: bool = False,
) -> Comparison:
    """Compare two models, each a release folder, a Hub id or a predictions.csv, and write comparison.json.

    The images come from `skinvision_hf.data.load_split`; two predictions.csv need none.

    Raises:
        DataError: If the two are not about the same images.
        ModelError: If a model cannot be loaded.
    """
    about = {"first": without_folders(first), "second": without_folders(second)}
    dataset = None
    if source is not None:
        dataset, scheme, split = load_split(source, split=split, split_scheme=split_scheme, skip_unknown=skip_unknown)
        about |= {"scheme": scheme, "split": split}
    output_dir = make_folder(output_dir)
    result = compare(*(_predictions(ref, dataset, batch_size) for ref in (first, second)))
    write_json(output_dir / "comparison.json", {"schema_version": SCHEMA_VERSION} | about | result.to_dict())
    return result


def _predictions(ref: str, dataset: Dataset | None, batch_size: int) -> Predictions:
    if dataset is None or ref.endswith(".csv"):
        return Predictions.from_csv(ref)
    model = SkinVisionForImageClassification.from_pretrained(ref).to(best_device())
    return predict_dataset(model, dataset, batch_size=batch_size)
