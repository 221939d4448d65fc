"""Adds to a release what its heat maps are worth: numbers, figures, and the pages that show them."""

from pathlib import Path

from skinvision_hf.card.model_card import write_card
from skinvision_hf.data import load_ham10000, resolve_scheme, scheme_name
from skinvision_hf.evaluation.logits import assert_same_subject, measured_weights, write_metrics
from skinvision_hf.explain.explanation_evaluation import ROAD_IMAGES, evaluate_explanations
from skinvision_hf.explain.explanation_report import ExplanationReport
from skinvision_hf.figures.explanation_plots import draw_explanation_scores, draw_panels
from skinvision_hf.files import make_folder
from skinvision_hf.models.modeling import SkinVisionForImageClassification, best_device
from skinvision_hf.models.release import TRAINING_FILE, resolve_release

__all__ = ["explain_release"]


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
    pages are written again.

    Args:
        ref: Release folder or Hub id; None for the bundled release.
        source: HAM10000 with its masks.
        output_dir: Where to.
        split: The split that is measured.
        split_scheme: Name of the split scheme; None for the source's own.
        revision: Branch, tag or commit of a Hub id.
        limit: Largest number of images, drawn at random; 0 for all.
        road_images: Images on which faithfulness is measured.
        seed: Seed of everything that is drawn at random.

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
