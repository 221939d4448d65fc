"""A network and labelled images to an `EvalReport`; two models on the same images to a `Comparison`."""

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from datasets import Dataset

from skinvision_hf.data import load_split
from skinvision_hf.evaluation.calibration import measure_calibration, recorded_temperature
from skinvision_hf.evaluation.comparison import Comparison, compare
from skinvision_hf.evaluation.conformal import measure_conformal
from skinvision_hf.evaluation.decisions import measure_point
from skinvision_hf.evaluation.logits import measured_images, measured_weights, predict_dataset
from skinvision_hf.evaluation.predictions import Predictions
from skinvision_hf.evaluation.report import SCHEMA_VERSION, EvalReport, evaluate_predictions
from skinvision_hf.evaluation.subgroups import group_columns, measure_subgroups
from skinvision_hf.files import make_folder, without_folders, write_json
from skinvision_hf.models.modeling import SkinVisionForImageClassification, best_device
from skinvision_hf.models.prediction import TASKS, ConformalPredictor, stored_points

if TYPE_CHECKING:
    from accelerate import Accelerator

COMPARISON_FILE = "comparison.json"


def evaluate_release(
    release: Path,
    model: SkinVisionForImageClassification,
    dataset: Dataset,
    *,
    scheme: str,
    split: str,
    views: int = 1,
    batch_size: int = 64,
    accelerator: "Accelerator | None" = None,
) -> tuple[EvalReport, Predictions]:
    """Measure a network, and the prediction sets and thresholds of its release, on labelled images.

    Args:
        release: The release folder.
        model: Its network.
        dataset: The images, from `skinvision_hf.data.load_split`.
        scheme: Name of the split scheme, or of other data.
        split: Name of the split.
        views: How many right-angle symmetries of each image the answer is the mean over (test-time augmentation).
        batch_size: Images at once.
        accelerator: Shares the images over processes; every process returns the same report.

    Returns:
        The report, and the predictions that it is about.
    """
    predictions = predict_dataset(model, dataset, views=views, batch_size=batch_size, accelerator=accelerator)
    report = replace(
        evaluate_predictions(predictions, split_scheme=scheme, split=split),
        model=measured_weights(release, views=views),
        images=measured_images(dataset),
        subgroups=measure_subgroups(predictions, group_columns(dataset)),
    )
    if views > 1:
        # Temperature, prediction sets and thresholds belong to the answer to a single view.
        return report, predictions
    predictor = ConformalPredictor.load(release)
    points = {
        task: tuple(measure_point(p.task, p.fixed, p.level, p.threshold, predictions) for p in stored)
        for task in TASKS
        if (stored := stored_points(release, task))
    }
    report = replace(
        report,
        calibration=measure_calibration(predictions, temperature=recorded_temperature(model)),
        conformal=measure_conformal(predictor, predictions) if predictor else None,
        stored_thresholds=points or None,
    )
    return report, predictions


def compare_models(
    first: str,
    second: str,
    source: str | Path | None,
    output_dir: str | Path,
    *,
    split: str = "test",
    split_scheme: str | None = None,
    batch_size: int = 64,
    skip_unknown: bool = False,
) -> Comparison:
    """Compare two models on the same images and write comparison.json.

    Args:
        first: Release folder, Hub id, or a predictions.csv.
        second: The other one.
        source: HAM10000 or labelled images; None for two predictions.csv.
        output_dir: Where to.
        split: Name of the split; labelled images are always used whole.
        split_scheme: Name of the split scheme; None for the source's own.
        batch_size: Images at once.
        skip_unknown: Leave out images whose label is none of the seven.

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
    write_json(output_dir / COMPARISON_FILE, {"schema_version": SCHEMA_VERSION} | about | result.to_dict())
    return result


def _predictions(ref: str, dataset: Dataset | None, batch_size: int) -> Predictions:
    if dataset is None or ref.endswith(".csv"):
        return Predictions.from_csv(ref)
    model = SkinVisionForImageClassification.from_pretrained(ref).to(best_device())
    return predict_dataset(model, dataset, batch_size=batch_size)


def start_accelerator() -> "Accelerator | None":
    """Accelerate where several processes were started; one process needs no more than torch."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return None
    import torch
    from accelerate import Accelerator

    return Accelerator(cpu=True if not torch.accelerator.is_available() else None)
