"""What `skinvision adapt` does: a release and a clinic's own labelled images to a release that suits them."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from datasets import DatasetDict

from skinvision_hf.card.model_card import write_card
from skinvision_hf.card.release_report import Measurements, ReleaseReport
from skinvision_hf.data import load_labelled
from skinvision_hf.errors import DataError
from skinvision_hf.evaluation.adaptation import AdaptationReport, answer_statistics, halve, measure_changes
from skinvision_hf.evaluation.calibration import fit_priors, fold
from skinvision_hf.evaluation.evaluate import predict_dataset
from skinvision_hf.evaluation.report import measured_weights, write_metrics
from skinvision_hf.figures.release_plots import draw_release
from skinvision_hf.files import atomic_write, make_folder, without_folders
from skinvision_hf.labels import CODES
from skinvision_hf.models.modeling import SkinVisionForImageClassification, best_device
from skinvision_hf.models.release import HISTORY_FILE, TRAINING_FILE, copy_release, release_files, resolve_release
from skinvision_hf.ood.detector import OODDetector
from skinvision_hf.ood.ood_evaluation import measure_ood
from skinvision_hf.workflows.finishing import round_weights, write_release


def adapt_model(
    ref: str | Path | None,
    source: str | Path,
    output_dir: str | Path,
    *,
    revision: str | None = None,
    skip_unknown: bool = False,
) -> AdaptationReport:
    """Refit a release on half of some labelled images, measure it on the other half, and write it as a new release.

    Temperature and class priors become part of the classifier; prediction sets and thresholds follow. The new release
    has no `predictions.csv`, which would name the images. The options are those of `skinvision adapt`.

    Raises:
        DataError: If the images cannot be used or are too few, or the folder has files of a release already.
        ModelError: If the release cannot be loaded or is not complete.
    """
    release, folder = resolve_release(ref, revision=revision), Path(output_dir)
    ReleaseReport.read(release)  # what the new card is made of
    if release_files(folder):
        raise DataError(f"{folder} has files of a release; choose another --output_dir")
    data = halve(load_labelled(source, skip_unknown=skip_unknown))
    make_folder(folder)
    name = without_folders(str(ref)) if ref else "the bundled release"
    # A run that is stopped leaves no half of a release.
    with TemporaryDirectory(dir=folder, prefix=".adapt-") as draft:
        report = _adapt(release, Path(draft), data, name=name, scheme=Path(source).stem)
        copy_release(Path(draft), folder)
    return report


def _adapt(release: Path, folder: Path, data: DatasetDict, *, name: str, scheme: str) -> AdaptationReport:
    model = SkinVisionForImageClassification.from_pretrained(release).to(best_device())
    detector = OODDetector.load(release, model)
    first, second = (predict_dataset(model, half) for half in data.values())
    temperature, bias = fit_priors(first.logits, first.labels)
    fold(model, temperature, bias)
    round_weights(model)
    evaluation, test = write_release(folder, model, detector, data, scheme=scheme)
    write_metrics(folder, evaluation.to_dict())
    report = AdaptationReport(
        release=name,
        weights_sha256=measured_weights(release).weights_sha256,
        images=dict(zip(CODES, np.bincount(first.labels, minlength=len(CODES)).tolist(), strict=True)),
        temperature=temperature,
        bias=dict(zip(CODES, bias.tolist(), strict=True)),
        changes=measure_changes(answer_statistics(second, release), answer_statistics(test, folder), test.counts),
    )
    measured = Measurements(ood=measure_ood(model, detector, data["test"]) if detector else None, adaptation=report)
    write_metrics(folder, measured.to_dict())
    for file in (TRAINING_FILE, HISTORY_FILE):
        if (release / file).is_file():
            atomic_write(folder / file, (release / file).read_bytes())
    draw_release(folder, test, evaluation, ood=measured.ood)
    write_card(folder)
    return report
