"""The pages of a release: its model card with metadata for the Hub, and everything that was measured."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData, constants

from skinvision_hf.card.captions import CAPTIONS, FILES
from skinvision_hf.card.release_report import ReleaseReport
from skinvision_hf.card.templating import LICENCE, NO_LINKS, Links, render_template
from skinvision_hf.card.training_record import SYNTHETIC
from skinvision_hf.config import CAM_METHOD
from skinvision_hf.evaluation.bootstrap import LEVEL, RESAMPLES
from skinvision_hf.evaluation.metrics import CLASS_METRICS
from skinvision_hf.evaluation.subgroups import SHARED_LESIONS, SMALL_GROUP
from skinvision_hf.files import atomic_write
from skinvision_hf.models.prediction_sets import COVERAGE
from skinvision_hf.models.release import CARD_FILE, EVALUATION_FILE
from skinvision_hf.records import Estimate

__all__ = ["INTERVAL", "MAIN_METRICS", "Metric", "render_card", "render_page", "write_card"]

INTERVAL = f"interval_{100 * LEVEL:.0f}"
"""Key of a metric's confidence interval in the model-index."""
OPERATING_LEVEL = 0.95
"""Sensitivity on validation of the thresholds that the model card shows."""
CARD_TEMPLATE, EVALUATION_TEMPLATE = "model_card.md", "evaluation.md"
DATASET = "HAM10000"
# What a network was trained from, by its name on the Hub.
BASE_MODELS = {"lite0": "timm/tf_efficientnet_lite0.in1k"}
TAGS = ["skin-lesion", "dermatoscopy", "dermatology", "medical-imaging", "timm"]


@dataclass(frozen=True)
class Metric:
    """An overall metric as the pages name it.

    Attributes:
        name: Key in metrics.json.
        title: What a reader sees.
        hub: Name of the metric on the Hub.
        lower_is_better: Whether small values are good.
        headline: Whether it is in the model card and its metadata.
    """

    name: str
    title: str
    hub: str
    lower_is_better: bool = False
    headline: bool = False


MAIN_METRICS = (
    Metric("balanced_accuracy", "Balanced accuracy", "balanced_accuracy", headline=True),
    Metric("macro_f1", "Macro F1", "f1", headline=True),
    Metric("mean_auc", "Mean one-vs-rest ROC AUC", "roc_auc", headline=True),
    Metric("accuracy", "Accuracy", "accuracy", headline=True),
    Metric("melanoma_sensitivity", "Melanoma sensitivity", "recall", headline=True),
    Metric("melanoma_specificity", "Melanoma specificity", "specificity", headline=True),
    Metric("weighted_f1", "Weighted F1", "f1"),
    Metric("log_loss", "Log loss", "log_loss", lower_is_better=True),
    Metric("brier_score", "Brier score", "brier_score", lower_is_better=True),
    Metric("ece", "Expected calibration error", "expected_calibration_error", lower_is_better=True),
)


def write_card(folder: str | Path, *, report: ReleaseReport | None = None, links: Links = NO_LINKS) -> Path:
    """Write the README.md and EVALUATION.md of a release into its folder.

    Args:
        folder: The release.
        report: What is known about it; read from the folder when None.
        links: See `render_page`.

    Returns:
        The path of README.md.

    Raises:
        ModelError: If the release lacks a file or a field that the pages need.
    """
    report = report or ReleaseReport.read(folder)
    atomic_write(Path(folder) / EVALUATION_FILE, render_page(EVALUATION_TEMPLATE, report, links=links))
    return atomic_write(Path(folder) / CARD_FILE, render_card(report, links=links).content)


def render_card(report: ReleaseReport, *, links: Links = NO_LINKS) -> ModelCard:
    """Render the model card of a release; see `render_page`."""
    return ModelCard(render_page(CARD_TEMPLATE, report, links=links))


def render_page(template: str, report: ReleaseReport, *, links: Links = NO_LINKS) -> str:
    """Render a page about a release.

    Args:
        template: Name of the template.
        report: The release.
        links: Where it is, or will be, on the Hub, with its data set and its Space. Without a model there, the snippets
            load the folder that they run in.

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
        metrics=[metric for metric in MAIN_METRICS if metric.name in report.evaluation.overall],
        class_metrics=CLASS_METRICS,
        captions=CAPTIONS,
        files=FILES,
        resamples=RESAMPLES,
        coverage=COVERAGE,
        small_group=SMALL_GROUP,
        shared_lesions=SHARED_LESIONS,
        cam_method=CAM_METHOD,
        operating_level=OPERATING_LEVEL,
        base_model=_base_model(report),
        model_ref=links.model_id or ".",
        timm_ref=f"hf-hub:{links.model_id}" if links.model_id else "local-dir:.",
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
    return ModelCardData(
        license=LICENCE,
        library_name="timm",
        pipeline_tag="image-classification",
        base_model=parent,
        datasets=[_dataset(report, links)],
        language="en",
        metrics=sorted({metric.hub for metric in MAIN_METRICS if metric.headline}),
        tags=TAGS if report.synthetic else [*TAGS, "ham10000"],
        model_name=_title(report, links),
        eval_results=_results(report, links),
        **optional,
    )


def _results(report: ReleaseReport, links: Links) -> list[EvalResult]:
    """The model-index: the headline metrics with their confidence intervals."""
    split = report.evaluation.split
    measured = [(metric, report.evaluation.overall[metric.name]) for metric in MAIN_METRICS if metric.headline]
    return [
        EvalResult(
            task_type="image-classification",
            task_name="Skin lesion classification",
            dataset_type=_dataset(report, links),
            dataset_name="Synthetic lesions" if report.synthetic else f"{DATASET}, split scheme {split.scheme}",
            dataset_split=split.name,
            metric_type=metric.hub,
            metric_name=metric.title,
            metric_value=round(estimate.value, 4),
            metric_args=_interval(estimate),
        )
        for metric, estimate in measured
        if estimate.value is not None
    ]


def _dataset(report: ReleaseReport, links: Links) -> str:
    """The data set that a release was trained and measured on, by its name on the Hub where it is there."""
    return links.dataset_id or (SYNTHETIC if report.synthetic else DATASET)


def _interval(estimate: Estimate) -> dict[str, Any] | None:
    if estimate.low is None or estimate.high is None:
        return None
    return {INTERVAL: [round(estimate.low, 4), round(estimate.high, 4)]}


def _title(report: ReleaseReport, links: Links) -> str:
    if links.model_id:
        return links.model_id.rpartition("/")[2]
    return f"skinvision-{report.architecture.replace('_', '-')}"
