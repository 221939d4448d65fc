"""What makes trained weights a release, and what is said of any model: calibration, guard, numbers, figures, card."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasets import Dataset, DatasetDict

from skinvision_hf.calibration import ConformalPredictor
from skinvision_hf.calibration.coverage import measure_conformal
from skinvision_hf.calibration.reliability import measure_calibration
from skinvision_hf.calibration.temperature import calibrate_release, recorded_temperature
from skinvision_hf.card import write_card
from skinvision_hf.checkpoints import HISTORY_FILE
from skinvision_hf.data import load_part, split_name
from skinvision_hf.decision_rules import measure_decision_rules
from skinvision_hf.ensembles import Ensemble
from skinvision_hf.errors import DataError
from skinvision_hf.evaluation import PREDICTIONS_FILE, predict_dataset, write_metrics
from skinvision_hf.figures.calibration import plot_prediction_sets, plot_reliability
from skinvision_hf.figures.decision_rules import plot_decision_rules
from skinvision_hf.figures.evaluation import MISCLASSIFIED, draw_evaluation, plot_misclassified, plot_training
from skinvision_hf.figures.guard import plot_far, plot_shifts
from skinvision_hf.figures.operating_points import plot_abstention, plot_decision, plot_roc
from skinvision_hf.figures.subgroups import plot_subgroups
from skinvision_hf.files import sha256, write_json
from skinvision_hf.guard import FeatureGuard
from skinvision_hf.guard.evaluation import evaluate_guard, measure_acceptance
from skinvision_hf.guard.fitting import fit_guard
from skinvision_hf.guard.stages import stage_channels
from skinvision_hf.metrics import Comparison, EvalReport, Predictions, compare, evaluate_predictions, lesion_weights
from skinvision_hf.metrics.report import SCHEMA_VERSION
from skinvision_hf.modeling import WEIGHTS_FILE, SkinVisionForImageClassification
from skinvision_hf.operating_points import measure_operating_points, measure_stored_points
from skinvision_hf.releases import list_parts, resolve_release
from skinvision_hf.subgroups import group_columns, measure_subgroups

if TYPE_CHECKING:
    from accelerate import Accelerator

__all__ = ["compare_models", "evaluate_ensemble", "evaluate_model", "finish_release"]

BATCH_SIZE = 64
COMPARISON_FILE = "comparison.json"


def finish_release(folder: str | Path, data: DatasetDict, *, split: str) -> EvalReport:
    """Make a release of a trained network: calibrate it, fit its guard, measure it on test, draw and describe it.

    Temperature, prediction sets, thresholds, decision rules and guard come from training and validation images only;
    the test part is read once, for the report. Doing it again gives the same release.

    Args:
        folder: With the `config.json` and `model.safetensors` of a trained network; everything else is added.
        data: The three parts that it was trained on, with the column `dx_type`.
        split: Name of the split.

    Returns:
        The report on the test part.
    """
    folder, name = Path(folder), split_name(data, split)
    model = SkinVisionForImageClassification.from_pretrained(folder)
    record = calibrate_release(folder, predict_dataset(model, data["validation"]))
    model = SkinVisionForImageClassification.from_pretrained(folder)
    guard, comparison = fit_guard(model, data["train"], data["validation"])
    guard.save(folder)
    validation, test = (predict_dataset(model, data[part]) for part in ("validation", "test"))
    predictor = ConformalPredictor.fit(validation)
    predictor.save(folder)

    report = evaluate_predictions(test, split=name, part="test")
    tuned = evaluate_predictions(validation, split=name, part="validation")
    weights = lesion_weights(test.lesion_ids)
    calibration = measure_calibration(test, temperature=record.temperature, weights=weights)
    conformal = measure_conformal(predictor, test, weights=weights)
    points = measure_operating_points(validation, test, weights=weights)
    labels = data["train"].with_format("numpy")["label"][:]
    rules = measure_decision_rules(validation, test, labels, weights=weights)
    subgroups = measure_subgroups(test, group_columns(data["test"]), weights=weights)
    guarded = evaluate_guard(model, guard, data["test"], comparison)
    write_metrics(
        folder,
        report.to_dict()
        | {
            "model": _measured(folder),
            "validation": {"overall": tuned.to_dict()["overall"]},
            "calibration": calibration.to_dict(),
            "conformal": conformal.to_dict(),
            "operating_points": points.to_dict(),
            "decision_rules": rules.to_dict(),
            "subgroups": subgroups.to_dict(),
            "guard": guarded.to_dict(),
        },
    )
    test.to_csv(folder / PREDICTIONS_FILE)
    list_parts(folder)

    figures = folder / "figures"
    draw_evaluation(figures, test, report)
    plot_reliability(calibration, figures / "reliability.png")
    plot_prediction_sets(conformal, figures / "prediction_sets.png")
    plot_roc(points, figures / "operating_points.png")
    plot_decision(points, figures / "decision_curve.png")
    plot_abstention(points, figures / "abstention.png")
    plot_decision_rules(rules, figures / "decision_rules.png")
    plot_subgroups(subgroups, figures / "subgroups.png")
    plot_far(guarded, figures / "guard_far.png")
    plot_shifts(guarded, figures / "guard_shifts.png")
    if (folder / HISTORY_FILE).is_file():
        plot_training(folder / HISTORY_FILE, figures / "training_curves.png")
    write_card(folder)
    return report


def evaluate_model(
    ref: str | Path | None,
    source: str | Path | None,
    output_dir: str | Path,
    *,
    part: str,
    split: str | None,
    revision: str | None = None,
    batch_size: int = BATCH_SIZE,
) -> EvalReport:
    """Measure a model on one part of a data set and write metrics.json, predictions.csv and figures.

    Under `accelerate launch` or `torchrun` the images are shared over the processes, with the same result.

    Args:
        ref: Release folder or Hub id; None for the bundled release.
        source: HAM10000, or labelled images; see `skinvision_hf.data.load_part`.
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
    dataset, name, part = load_part(_required(source), part=part, split=split)
    accelerator = _accelerator()
    model = SkinVisionForImageClassification.from_pretrained(folder)
    predictions = _predict(model, dataset, batch_size, accelerator)
    report = evaluate_predictions(predictions, split=name, part=part)
    if accelerator is not None and not accelerator.is_main_process:
        return report
    weights = lesion_weights(predictions.lesion_ids)
    calibration = measure_calibration(predictions, temperature=recorded_temperature(model), weights=weights)
    subgroups = measure_subgroups(predictions, group_columns(dataset), weights=weights)
    sections: dict[str, Any] = report.to_dict() | {"model": _measured(folder)}
    sections |= {"calibration": calibration.to_dict(), "subgroups": subgroups.to_dict()}
    predictor = ConformalPredictor.load(folder)
    if predictor is not None:
        sections["conformal"] = measure_conformal(predictor, predictions, weights=weights).to_dict()
    stored = measure_stored_points(folder, predictions, weights)
    sections["stored_thresholds"] = {task: [point.to_dict() for point in points] for task, points in stored.items()}
    network = model.timm_model
    guard = FeatureGuard.load(folder, dimension=network.head_hidden_size, channels=stage_channels(network))
    if guard is not None:
        sections["guard_accepted"] = measure_acceptance(model, guard, dataset).to_dict()
    output_dir = Path(output_dir)
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
    part: str,
    split: str | None,
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
    ensemble = Ensemble(refs, views=views)
    dataset, name, part = load_part(_required(source), part=part, split=split)
    predictions = predict_dataset(ensemble, dataset, batch_size=batch_size)
    report = evaluate_predictions(predictions, split=name, part=part)
    output_dir = Path(output_dir)
    members = [_measured(resolve_release(ref)) for ref in refs]
    write_metrics(output_dir, report.to_dict() | {"ensemble": {"members": members, "views": views}})
    predictions.to_csv(output_dir / PREDICTIONS_FILE)
    draw_evaluation(output_dir / "figures", predictions, report)
    return report


