"""The self-test of a release: drawn images with their expected logits, and what each loader here makes of them.

It tells whether images are prepared, and the network computes, as on the machine that made the release.
"""

import base64
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from PIL import Image

from skinvision_hf.data.images import encode, open_image
from skinvision_hf.errors import ImageError, ModelError
from skinvision_hf.files import write_json
from skinvision_hf.labels import CODES
from skinvision_hf.models.outputs import TOLERANCE, softmax
from skinvision_hf.models.release import ONNX_FILE, SELFTEST_FILE

if TYPE_CHECKING:
    from skinvision_hf.models.torch_runtime import TorchRuntime

SIZES = ((600, 450), (450, 600), (448, 336), (1024, 768), (200, 150), (224, 224), (301, 211), (97, 128))
"""Width and height of the images."""

Classify: TypeAlias = Callable[[Image.Image], np.ndarray]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoaderResult:
    """How far the answers of one loader are from the expected ones.

    Attributes:
        loader: Its name.
        version: Of the library that computes; None where it, or one that it needs, is not installed.
        difference: Largest difference of a probability; infinite where the loader failed; None where it was not tried.
    """

    loader: str
    version: str | None
    difference: float | None

    @property
    def passed(self) -> bool:
        """Whether the answers are those expected; also if there are none."""
        return self.difference is None or self.difference < TOLERANCE


def write_selftest(runtime: "TorchRuntime", folder: str | Path) -> Path:
    """Draw the images, compute their logits, and write `selftest.json` into a release."""
    from skinvision_hf.data.synthetic import draw_image

    cases = []
    # Lesions of which a network that never saw drawings is unsure: a probability of 1 would hide differences.
    for number, size in enumerate(SIZES, start=4):
        drawn = draw_image("akiec", number)[0].resize(size, Image.Resampling.BICUBIC)
        jpeg = encode(drawn, "JPEG", quality=75)
        outputs = runtime.compute([runtime.prepare(open_image(jpeg))])
        cases.append({"jpeg": base64.b64encode(jpeg).decode("ascii"), "logits": outputs.logits[0].tolist()})
    return write_json(Path(folder) / SELFTEST_FILE, {"labels": CODES, "images": cases})


def run_selftest(folder: str | Path) -> list[LoaderResult]:
    """Compare the answers of every loader that is installed with those that a release expects.

    A loader that fails has a warning in the log and does not stop the others.

    Raises:
        ModelError: If the release has no valid `selftest.json`.
    """
    folder = Path(folder)
    cases = _read_cases(folder / SELFTEST_FILE)
    return [_try_loader(name, folder, cases) for name in LOADERS]


def _read_cases(path: Path) -> list[tuple[Image.Image, np.ndarray]]:
    try:
        cases = json.loads(path.read_text(encoding="utf-8"))["images"]
        return [(open_image(base64.b64decode(case["jpeg"])), softmax(np.array(case["logits"]))) for case in cases]
    except (OSError, ValueError, KeyError, TypeError, ImageError) as error:
        raise ModelError(f"{path} is missing or damaged; download the release again") from error


def _try_loader(name: str, folder: Path, cases: list[tuple[Image.Image, np.ndarray]]) -> LoaderResult:
    packages, load = LOADERS[name]
    try:
        installed, *_ = [version(package) for package in packages]
        if packages[0] == "onnxruntime" and not (folder / ONNX_FILE).is_file():
            return LoaderResult(name, installed, None)
        classify = load(folder)
        differences = [np.abs(softmax(classify(image).astype(float)) - expected).max() for image, expected in cases]
    except (PackageNotFoundError, ModuleNotFoundError):
        return LoaderResult(name, None, None)
    except Exception as error:  # noqa: BLE001 - each library has errors of its own
        logger.warning("%s failed: %s", name, error)
        return LoaderResult(name, installed, np.inf)
    return LoaderResult(name, installed, float(np.nan_to_num(max(differences), nan=np.inf)))


def _skinvision_on_onnx(folder: Path) -> Classify:
    from skinvision_hf.models.onnx_runtime import OnnxRuntime

    runtime = OnnxRuntime(folder)
    return lambda image: runtime.compute([runtime.prepare(image)]).logits[0]


def _skinvision_on_torch(folder: Path) -> Classify:
    from skinvision_hf.models.torch_runtime import TorchRuntime

    runtime = TorchRuntime.load(folder, "cpu")
    return lambda image: runtime.compute([runtime.prepare(image)]).logits[0]


def _onnxruntime(folder: Path) -> Classify:
    from onnxruntime import InferenceSession

    session = InferenceSession(folder / ONNX_FILE, providers=["CPUExecutionProvider"])
    return lambda image: session.run(["logits"], {"image": np.asarray(image)})[0][0]


def _transformers(folder: Path) -> Classify:
    from transformers import AutoImageProcessor, AutoModelForImageClassification
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    model, processor = (kind.from_pretrained(folder) for kind in (AutoModelForImageClassification, AutoImageProcessor))
    return lambda image: model(**processor(image, return_tensors="pt")).logits.detach()[0].numpy()


def _timm(folder: Path) -> Classify:
    import timm

    model = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model), is_training=False)
    return lambda image: model(transform(image)[None]).detach()[0].numpy()


LOADERS: dict[str, tuple[tuple[str, ...], Callable[[Path], Classify]]] = {
    "SkinVision on ONNX Runtime": (("onnxruntime",), _skinvision_on_onnx),
    "SkinVision on torch": (("torch", "transformers", "timm"), _skinvision_on_torch),
    "onnxruntime": (("onnxruntime",), _onnxruntime),
    "transformers": (("transformers", "torch", "timm"), _transformers),
    "timm": (("timm", "torch"), _timm),
}
"""Each loader: the package that computes, others that it needs, and what makes from an RGB image logits (7,)."""
