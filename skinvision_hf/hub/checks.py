"""What a release must fulfil to be published: three loaders agree, and its report is about these very weights."""

import json
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import timm
import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoModelForImageClassification

from skinvision_hf.card import MAIN_METRICS, ReleaseReport
from skinvision_hf.data.transforms import eval_transform
from skinvision_hf.errors import HubError
from skinvision_hf.evaluation.report import EvalReport
from skinvision_hf.files import sha256
from skinvision_hf.models.modeling import SkinVisionForImageClassification
from skinvision_hf.models.release import CONFIG_FILE, METRICS_FILE, PARTS_KEY, WEIGHTS_FILE, release_parts

TOLERANCE = 1e-4


def check_release(folder: Path) -> None:
    """Check a release folder as it would be published.

    Raises:
        ModelError: If it cannot be loaded.
        HubError: If the loaders disagree, or the report is incomplete or about other files.
    """
    answers = dict(_answers(folder))
    reference = answers.pop("skinvision_hf")
    for loader, answer in answers.items():
        if not np.allclose(answer, reference, rtol=TOLERANCE, atol=TOLERANCE):
            raise HubError(f"{folder.name}: {loader} and skinvision_hf give different answers; save the release again")
    if fault := next(_faults(folder, ReleaseReport.read(folder).evaluation), None):
        raise HubError(f"the release cannot be published: {fault}; evaluate it again")


def _answers(folder: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Probabilities of one picture from each loader."""
    noise = np.random.default_rng(0).integers(0, 256, (150, 200, 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    with torch.inference_mode():
        ours = SkinVisionForImageClassification.from_pretrained(folder).eval()
        transform = eval_transform(ours.config.pretrained_cfg)
        yield "skinvision_hf", ours(transform(image)[None]).logits.softmax(dim=1)[0].numpy()
        model = AutoModelForImageClassification.from_pretrained(folder).eval()
        pixels = AutoImageProcessor.from_pretrained(folder)(image, return_tensors="pt")["pixel_values"]
        yield "transformers", model(pixels).logits.softmax(dim=1)[0].numpy()
        network = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
        transform = timm.data.create_transform(**timm.data.resolve_model_data_config(network), is_training=False)
        yield "timm", network(transform(image)[None]).softmax(dim=1)[0].numpy()


def _faults(folder: Path, report: EvalReport) -> Iterator[str]:
    if report.model is None or report.model.weights_sha256 != sha256(folder / WEIGHTS_FILE):
        yield f"{METRICS_FILE} was measured with other weights than those of {WEIGHTS_FILE}"
    listed = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8")).get(PARTS_KEY)
    if listed != release_parts(folder):
        yield f"{CONFIG_FILE} lists {listed} as {PARTS_KEY}, but there are {release_parts(folder)}"
    for metric in MAIN_METRICS:
        estimate = report.overall.get(metric.name)
        if estimate is None or estimate.value is None or not math.isfinite(estimate.value):
            yield f"{METRICS_FILE} has no {metric.name}"