def compare_models(
    first: str,
    second: str,
    source: str | Path | None,
    output_dir: str | Path,
    *,
    part: str,
    split: str | None,
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
    both = []
    for ref in (first, second):
        if ref.endswith(".csv"):
            both.append(Predictions.from_csv(ref))
        else:
            model = SkinVisionForImageClassification.from_pretrained(ref)
            both.append(_predict(model, load_part(_required(source), part=part, split=split)[0], batch_size, None))
    result = compare(*both)
    about = {"schema_version": SCHEMA_VERSION, "first": first, "second": second, "part": part, "split": split}
    write_json(Path(output_dir) / COMPARISON_FILE, about | result.to_dict())
    return result


def _measured(folder: Path) -> dict[str, str]:
    """Which weights a report is about, so that it is never shown beside others."""
    return {"weights_sha256": sha256(folder / WEIGHTS_FILE)}


def _required(source: str | Path | None) -> str | Path:
    if source is None:
        raise DataError("--data is missing; name HAM10000's folder, labelled images, or 'synthetic'")
    return source


def _predict(
    model: SkinVisionForImageClassification, dataset: Dataset, batch_size: int, accelerator: "Accelerator | None"
) -> Predictions:
    if accelerator is not None:
        model.to(accelerator.device)
    return predict_dataset(model, dataset, batch_size=batch_size, accelerator=accelerator)


def _accelerator() -> "Accelerator | None":
    """Accelerate where several processes were started; one process needs no more than torch."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return None
    import torch
    from accelerate import Accelerator

    return Accelerator(cpu=True if not torch.accelerator.is_available() else None)
