"""The pages of a release: its model card with metadata for the Hub, and everything that was measured."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from huggingface_hub import EvalResult, ModelCard, ModelCardData, constants

from skinvision_hf.card.release_report import SYNTHETIC, ReleaseReport
from skinvision_hf.card.templating import LICENCE, NO_LINKS, Links, render_template
from skinvision_hf.config import CAM_METHOD
from skinvision_hf.evaluation.bootstrap import LEVEL, RESAMPLES
from skinvision_hf.evaluation.metrics import CLASS_METRICS
from skinvision_hf.evaluation.subgroups import SHARED_LESIONS, SKIN_TONE, SMALL_GROUP
from skinvision_hf.files import atomic_write
from skinvision_hf.models.prediction import COVERAGE, MIN_SENSITIVITY
from skinvision_hf.models.release import CARD_FILE, EVALUATION_FILE, NOTEBOOK_FILE

TASK = "image-classification"
DATASET = "HAM10000"
# What a network was trained from, by its name on the Hub.
BASE_MODELS = {"lite0": "timm/tf_efficientnet_lite0.in1k"}
TAGS = ["skin-lesion", "dermatoscopy", "dermatology", "medical-imaging", "timm"]

CAPTIONS = {
    "confusion_matrix": "Confusion matrix: ground truth in rows, most probable diagnosis in columns",
    "per_class_metrics": "Metrics of each diagnosis with their confidence intervals",
    "roc_curves": "ROC curve of each diagnosis against the rest",
    "precision_recall_curves": "Precision-recall curve of each diagnosis against the rest",
    "reliability": "Reliability diagram before and after temperature scaling",
    "confidence": "Confidence of correct and of incorrect answers",
    "prediction_sets": "Coverage and size of conformal prediction sets",
    "operating_points": "ROC curves for malignant lesions and for melanoma, with the thresholds",
    "decision_curve": "Decision curve: net benefit of acting on the model, on all images and on none",
    "abstention": "Error rate when only the most confident answers are given",
    "subgroups": "Balanced accuracy by sex, age, body site and confirmation",
    "ood_far": "Share of other images that OOD detection accepts",
    "robustness": "Accuracy and refused images after changes of the test images",
    "explanation_scores": "Localisation scores of each heat map method and of the baselines",
    "explanation_by_class": "Localisation scores by diagnosis",
    "explanation_randomisation": "Rank correlation with the heat maps of randomised networks",
    "training_curves": "Loss, validation metrics and learning rate by epoch",
}
"""What a figure shows, by the name of its file without the ending."""


class Metric(NamedTuple):
    """An overall metric: its name in metrics.json, for readers, and on the Hub, unless the model card leaves it out."""

    name: str
    title: str
    hub: str | None = None


MAIN_METRICS = (
    Metric("balanced_accuracy", "Balanced accuracy", "balanced_accuracy"),
    Metric("macro_f1", "Macro F1", "f1"),
    Metric("mean_auc", "Mean one-vs-rest ROC AUC", "roc_auc"),
    Metric("accuracy", "Accuracy", "accuracy"),
    Metric("melanoma_sensitivity", "Melanoma sensitivity", "recall"),
    Metric("melanoma_specificity", "Melanoma specificity", "specificity"),
    Metric("weighted_f1", "Weighted F1"),
    Metric("log_loss", "Log loss (0 is best)"),
    Metric("brier_score", "Brier score (0 is best)"),
    Metric("ece", "Expected calibration error (0 is best)"),
)


def write_card(folder: str | Path, *, links: Links = NO_LINKS) -> Path:
    """Write the README.md, whose path it returns, EVALUATION.md and notebook.ipynb of a release into its folder.

    Raises:
        ModelError: If the release lacks a file or a field that the pages need.
    """
    report = ReleaseReport.read(folder)
    atomic_write(Path(folder) / NOTEBOOK_FILE, render_page("notebook.ipynb", report, links=links))
    atomic_write(Path(folder) / EVALUATION_FILE, render_page("evaluation.md", report, links=links))
    return atomic_write(Path(folder) / CARD_FILE, render_card(report, links=links).content)


def render_card(report: ReleaseReport, *, links: Links = NO_LINKS) -> ModelCard:
    """Render the model card of a release; see `render_page`."""
    return ModelCard(render_page("model_card.md", report, links=links))


def render_page(template: str, report: ReleaseReport, *, links: Links = NO_LINKS) -> str:
    """Render a page about a release. Without a link to a model, its snippets load the folder that they run in.

    Raises:
        ModelError: If the release lacks something that the page needs.
    """
    return render_template(
        template,
        metadata=_metadata(report, links).to_yaml(),
        title=_title(report, links),
        report=report,
        evaluation=report.evaluation,
        training=report.training,
        metrics=MAIN_METRICS,
        class_metrics=CLASS_METRICS,
        captions=CAPTIONS,
        resamples=RESAMPLES,
        coverage=COVERAGE,
        small_group=SMALL_GROUP,
        skin_tone=SKIN_TONE,
        shared_lesions=SHARED_LESIONS,
        cam_method=CAM_METHOD,
        operating_level=MIN_SENSITIVITY,
        base_model=_base_model(report),
        links=links,
    )


def _base_model(report: ReleaseReport) -> str | None:
    """The Hub's name of what training started from; None where it has none."""
    if report.weights_origin == "timm":
        return f"timm/{report.architecture}"
    return BASE_MODELS.get(report.weights_origin)


def _metadata(report: ReleaseReport, links: Links) -> ModelCardData:
    parent = _base_model(report)
    optional: dict[str, Any] = {"base_model_relation": "finetune"} if parent else {}
    if links.model_id and report.examples:
        optional["widget"] = [
            {"src": f"{constants.ENDPOINT}/{links.model_id}/resolve/main/{path}", "example_title": Path(path).stem}
            for path in report.examples
        ]
    # By its name on the Hub, where it is there.
    dataset = links.dataset_id or (SYNTHETIC if report.synthetic else DATASET)
    return ModelCardData(
        license=LICENCE,
        library_name="timm",
        pipeline_tag=TASK,
        base_model=parent,
        datasets=[dataset],
        language="en",
        metrics=sorted({metric.hub for metric in MAIN_METRICS if metric.hub}),
        tags=TAGS if report.synthetic else [*TAGS, "ham10000"],
        model_name=_title(report, links),
        eval_results=list(_results(report, dataset)),
        **optional,
    )


def _results(report: ReleaseReport, dataset: str) -> Iterator[EvalResult]:
    """The model-index: the headline metrics with their confidence intervals."""
    split = report.evaluation.split
    name = "Synthetic lesions" if report.synthetic else f"{DATASET}, split scheme {split.scheme}"
    if report.adaptation:  # measured on other images than those of the training data
        dataset = name = split.scheme
    for metric in MAIN_METRICS:
        estimate = report.evaluation.overall.get(metric.name)
        if metric.hub and estimate and estimate.value is not None:
            interval = f"{estimate.low:.4f} to {estimate.high:.4f}" if estimate.low is not None else None
            yield EvalResult(
                task_type=TASK,
                task_name="Skin lesion classification",
                dataset_type=dataset,
                dataset_name=name,
                dataset_split=split.name,
                metric_type=metric.hub,
                metric_name=metric.title,
                metric_value=round(estimate.value, 4),
                metric_args={f"interval_{100 * LEVEL:.0f}": interval} if interval else None,
            )


def _title(report: ReleaseReport, links: Links) -> str:
    if links.model_id:
        return links.model_id.rpartition("/")[2]
    return f"skinvision-{report.architecture.replace('_', '-')}{'-adapted' if report.adaptation else ''}"
