"""The ONNX file of a release: the same answers from the same images, without any code of ours."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from drawing import draw_lesion
from PIL import Image

from skinvision_hf.errors import ModelError
from skinvision_hf.explain.cam import heat_maps
from skinvision_hf.labels import CODES
from skinvision_hf.models import onnx_export
from skinvision_hf.models.modeling import SkinVisionForImageClassification
from skinvision_hf.models.onnx_export import OUTPUTS, export_onnx
from skinvision_hf.vision import SkinVision

SIZES = [(200, 150), (600, 450), (97, 211), (1024, 768), (64, 64), (320, 240)]


@pytest.fixture(scope="module")
def vision(ood_release: Path) -> SkinVision:
    return SkinVision.from_pretrained(ood_release, device="cpu")


@pytest.fixture(scope="module")
def session(vision: SkinVision, tmp_path_factory: pytest.TempPathFactory) -> onnxruntime.InferenceSession:
    assert vision.detector is not None
    path = export_onnx(vision.model, tmp_path_factory.mktemp("onnx"), stage=vision.detector.stage)
    return onnxruntime.InferenceSession(path)


def run(session: onnxruntime.InferenceSession, image: Image.Image) -> dict[str, np.ndarray]:
    return dict(zip(OUTPUTS, session.run(list(OUTPUTS), {"image": np.asarray(image)}), strict=True))


@pytest.mark.parametrize("size", SIZES, ids=lambda size: "x".join(map(str, size)))
def test_answers_are_those_of_torch(
    vision: SkinVision, session: onnxruntime.InferenceSession, size: tuple[int, int]
) -> None:
    assert vision.detector is not None
    for seed in range(3):
        image = draw_lesion(seed, size)
        expected, found = vision.predict(image), run(session, image)
        probabilities = torch.tensor(found["logits"]).softmax(dim=1)[0]
        np.testing.assert_allclose(probabilities, list(expected.probabilities.values()), atol=2e-3)
        score = float(vision.detector.score(torch.tensor(found["features"]))[0])
        assert (score >= vision.detector.refused) == expected.in_distribution


def test_activation_maps_are_gradcam(vision: SkinVision, session: onnxruntime.InferenceSession) -> None:
    found = run(session, draw_lesion(4))
    for target, _ in enumerate(CODES):
        expected = heat_maps(vision.model.timm_model, torch.tensor(found["feature_maps"]), [target], "gradcam")
        positive = np.maximum(found["activation_maps"][:, target], 0)
        stretched = (positive - positive.min()) / max(np.ptp(positive), 1e-9)
        np.testing.assert_allclose(stretched, expected, atol=1e-4)


def test_weights_are_stored_as_float16(vision: SkinVision, tmp_path: Path) -> None:
    path = export_onnx(vision.model, tmp_path)
    assert path == tmp_path / "onnx" / "model.onnx"
    matrices = [tensor for tensor in onnx.load(path).graph.initializer if len(tensor.dims) > 1]
    assert {tensor.data_type for tensor in matrices} == {onnx.TensorProto.FLOAT16}
    assert path.read_bytes() == export_onnx(vision.model, tmp_path / "again").read_bytes()


def test_another_preprocessing_is_refused(ood_release: Path, tmp_path: Path) -> None:
    model = SkinVisionForImageClassification.from_pretrained(ood_release)
    model.config.pretrained_cfg["crop_mode"] = "center"
    with pytest.raises(ModelError, match="resized by"):
        export_onnx(model, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_graph_with_other_answers_is_never_written(
    vision: SkinVision, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_export, "PREPROCESSING", onnx_export.PREPROCESSING.replace("(unit, mean)", "(mean, unit)"))
    with pytest.raises(ModelError, match="other answers"):
        export_onnx(vision.model, tmp_path)
    assert not list(tmp_path.iterdir())
