"""Exports a network to ONNX, with everything between an RGB image and the answer in one graph."""

import json
import math
import warnings
from pathlib import Path
from string import Template
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
from skinvision_hf.errors import ModelError
from skinvision_hf.files import atomic_write, sha256
from skinvision_hf.labels import CODES
from skinvision_hf.models.modeling import EvaluationMode, SkinVisionForImageClassification
from skinvision_hf.models.onnx_runtime import OUTPUTS, WEIGHTS_KEY
from skinvision_hf.models.outputs import TOLERANCE
from skinvision_hf.models.release import ONNX_FILE, WEIGHTS_FILE

OPSET = 18
"""The first version whose ReduceSum and Shape take their axes as they do here."""

# Pillow resizes the width and then the height, each to 8 bits, by weights of 22 bits, and so does this graph: its sums
# of float64 are exact. ONNX's own Resize has other last bits, and half levels, which are common, are rounded by these.
# The cubic filter of a distance x is (1 - x)(2 - x)^2 / 2 below 2, and (2x - 1)(1 - x)^2 more below 1. Each `block` of
# lines is summed over the lines that any of them needs: a product of small matrices, in little memory.
PREPROCESSING = """
<ir_version: 8, opset_import: ["" : $opset, "skinvision" : 1]>
preprocessing (uint8[height, width, 3] image) => (float[1, 3, $height, $width] pixels) {
    columns = Transpose <perm = [1, 2, 0]> (image)
    across = Constant <value = double {$width}> ()  narrow = skinvision.resize (columns, across)
    rows = Transpose <perm = [2, 0, 1]> (narrow)
    down = Constant <value = double {$height}> ()  small = skinvision.resize (rows, down)
    planes = Transpose <perm = [2, 0, 1]> (small)
    first = Constant <value_ints = [0]> ()  batch = Unsqueeze (planes, first)  levels = Cast <to = 1> (batch)
    white = Constant <value = float {255.0}> ()  unit = Div (levels, white)
    mean = Constant <value = float[3, 1, 1] {$mean}> ()  centred = Sub (unit, mean)
    std = Constant <value = float[3, 1, 1] {$std}> ()  pixels = Div (centred, std)
}
<domain: "skinvision", opset_import: ["" : $opset]>
resize (lines, size) => (resized) {
    shape = Shape (lines)  first = Constant <value = int64 {0}> ()
    count = Gather (shape, first)  length = Cast <to = 11> (count)
    same = Equal (length, size)
    resized = If (same) <
        then_branch = kept () => (uint8[?, ?, ?] result) { result = Identity (lines) },
        else_branch = changed () => (uint8[?, ?, ?] result) {
            zero = Constant <value = double {0.0}> ()  half = Constant <value = double {0.5}> ()
            one = Constant <value = double {1.0}> ()  two = Constant <value = double {2.0}> ()
            white = Constant <value = double {255.0}> ()  fixed = Constant <value = double {4194304.0}> ()
            scale = Div (length, size)  widening = Max (scale, one)  support = Mul (widening, two)
            numbers = Range (zero, size, one)  middles = Add (numbers, half)  mapped = Mul (middles, scale)
            blocks = Constant <value_ints = [-1, $block, 1]> ()  centres = Reshape (mapped, blocks)
            lowest = Gather <axis = 1> (centres, first)  edges = Sub (lowest, support)  starts = Floor (edges)
            reach = Constant <value = double {$reach}> ()  span = Mul (widening, reach)
            taps = Range (zero, span, one)  places = Add (starts, taps)
            last = Sub (length, one)  below = Min (places, last)  inside = Max (below, zero)
            is_inside = Equal (places, inside)  mask = Cast <to = 11> (is_inside)  indices = Cast <to = 7> (inside)

            lines_axis = Constant <value_ints = [1]> ()  taps_axis = Constant <value_ints = [2]> ()
            corners = Unsqueeze (places, lines_axis)  offsets = Sub (corners, centres)
            shifts = Add (offsets, half)  distances = Div (shifts, widening)  x = Abs (distances)
            one_x = Sub (one, x)  two_x = Sub (two, x)  near = Relu (one_x)  wide = Relu (two_x)
            wide_2 = Mul (wide, wide)  wide_3 = Mul (wide_2, one_x)  cubic = Mul (wide_3, half)
            near_2 = Mul (near, near)  slope = Sub (x, one_x)  more = Mul (near_2, slope)  filter = Add (cubic, more)
            masks = Unsqueeze (mask, lines_axis)  masked = Mul (filter, masks)
            total = ReduceSum (masked, taps_axis)  weights = Div (masked, total)
            scaled = Mul (weights, fixed)  rounded = Round (scaled)  kernels = Div (rounded, fixed)

            flat = Constant <value_ints = [0, -1]> ()  sources = Reshape (lines, flat)
            made = Scan <num_scan_inputs = 2,
                body = sum (double[?, ?] kernel, int64[?] index) => (uint8[?, ?] made) {
                    needed = Gather (sources, index)  values = Cast <to = 11> (needed)
                    sums = MatMul (kernel, values)  up = Add (sums, half)
                    clipped = Clip (up, zero, white)  made = Cast <to = 2> (clipped)
                }> (kernels, indices)
            any = Constant <value_ints = [-1]> ()  others = Shape <start = 1> (lines)
            whole = Concat <axis = 0> (any, others)  result = Reshape (made, whole)
        }>
}
"""


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
    images: several threads that each compute one image are as fast. The release holds the network's weights already;
    OOD detection reads the features of `stage`, see `SkinVisionForImageClassification.feature_maps`.

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
    pixels = torch.zeros(1, *model.config.pretrained_cfg["input_size"], device=model.device)
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
    block = math.gcd(height, width, 8)
    mean, std = (", ".join(map(str, data[key])) for key in ("mean", "std"))
    text = Template(PREPROCESSING).substitute(
        opset=OPSET, height=height, width=width, mean=mean, std=std, block=block, reach=block + 5
    )
    return parser.parse_model(text)


def _assert_same_answers(model: SkinVisionForImageClassification, content: bytes) -> None:
    """Compare a graph with the network, on drawn images that are made smaller and larger."""
    session = onnxruntime.InferenceSession(content)
    for size in ((600, 450), (90, 120)):
        image = draw_image(CODES[0], 0)[0].resize(size)
        (logits,) = session.run(["logits"], {"image": np.asarray(image)})
        with EvaluationMode(model), torch.inference_mode():
            expected = model(model.prepare([image])).logits.float().cpu()
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
