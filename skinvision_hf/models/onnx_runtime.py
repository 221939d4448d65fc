"""A release on ONNX Runtime: on the CPU, without torch, transformers and timm."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as status
from PIL import Image

from skinvision_hf.errors import ModelError
from skinvision_hf.files import sha256
from skinvision_hf.models.outputs import NetworkOutputs
from skinvision_hf.models.release import CONFIG_FILE, ONNX_FILE, WEIGHTS_FILE, read_config
from skinvision_hf.models.runtimes import CORES

OUTPUTS = ("logits", "features", "feature_maps", "activation_maps")
"""What the graph computes: logits (1, 7); pooled features (1, d), which OOD detection reads; the last feature maps
(1, channels, h, w); and class activation maps (1, 7, h, w), whose positive part is Grad-CAM."""

WEIGHTS_KEY = "weights_sha256"
"""Of the metadata of the graph: the digest of the `model.safetensors` that it was exported from."""

USED = ("logits", "features", "activation_maps")
REFUSED = (
    status.Fail,
    status.InvalidArgument,
    status.InvalidProtobuf,
    status.InvalidGraph,
    status.NotImplemented,
    status.RuntimeException,
)


class OnnxRuntime:
    """The graph `onnx/model.onnx` of a release. Safe in several threads; it can be copied and pickled.

    Attributes:
        device: `cpu`.
        cell_centres: Where each row and column of the activation maps looks, as a share of the input; or None.
    """

    device = "cpu"

    def __init__(self, release: Path) -> None:
        self.release = release
        config = read_config(release, str(release))
        try:
            self.cell_centres = _read_centres(config)
            _, height, width = config["pretrained_cfg"]["input_size"]
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"the {CONFIG_FILE} of {release} is damaged; download the release again") from error
        self._size = (width, height)
        if not (release / ONNX_FILE).is_file():
            raise ModelError(f"{release} has no {ONNX_FILE}; load the release with runtime='torch'")
        self._graph = (release / ONNX_FILE).read_bytes()
        try:
            self._session = _start_session(self._graph, threads=CORES)
        except REFUSED as error:
            raise ModelError(f"the {ONNX_FILE} of {release} is damaged; download the release again") from error
        if self._session.get_modelmeta().custom_metadata_map.get(WEIGHTS_KEY) != sha256(release / WEIGHTS_FILE):
            raise ModelError(
                f"the {ONNX_FILE} of {release} was not exported from its {WEIGHTS_FILE}; download the release again, "
                "or load it with runtime='torch'"
            )

    def __reduce__(self) -> tuple[type["OnnxRuntime"], tuple[Path]]:
        """Copy and pickle it by its release: a session belongs to one process."""
        return OnnxRuntime, (self.release,)

    def feature_size(self, stage: int | None) -> int:
        """Length of the pooled features; the stage was chosen at export."""
        return self._session.get_outputs()[OUTPUTS.index("features")].shape[1]

    def view(self, size: tuple[int, int]) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of what the network sees of an image of a size: all of it."""
        width, height = size
        return 0.0, 0.0, width, height

    def prepare(self, image: Image.Image) -> np.ndarray:
        """From an RGB image to pixels (height, width, 3) uint8, in any thread.

        Pillow resizes the image, as it does for the other loaders; the graph finds it in the right size.
        """
        return np.asarray(image.resize(self._size, Image.Resampling.BICUBIC))

    def compute(self, prepared: Sequence[np.ndarray]) -> NetworkOutputs:
        """Compute the outputs for the pixels of several images: all cores for one image, or one core for each."""
        if len(prepared) == 1:
            return NetworkOutputs(*_run(self._session, prepared[0]))
        with ThreadPoolExecutor(CORES) as pool:
            computed = list(pool.map(partial(_run, self._single_threaded), prepared))
        return NetworkOutputs(*map(np.concatenate, zip(*computed, strict=True)))

    @cached_property
    def _single_threaded(self) -> onnxruntime.InferenceSession:
        return _start_session(self._graph, threads=1)


def _start_session(graph: bytes, *, threads: int) -> onnxruntime.InferenceSession:
    """Load a graph that computes an image in so many threads."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def _run(session: onnxruntime.InferenceSession, pixels: np.ndarray) -> list[np.ndarray]:
    return session.run(USED, {"image": pixels})


def _read_centres(config: dict[str, Any]) -> tuple[list[float], list[float]] | None:
    """Where the cells look, from `config.json`; None in releases that do not say."""
    if (found := config.get("cell_centres")) is None:
        return None
    down, across = ([float(value) for value in axis] for axis in found)
    return down, across
