"""Exports a network to ONNX, with everything between an RGB image and the answer in one graph."""

import json
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
import onnx.compose
import onnxruntime
import timm.data
import torch
from onnx import ModelProto, helper, numpy_helper, parser
from torch import Tensor

from skinvision_hf.data.synthetic import draw_image
from skinvision_hf.data.transforms import eval_transform
from skinvision_hf.errors import ModelError
from skinvision_hf.files import atomic_write, sha256
from skinvision_hf.labels import CODES
from skinvision_hf.models.modeling import EvaluationMode, SkinVisionForImageClassification
from skinvision_hf.models.onnx_runtime import OUTPUTS, WEIGHTS_KEY
from skinvision_hf.models.outputs import TOLERANCE
from skinvision_hf.models.release import ONNX_FILE, WEIGHTS_FILE

OPSET = 18
"""The first version whose Resize smooths as it shrinks (`antialias`)."""

# Resized as 8-bit integers, which ONNX Runtime computes in fixed point, as Pillow does.
PREPROCESSING = """
<ir_version: 8, opset_import: ["" : {opset}]>
preprocessing (uint8[height, width, 3] image) => (float[1, 3, {height}, {width}] pixels) {{
    first = Constant <value_ints = [0]> ()
    batch = Unsqueeze (image, first)
    planes = Transpose <perm = [0, 3, 1, 2]> (batch)
    size = Constant <value_ints = [{height}, {width}]> ()
    resized = Resize <axes = [2, 3], {resize}> (planes, , , size)
    levels = Cast <to = 1> (resized)
    white = Constant <value = float {{255.0}}> ()
    unit = Div (levels, white)
    mean = Constant <value = float[3, 1, 1] {{{mean}}}> ()
    std = Constant <value = float[3, 1, 1] {{{std}}}> ()
    centred = Sub (unit, mean)
    pixels = Div (centred, std)
}}
"""
RESIZE = """mode = "cubic", cubic_coeff_a = -0.5, antialias = 1, exclude_outside = 1,
    coordinate_transformation_mode = "half_pixel" """


class _Outputs(torch.nn.Module):
    """A network as the graph has it: from pixels to `OUTPUTS`."""

    def __init__(self, model: SkinVisionForImageClassification, stage: int | None) -> None:
        super().__init__()
        self.model, self.stage = model, stage

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        maps, features = self.model.feature_maps(pixels, stage=self.stage)
        return self.model.timm_model.forward_head(maps), features, maps, self.model.activation_maps(maps)


def export_onnx(model: SkinVisionForImageClassification, folder: str | Path, *, stage: int | None = None) -> Path:
    """Write `onnx/model.onnx` into a release.

    Its input `image` is an RGB image (height, width, 3) uint8 of any size. The graph resizes it as Pillow does,
    normalises it, and computes `OUTPUTS` in float32 from weights that are stored as float16. There is no batch of
    images: several threads that each compute one image are as fast.

    Args:
        model: The network.
        folder: The release, which holds the network's weights.
        stage: Whose features OOD detection reads; see `SkinVisionForImageClassification.feature_maps`.

    Returns:
        The file.

    Raises:
        ModelError: If the network prepares images in another way than by resizing them to its input, or ends in other
            layers than mean pooling and one linear layer; or if ONNX Runtime computes other answers than torch.
    """
    network = _export_network(model, stage)
    try:
        graph = onnx.compose.merge_models(_preprocessing(model), network, io_map=[("pixels", "pixels")])
    except ValueError as error:
        raise ModelError(f"onnx cannot put the graph together ({error}); upgrade onnx") from error
    graph.doc_string = "Skin-lesion classification for education and research only. Not a medical device."
    digest = sha256(Path(folder) / WEIGHTS_FILE)
    helper.set_model_props(graph, {"labels": json.dumps(CODES), WEIGHTS_KEY: digest})
    _store_half(graph)
    content = graph.SerializeToString(deterministic=True)
    _assert_same_answers(model, content)
    return atomic_write(Path(folder) / ONNX_FILE, content)


def _export_network(model: SkinVisionForImageClassification, stage: int | None) -> ModelProto:
    network = _Outputs(model, stage)
    pixels = torch.zeros(1, *model.config.pretrained_cfg["input_size"], device=next(model.parameters()).device)
    try:
        with (
            EvaluationMode(network),
            torch.inference_mode(),
            warnings.catch_warnings(),
            TemporaryDirectory() as folder,
        ):
            warnings.simplefilter("ignore", DeprecationWarning)  # of `dynamo=False`
            warnings.simplefilter("ignore", torch.jit.TracerWarning)  # of checks of shapes
            torch.onnx.export(
                network,
                (pixels,),
                Path(folder) / "network.onnx",
                input_names=["pixels"],
                output_names=list(OUTPUTS),
                opset_version=OPSET,
                # Batch norms stay as they are: float16 would round what they are folded into once more.
                training=torch.onnx.TrainingMode.PRESERVE,
                do_constant_folding=False,
                dynamo=False,  # the newer exporter takes ten times as long, for a graph of twice as many nodes
            )
            return onnx.load(Path(folder) / "network.onnx")
    except (ModelError, AttributeError, RuntimeError, IndexError, TypeError) as error:
        raise ModelError(
            f"{model.config.architecture} cannot be exported to ONNX: it needs feature maps, mean pooling and one "
            "linear layer at its end"
        ) from error


def _preprocessing(model: SkinVisionForImageClassification) -> ModelProto:
    data: dict[str, Any] = timm.data.resolve_data_config(model.config.pretrained_cfg)
    found = tuple(data[key] for key in ("interpolation", "crop_mode", "crop_pct"))
    if found != ("bicubic", "squash", 1.0):
        raise ModelError(f"only images that are resized by 'bicubic', 'squash', 1.0 can be exported, not by {found}")
    _, height, width = data["input_size"]
    mean, std = (", ".join(map(str, data[key])) for key in ("mean", "std"))
    return parser.parse_model(
        PREPROCESSING.format(opset=OPSET, height=height, width=width, mean=mean, std=std, resize=RESIZE)
    )


def _assert_same_answers(model: SkinVisionForImageClassification, content: bytes) -> None:
    """Compare a graph with the network, on drawn images that are made smaller and larger."""
    session, transform = onnxruntime.InferenceSession(content), eval_transform(model.config.pretrained_cfg)
    device = next(model.parameters()).device
    for size in ((600, 450), (90, 120)):
        image = draw_image(CODES[0], 0)[0].resize(size)
        (logits,) = session.run(["logits"], {"image": np.asarray(image)})
        with EvaluationMode(model), torch.inference_mode():
            expected = model(transform(image)[None].to(device)).logits.float().cpu()
        difference = float((torch.from_numpy(logits).softmax(dim=1) - expected.softmax(dim=1)).abs().max())
        if not difference < TOLERANCE:
            raise ModelError(
                f"ONNX Runtime gives other answers than torch: probabilities differ by {difference:.1g}; "
                "upgrade onnx, onnxruntime and torch"
            )


def _store_half(graph: ModelProto) -> None:
    """Store matrices and kernels as float16, as `model.safetensors` does; the graph makes them float32 again."""
    casts = []
    for tensor in graph.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and values.ndim > 1:
            name, half = tensor.name, f"{tensor.name}.float16"
            tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), half))
            casts.append(helper.make_node("Cast", [half], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *graph.graph.node]
    del graph.graph.node[:]
    graph.graph.node.extend(nodes)
