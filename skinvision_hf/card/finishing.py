"""What makes trained weights a release: calibration, guard, numbers, figures, card."""

from pathlib import Path

from datasets import DatasetDict

from skinvision_hf.card import write_card
from skinvision_hf.data import scheme_name
from skinvision_hf.evaluation.bootstrap import lesion_counts
from skinvision_hf.evaluation.calibration import calibrate, measure_calibration
from skinvision_hf.evaluation.conformal import measure_conformal
from skinvision_hf.evaluation.decisions import measure_decisions
from skinvision_hf.evaluation.logits import (
    measured_images,
    measured_weights,
    predict_dataset,
    read_metrics,
    write_metrics,
)
from skinvision_hf.evaluation.report import EvalReport, evaluate_predictions
from skinvision_hf.evaluation.subgroups import group_columns, measure_subgroups
from skinvision_hf.figures.calibration import plot_prediction_sets, plot_reliability
from skinvision_hf.figures.evaluation import draw_evaluation, plot_training
from skinvision_hf.figures.guard import plot_far, plot_shifts
from skinvision_hf.figures.operating_points import plot_abstention, plot_decision, plot_roc
from skinvision_hf.figures.subgroups import plot_subgroups
from skinvision_hf.models.devices import best_device
from skinvision_hf.models.modeling import SkinVisionForImageClassification
from skinvision_hf.models.prediction_sets import ConformalPredictor
from skinvision_hf.models.release import HISTORY_FILE, METRICS_FILE, PREDICTIONS_FILE, list_parts
from skinvision_hf.ood.evaluation import evaluate_guard
from skinvision_hf.ood.fitting import fit_guard

__all__ = ["finish_release"]


def finish_release(folder: str | Path, data: DatasetDict, *, split_scheme: str) -> EvalReport:
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
    folder, name = Path(folder), scheme_name(data, split_scheme)
    device = best_device()
    model = SkinVisionForImageClassification.from_pretrained(folder).to(device)
    record = calibrate_release(folder, predict_dataset(model, data["validation"]))
    model = SkinVisionForImageClassification.from_pretrained(folder).to(device)
    guard, comparison = fit_guard(model, data["train"], data["validation"])
    guard.save(folder)
    validation, test = (predict_dataset(model, data[split]) for split in ("validation", "test"))
    predictor = ConformalPredictor.fit(validation)
    predictor.save(folder)

    report = evaluate_predictions(test, split_scheme=name, split="test")
    tuned = evaluate_predictions(validation, split_scheme=name, split="validation")
    counts = lesion_counts(test.lesion_ids)
    calibration = measure_calibration(test, temperature=record.temperature, counts=counts)
    conformal = measure_conformal(predictor, test, counts=counts)
    points = measure_decisions(validation, test, counts=counts)
    subgroups = measure_subgroups(test, group_columns(data["test"]), counts=counts)
    guarded = evaluate_guard(model, guard, data["test"], comparison)
    about = measured_weights(folder)
    if read_metrics(folder).get("model", about) != about:
        (folder / METRICS_FILE).unlink()
    write_metrics(
        folder,
        report.to_dict()
        | {
            "model": about,
            "images": measured_images(data["test"]),
            "validation": {"overall": tuned.to_dict()["overall"]},
            "calibration": calibration.to_dict(),
            "conformal": conformal.to_dict(),
            "operating_points": points.to_dict(),
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
    plot_subgroups(subgroups, figures / "subgroups.png")
    plot_far(guarded, figures / "guard_far.png")
    plot_shifts(guarded, figures / "guard_shifts.png")
    if (folder / HISTORY_FILE).is_file():
        plot_training(folder / HISTORY_FILE, figures / "training_curves.png")
    write_card(folder)
    return report
