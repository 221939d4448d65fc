"""What `skinvision evaluate` and `skinvision explain-model` do: a release to numbers, figures, and its pages again."""

from pathlib import Path

import torch
from accelerate import Accelerator

from skinvision_hf.card.model_card import write_card
from skinvision_hf.config import EVALUATION_BATCH, ROAD_IMAGES
from skinvision_hf.data import load_ham10000, load_split, resolve_scheme, scheme_name
from skinvision_hf.evaluation.evaluate import evaluate_release, predict_dataset
from skinvision_hf.evaluation.report import EvalReport, assert_same_subject, measured_weights, write_metrics
from skinvision_hf.explain.explanation_evaluation import evaluate_explanations
from skinvision_hf.explain.explanation_report import ExplanationReport
from skinvision_hf.figures.evaluation_plots import MISCLASSIFIED, plot_answers
from skinvision_hf.figures.explanation_plots import draw_explanation_scores, draw_panels
from skinvision_hf.figures.release_plots import draw_release
from skinvision_hf.files import make_folder
from skinvision_hf.models.modeling import SkinVisionForImageClassification, best_device
from skinvision_hf.models.release import PREDICTIONS_FILE, TRAINING_FILE, resolve_release
from skinvision_hf.ood.detector import OODDetector
from skinvision_hf.ood.ood_evaluation import measure_ood


def evaluate_model(
    ref: str | Path | None,
    source: str | Path,
    output_dir: str | Path,
    *,
    split: str = "test",
    split_scheme: str | None = None,
    revision: str | None = None,
    views: int = 1,
    batch_size: int = EVALUATION_BATCH,
    skip_unknown: bool = False,
) -> EvalReport:
    """Measure a model on labelled images and write metrics.json, predictions.csv and figures.

    Under `accelerate launch` or `torchrun` the images are shared over the processes, with the same result. `ref` is a
    release folder or a Hub id, None the bundled release; `skinvision_hf.data.load_split` reads the images; the options
    are those of `skinvision evaluate`.

    Raises:
        DataError: If the data or the output folder cannot be used.
        ModelError: If the model cannot be loaded.
    """
    release = resolve_release(ref, revision=revision)
    assert_same_subject(output_dir, measured_weights(release, views=views))
    dataset, scheme, split = load_split(source, split=split, split_scheme=split_scheme, skip_unknown=skip_unknown)
    output_dir = make_folder(output_dir)
    accelerator = Accelerator(cpu=None if torch.accelerator.is_available() else True)
    model = SkinVisionForImageClassification.from_pretrained(release).to(accelerator.device)
    predictions = predict_dataset(model, dataset, views=views, batch_size=batch_size, accelerator=accelerator)
    report = evaluate_release(release, model, dataset, predictions, scheme=scheme, split=split, views=views)
    if not accelerator.is_main_process:
        return report
    detector = OODDetector.load(release, model)
    ood = measure_ood(model, detector, dataset) if detector and views == 1 else None
    write_metrics(output_dir, report.to_dict() | ({"ood": ood.to_dict()} if ood else {}))
    predictions.to_csv(output_dir / PREDICTIONS_FILE)
    draw_release(output_dir, predictions, report, ood=ood)
    plot_answers(dataset, predictions, output_dir / MISCLASSIFIED, right=False)
    return report


def explain_release(
    ref: str | Path | None,
    source: str | Path,
    output_dir: str | Path,
    *,
    split: str = "test",
    split_scheme: str | None = None,
    revision: str | None = None,
    limit: int = 0,
    road_images: int = ROAD_IMAGES,
    seed: int = 0,
) -> ExplanationReport:
    """Measure the heat maps of a release, and write the section `explanations` of metrics.json, figures and panels.

    Panels show images of the data set: they are for the user alone. Where the output folder is the release itself, its
    pages are written again. The options are those of `skinvision explain-model`.

    Raises:
        DataError: If the data or the output folder cannot be used.
        ModelError: If the model cannot be loaded or explained.
    """
    release, folder = resolve_release(ref, revision=revision), Path(output_dir)
    measured = measured_weights(release)
    assert_same_subject(folder, measured)
    scheme = resolve_scheme(source, split_scheme)
    data = load_ham10000(source, split_scheme=scheme, masks=True)
    make_folder(folder)
    model = SkinVisionForImageClassification.from_pretrained(release).to(best_device())
    report, scored = evaluate_explanations(
        model,
        data[split],
        split_scheme=scheme_name(data, scheme),
        split=split,
        limit=limit,
        road_images=road_images,
        seed=seed,
    )
    write_metrics(folder, {"model": measured.to_dict(), "explanations": report.to_dict()})
    draw_explanation_scores(report, folder / "figures")
    draw_panels(model, data[split], scored, folder / "panels", seed=seed)
    if folder.resolve() == release.resolve() and (folder / TRAINING_FILE).is_file():
        write_card(folder)
    return report
