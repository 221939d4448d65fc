"""Measuring models on labelled images: one, the mean answer of several, or two against each other."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasets import Dataset

from skinvision_hf.data import load_split
from skinvision_hf.errors import DataError
from skinvision_hf.evaluation.bootstrap import lesion_weights
from skinvision_hf.evaluation.comparison import Comparison, compare
from skinvision_hf.evaluation.conformal import ConformalPredictor
from skinvision_hf.evaluation.coverage import measure_conformal
from skinvision_hf.evaluation.logits import (
    assert_same_subject,
    measured_images,
    measured_weights,
    predict_dataset,
    write_metrics,
)
from skinvision_hf.evaluation.operating_points import measure_stored_points
from skinvision_hf.evaluation.predictions import Predictions
from skinvision_hf.evaluation.reliability import measure_calibration
from skinvision_hf.evaluation.report import SCHEMA_VERSION, EvalReport, evaluate_predictions
from skinvision_hf.evaluation.subgroups import group_columns, measure_subgroups
from skinvision_hf.evaluation.temperature import recorded_temperature
from skinvision_hf.figures.calibration_plots import plot_reliability
from skinvision_hf.figures.evaluation_plots import MISCLASSIFIED, draw_evaluation, plot_misclassified, plot_subgroups
from skinvision_hf.figures.training_plots import plot_training
from skinvision_hf.files import make_folder, without_folders, write_json
from skinvision_hf.models.modeling import SkinVisionForImageClassification, best_device
from skinvision_hf.models.ensembles import Ensemble
from skinvision_hf.models.release import HISTORY_FILE, PREDICTIONS_FILE, resolve_release
from skinvision_hf.ood.detector import OODDetector
from skinvision_hf.ood.ood_evaluation import measure_ood

if TYPE_CHECKING:
    from accelerate import Accelerator

__all__ = ["compare_models", "evaluate_ensemble", "evaluate_model"]

BATCH_SIZE = 64
COMPARISON_FILE = "comparison.json"


def evaluate_model(
    ref: str | Path | None,
    source: str | Path | None,
    output_dir: str | Path,
    *,
    split: str,
    split_scheme: str | None,
    revision: str | None = None,
    batch_size: int = BATCH_SIZE,
) -> EvalReport:
    """Measure a model on one part of a data set and write metrics.json, predictions.csv and figures.

    Under `accelerate launch` or `torchrun` the images are shared over the processes, with the same result.

    Args:
        ref: Release folder or Hub id; None for the bundled release.
        source: HAM10000, or labelled images; see `skinvision_hf.data.load_split`.
        output_dir: Where to.
        part: train, validation or test; labelled images have no parts.
        split: Name of the split.
        revision: Branch, tag or commit of a Hub id.
        batch_size: Images at once.

    Raises:
        DataError: If the data or the output folder cannot be used.
        ModelError: If the model cannot be loaded.
    """
    folder = resolve_release(ref, revision=revision)
    about = {"model": measured_weights(folder)}
    assert_same_subject(output_dir, about)
    dataset, name, split = load_split(_required(source), split=split, split_scheme=split_scheme)
    output_dir = make_folder(output_dir)
    accelerator = _accelerator()
    model = SkinVisionForImageClassification.from_pretrained(folder)
    predictions = _predict(model, dataset, batch_size, accelerator)
    report = evaluate_predictions(predictions, split_scheme=name, split=split)
    if accelerator is not None and not accelerator.is_main_process:
        return report
    weights = lesion_weights(predictions.lesion_ids)
    calibration = measure_calibration(predictions, temperature=recorded_temperature(model), weights=weights)
    subgroups = measure_subgroups(predictions, group_columns(dataset), weights=weights)
    sections: dict[str, Any] = report.to_dict() | about | {"images": measured_images(dataset)}
    sections |= {"calibration": calibration.to_dict(), "subgroups": subgroups.to_dict()}
    predictor = ConformalPredictor.load(folder)
    if predictor is not None:
        sections["conformal"] = measure_conformal(predictor, predictions, weights=weights).to_dict()
    stored = measure_stored_points(folder, predictions, weights)
    sections["stored_thresholds"] = {task: [point.to_dict() for point in points] for task, points in stored.items()}
    network = model.timm_model
    guard = OODDetector.load(folder, dimension=network.head_hidden_size, channels=model.stage_channels)
    if guard is not None:
        sections["ood"] = measure_ood(model, guard, dataset).to_dict()
    write_metrics(output_dir, sections)
    predictions.to_csv(output_dir / PREDICTIONS_FILE)
    figures = output_dir / "figures"
    draw_evaluation(figures, predictions, report)
    plot_reliability(calibration, figures / "reliability.png")
    plot_subgroups(subgroups, figures / "subgroups.png")
    plot_misclassified(dataset, predictions, output_dir / MISCLASSIFIED)
    if (folder / HISTORY_FILE).is_file():
        plot_training(folder / HISTORY_FILE, figures / "training_curves.png")
    return report


def evaluate_ensemble(
    refs: Sequence[str],
    source: str | Path | None,
    output_dir: str | Path,
    *,
    split: str,
    split_scheme: str | None,
    views: int = 1,
    batch_size: int = BATCH_SIZE,
) -> EvalReport:
    """Measure the mean answer of several models to several views, and write metrics.json, predictions.csv and figures.

    Args:
        refs: Release folders or Hub ids; one alone looks at its views only, which is test-time augmentation.
        source: As for `evaluate_model`.
        output_dir: Where to.
        part: As for `evaluate_model`.
        split: Name of the split.
        views: How many of the right-angle symmetries of each image count; see `skinvision_hf.config.VIEWS`.
        batch_size: Images at once.

    Raises:
        DataError: If the data or the output folder cannot be used.
        ModelError: If a model cannot be loaded, or they take images in different ways.
    """
    folders = [resolve_release(ref) for ref in refs]
    about = {"ensemble": {"members": [measured_weights(folder) for folder in folders], "views": views}}
    assert_same_subject(output_dir, about)
    ensemble = Ensemble(folders, views=views)
    dataset, name, split = load_split(_required(source), split=split, split_scheme=split_scheme)
    output_dir = make_folder(output_dir)
    accelerator = _accelerator()
    predictions = _predict(ensemble, dataset, batch_size, accelerator)
    report = evaluate_predictions(predictions, split_scheme=name, split=split)
    if accelerator is not None and not accelerator.is_main_process:
        return report
    write_metrics(output_dir, report.to_dict() | about | {"images": measured_images(dataset)})
    predictions.to_csv(output_dir / PREDICTIONS_FILE)
    draw_evaluation(output_dir / "figures", predictions, report)
    return report


def compare_models(
    first: str,
    second: str,
    source: str | Path | None,
    output_dir: str | Path,
    *,
    split: str,
    split_scheme: str | None,
    batch_size: int = BATCH_SIZE,
) -> Comparison:
    """Compare two models on the same images and write comparison.json.

    Args:
        first: Release folder, Hub id, or a predictions.csv.
        second: The other one.
        source: As for `evaluate_model`; not needed for two predictions.csv.
        output_dir: Where to.
        part: As for `evaluate_model`.
        split: Name of the split.
        batch_size: Images at once.

    Raises:
        DataError: If the two are not about the same images.
        ModelError: If a model cannot be loaded.
    """
    about: dict[str, Any] = {"first": without_folders(first), "second": without_folders(second)}
    tables = [ref.endswith(".csv") for ref in (first, second)]
    dataset = None
    if not all(tables):
        dataset, about["split"], about["part"] = load_split(_required(source), split=split, split_scheme=split_scheme)
    output_dir = make_folder(output_dir)
    both = [
        Predictions.from_csv(ref)
        if dataset is None or is_table
        else _predict(SkinVisionForImageClassification.from_pretrained(ref), dataset, batch_size, None)
        for ref, is_table in zip((first, second), tables, strict=True)
    ]
    result = compare(*both)
    write_json(output_dir / COMPARISON_FILE, {"schema_version": SCHEMA_VERSION} | about | result.to_dict())
    return result


def _required(source: str | Path | None) -> str | Path:
    if source is None:
        raise DataError("--data is missing; name HAM10000's folder, labelled images, or 'synthetic'")
    return source


def _predict(
    model: SkinVisionForImageClassification | Ensemble,
    dataset: Dataset,
    batch_size: int,
    accelerator: "Accelerator | None",
) -> Predictions:
    model.to(accelerator.device if accelerator else best_device())
    return predict_dataset(model, dataset, batch_size=batch_size, accelerator=accelerator)


def _accelerator() -> "Accelerator | None":
    """Accelerate where several processes were started; one process needs no more than torch."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return None
    import torch
    from accelerate import Accelerator

    return Accelerator(cpu=True if not torch.accelerator.is_available() else None)
