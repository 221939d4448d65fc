"""What makes a trained network a release: calibration, OOD detection, numbers, figures, pages."""

import copy
import logging
from dataclasses import replace
from pathlib import Path

from datasets import DatasetDict

from skinvision_hf.card.model_card import write_card
from skinvision_hf.card.release_report import Measurements
from skinvision_hf.data import scheme_name
from skinvision_hf.errors import ModelError
from skinvision_hf.evaluation.calibration import calibrate
from skinvision_hf.evaluation.conformal import fit_conformal, save_conformal
from skinvision_hf.evaluation.decisions import measure_decisions
from skinvision_hf.evaluation.evaluate import evaluate_release, predict_dataset
from skinvision_hf.evaluation.predictions import Predictions
from skinvision_hf.evaluation.report import EvalReport, Validation, evaluate_predictions, read_metrics
from skinvision_hf.figures.release_plots import draw_release
from skinvision_hf.files import write_json
from skinvision_hf.models.modeling import SkinVisionForImageClassification, best_device
from skinvision_hf.models.onnx_export import export_onnx
from skinvision_hf.models.release import METRICS_FILE, ONNX_FILE, PREDICTIONS_FILE, list_parts
from skinvision_hf.models.selftest import write_selftest
from skinvision_hf.models.torch_runtime import TorchRuntime
from skinvision_hf.ood.detector import OODDetector
from skinvision_hf.ood.fitting import fit_detector
from skinvision_hf.ood.ood_evaluation import measure_ood, measure_robustness

logger = logging.getLogger(__name__)


def finish_release(
    folder: str | Path, data: DatasetDict, model: SkinVisionForImageClassification, *, split_scheme: str
) -> EvalReport:
    """Make a release of a trained network: calibrate it, fit its OOD detector, measure it on test, describe it.

    Temperature, prediction sets and thresholds come from training and validation images only; the test split is read
    once, for the report. Doing it again gives the same release.

    Args:
        folder: With the `training.json` of the network; everything else of a release is written here.
        data: The three splits that it was trained on, with the column `dx_type`.
        model: The trained network. It is calibrated, and rounded as its file is, in place.
        split_scheme: Name of the split scheme.
    """
    folder = Path(folder)
    model = model.to(best_device()).eval()
    calibrate(model, predict_dataset(model, data["validation"]))
    round_weights(model)
    detector = fit_detector(model, data["train"], data["validation"])
    evaluation, test = write_release(folder, model, detector, data, scheme=scheme_name(data, split_scheme))
    test.to_csv(folder / PREDICTIONS_FILE)
    measured = Measurements(
        ood=measure_ood(model, detector, data["test"]), robustness=measure_robustness(model, detector, data["test"])
    )
    sections, present = evaluation.to_dict() | measured.to_dict(), read_metrics(folder)
    # What other commands measured stays, as long as it is about these weights.
    write_json(folder / METRICS_FILE, (present if present.get("model") == sections["model"] else {}) | sections)
    draw_release(folder, test, evaluation, ood=measured.ood, robustness=measured.robustness)
    write_card(folder)
    return evaluation


def write_release(
    folder: Path,
    model: SkinVisionForImageClassification,
    detector: OODDetector | None,
    data: DatasetDict,
    *,
    scheme: str,
) -> tuple[EvalReport, Predictions]:
    """Write a calibrated network, rounded by `round_weights`, with its parts, and measure it on the test split.

    Prediction sets and thresholds are chosen on the split validation. `scheme` is the name of the data in the report.
    """
    model.save_pretrained(folder)
    if detector:
        detector.save(folder)
    try:
        export_onnx(model, folder, stage=detector.stage if detector else None)
    except ModelError as error:
        (folder / ONNX_FILE).unlink(missing_ok=True)  # one of other weights
        logger.warning("The release has no %s: %s", ONNX_FILE, error)
    # A runtime lays out the weights in memory in another way, which changes the last digits of what is measured.
    write_selftest(TorchRuntime(copy.deepcopy(model)), folder)
    validation = predict_dataset(model, data["validation"])
    save_conformal(fit_conformal(validation), folder)
    list_parts(folder)
    test = predict_dataset(model, data["test"])
    evaluation = replace(
        evaluate_release(folder, model, data["test"], test, scheme=scheme, split="test"),
        validation=Validation(evaluate_predictions(validation, split_scheme=scheme, split="validation").overall),
        operating_points=measure_decisions(validation, test),
        stored_thresholds=None,
    )
    return evaluation, test


def round_weights(model: SkinVisionForImageClassification) -> None:
    """Round a network in memory as its file is, so that what is measured is what is published."""
    model.timm_model.load_state_dict(model.stored_state())
