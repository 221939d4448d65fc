"""The model card: metadata for the Hub, and the text from `model_card.md`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData, constants

from skinvision_hf.card import wording
from skinvision_hf.card.facts import Links, ReleaseFacts, read_facts
from skinvision_hf.card.templating import render_template
from skinvision_hf.card.training import DRAWN
from skinvision_hf.data.split_schemes import duplicate_pairs, load_manifest
from skinvision_hf.evaluation.bootstrap import LEVEL, RESAMPLES, Estimate
from skinvision_hf.evaluation.metrics import CLASS_METRICS
from skinvision_hf.files import atomic_write
from skinvision_hf.labels import DIAGNOSES, DISCLAIMER
from skinvision_hf.models.release import CARD_FILE

__all__ = ["INTERVAL", "MAIN_METRICS", "WEIGHTS_LICENCE", "Metric", "may_lack_interval", "render_card", "write_card"]

INTERVAL = f"interval_{100 * LEVEL:.0f}"
"""Key of a metric's interval in the model-index."""
TEMPLATE = "model_card.md"
DATASET = "HAM10000"
NO_LINKS = Links()
# The licence of HAM10000, which the weights inherit.
WEIGHTS_LICENCE = "cc-by-nc-4.0"


@dataclass(frozen=True)
class Metric:
    """A metric as the card names it.

    Attributes:
        name: Key in metrics.json.
        title: What a reader sees.
        hub: Name of the metric on the Hub.
        lower_is_better: Whether small values are good.
        headline: Whether it belongs into the summary.
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

# What the optional sections are about that is chosen on validation images.
CHOSEN = {
    "calibration": "the temperature",
    "operating_points": "the thresholds",
    "decision_rules": "the ends of the trade between frequent and rare diagnoses",
    "conformal": "the prediction sets",
    "guard": "the guard",
    "explanations": "the way of drawing heat maps",
}

# Where the initial weights come from, for the Hub's model tree.
BASE_MODELS = {"lite0": "timm/tf_efficientnet_lite0.in1k"}
TAGS = ["image-classification", "skin-lesion", "dermatoscopy", "dermatology", "ham10000", "medical-imaging", "timm"]


def render_card(folder: str | Path, *, links: Links = NO_LINKS) -> ModelCard:
    """Render the card of a release from its own files.

    Args:
        folder: The release.
        links: Where it is, or will be, on the Hub, with its data set and its Space. Without a model there, the
            snippets load the folder that they run in.

    Raises:
        ModelError: If the release lacks a file or a field that the card needs.
    """
    facts = read_facts(folder)
    metadata = _metadata(facts, links)
    text = render_template(
        TEMPLATE,
        metadata=metadata.to_yaml(),
        title=_title(facts, links),
        facts=facts,
        evaluation=facts.evaluation,
        training=facts.training,
        metrics=[metric for metric in MAIN_METRICS if metric.name in facts.evaluation.overall],
        class_metrics=CLASS_METRICS,
        diagnoses=DIAGNOSES,
        disclaimer=DISCLAIMER,
        duplicate_pairs=len(duplicate_pairs()),
        ham10000_images=len(load_manifest()),
        resamples=RESAMPLES,
        licence=WEIGHTS_LICENCE,
        model_ref=links.model_id or ".",
        timm_ref=f"hf-hub:{links.model_id}" if links.model_id else "local-dir:.",
        links=links,
        base_model=base_model(facts),
        chosen=["the epoch", *(what for name, what in CHOSEN.items() if name in facts.evaluation.sections)],
        endpoint=constants.ENDPOINT,
        figures=[(wording.place(path), path, wording.caption(path)) for path in facts.figures],
        files={name: what for name, what in wording.FILES.items() if name in facts.files},
        wording=wording,
    )
    return ModelCard(text)


def write_card(folder: str | Path, *, links: Links = NO_LINKS) -> Path:
    """Render the card of a release into its folder; see `render_card`.

    Returns:
        The path of the card.
    """
    return atomic_write(Path(folder) / CARD_FILE, render_card(folder, links=links).content)


def base_model(facts: ReleaseFacts) -> str | None:
    """The Hub's name of what training started from, or None where it has none."""
    if facts.weights_origin == "timm":
        return f"timm/{facts.architecture}"
    return BASE_MODELS.get(facts.weights_origin)


def _metadata(facts: ReleaseFacts, links: Links) -> ModelCardData:
    parent = base_model(facts)
    optional: dict[str, Any] = {"base_model_relation": "finetune"} if parent else {}
    if links.model_id and facts.examples:
        optional["widget"] = [
            {"src": f"{constants.ENDPOINT}/{links.model_id}/resolve/main/{path}", "example_title": Path(path).stem}
            for path in facts.examples
        ]
    return ModelCardData(
        license=WEIGHTS_LICENCE,
        library_name="timm",
        pipeline_tag="image-classification",
        base_model=parent,
        datasets=[_dataset(facts, links)],
        language="en",
        metrics=sorted({metric.hub for metric in MAIN_METRICS}),
        tags=[tag for tag in TAGS if tag != "ham10000" or not facts.drawn],
        model_name=_title(facts, links),
        eval_results=_results(facts, links),
        **optional,
    )


def _results(facts: ReleaseFacts, links: Links) -> list[EvalResult]:
    """The model-index: each metric with the split that it was measured on and its interval."""
    evaluation = facts.evaluation
    measured = [
        (metric, evaluation.overall[metric.name]) for metric in MAIN_METRICS if metric.name in evaluation.overall
    ]
    return [
        EvalResult(
            task_type="image-classification",
            task_name="Skin lesion classification",
            dataset_type=_dataset(facts, links),
            dataset_name="Lesions drawn in code" if evaluation.drawn else f"{DATASET}, split {evaluation.split_scheme}",
            dataset_split=evaluation.split,
            dataset_args={"split": evaluation.split_scheme, "images": evaluation.images, "lesions": evaluation.lesions},
            metric_type=metric.hub,
            metric_name=metric.title,
            metric_value=_rounded(estimate.value),
            metric_args=_interval(estimate) | {"images": estimate.n},
        )
        for metric, estimate in measured
        if estimate.value is not None
    ]


def _dataset(facts: ReleaseFacts, links: Links) -> str:
    """The data set that a release was trained and measured on, by its name on the Hub where it is there."""
    return links.dataset_id or (DRAWN if facts.drawn else DATASET)


def may_lack_interval(metric: Metric, value: float) -> bool:
    """Whether `skinvision_hf.evaluation.bootstrap.bootstrap` may give a metric of this value no interval."""
    return metric.name == "ece" or value in (0.0, 1.0)


def _interval(estimate: Estimate) -> dict[str, Any]:
    if estimate.low is None or estimate.high is None:
        return {}
    return {INTERVAL: [_rounded(estimate.low), _rounded(estimate.high)]}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _title(facts: ReleaseFacts, links: Links) -> str:
    return links.model_id.rpartition("/")[2] if links.model_id else f"skinvision-{facts.architecture.replace('_', '-')}"
