"""All figures of a release, which show numbers and no image of the data set."""

from pathlib import Path

from skinvision_hf.evaluation.predictions import Predictions
from skinvision_hf.evaluation.report import EvalReport
from skinvision_hf.figures.calibration_plots import plot_prediction_sets, plot_reliability
from skinvision_hf.figures.decision_plots import plot_abstention, plot_decision, plot_roc
from skinvision_hf.figures.evaluation_plots import draw_evaluation, plot_subgroups
from skinvision_hf.figures.ood_plots import plot_far, plot_robustness
from skinvision_hf.figures.training_plots import plot_training
from skinvision_hf.models.release import HISTORY_FILE
from skinvision_hf.ood.ood_report import OODReport, RobustnessReport

__all__ = ["draw_release"]


def draw_release(
    release: str | Path,
    predictions: Predictions,
    report: EvalReport,
    *,
    ood: OODReport | None = None,
    robustness: RobustnessReport | None = None,
) -> None:
    """Draw what was measured into the folder `figures` of a release.

    Args:
        release: The release; its history is drawn where it has one.
        predictions: Of the split that was measured.
        report: The numbers about them.
        ood: What OOD detection does.
        robustness: How stable answers are.
    """
    release = Path(release)
    figures = release / "figures"
    draw_evaluation(figures, predictions, report)
    if report.calibration:
        plot_reliability(report.calibration, figures / "reliability.png")
    if report.conformal:
        plot_prediction_sets(report.conformal, figures / "prediction_sets.png")
    if report.operating_points:
        plot_roc(report.operating_points, figures / "operating_points.png")
        plot_decision(report.operating_points, figures / "decision_curve.png")
        plot_abstention(report.operating_points.abstention, figures / "abstention.png")
    if report.subgroups:
        plot_subgroups(report.subgroups, figures / "subgroups.png")
    if ood and ood.far:
        plot_far(ood, figures / "ood_far.png")
    if robustness:
        plot_robustness(robustness, figures / "robustness.png")
    if (release / HISTORY_FILE).is_file():
        plot_training(release / HISTORY_FILE, figures / "training_curves.png")
