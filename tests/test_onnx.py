"""The ONNX file of a release: the same answers from the same images, without any code of ours."""

import copy
import json
import os
import pickle
import shutil
import weakref
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from itertools import count
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from calling import Captured, run
from complete_release import change_json
from drawing import draw_lesion
from PIL import Image

from skinvision_hf.errors import ImageError, ModelError
from skinvision_hf.labels import CODES
from skinvision_hf.models import onnx_export
from skinvision_hf.models.modeling import SkinVisionForImageClassification
from skinvision_hf.models.onnx_export import export_onnx
from skinvision_hf.models.onnx_runtime import OUTPUTS, OnnxRuntime
from skinvision_hf.models.prediction import Prediction
from skinvision_hf.models.release import ONNX_FILE
from skinvision_hf.models.selftest import LOADERS, run_selftest, write_selftest
from skinvision_hf.models.torch_runtime import TorchRuntime
from skinvision_hf.vision import SkinVision

SIZES = [(200, 150), (600, 450), (97, 211), (1024, 768), (64, 64), (320, 240)]


@pytest.fixture(scope="module")
def vision(ood_release: Path) -> SkinVision:
    return SkinVision.from_pretrained(ood_release, device="cpu")


@pytest.fixture(scope="module")
def release(vision: SkinVision, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The release with its ONNX file and its self-test."""
    folder = vision.save_pretrained(tmp_path_factory.mktemp("onnx") / "release")
    assert export_onnx(vision.model, folder, stage=vision.detector.stage) == folder / ONNX_FILE
    write_selftest(TorchRuntime(vision.model, "cpu"), folder)
    return folder


@pytest.fixture(scope="module")
def session(release: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(release / ONNX_FILE)


def outputs_of(session: onnxruntime.InferenceSession, image: Image.Image) -> dict[str, np.ndarray]:
    return dict(zip(OUTPUTS, session.run(list(OUTPUTS), {"image": np.asarray(image)}), strict=True))


def test_the_graph_resizes_as_pillow_does_to_the_last_pixel(session: onnxruntime.InferenceSession) -> None:
    """Sizes that are divided evenly make half levels, which two ways of rounding tell apart."""
    random = np.random.default_rng(0)
    for width, height in [*SIZES, (128, 96), (448, 336), (2, 3), (1, 5000), (5000, 1), (64, 65), (4000, 3000)]:
        image = Image.fromarray(random.integers(0, 256, (height, width, 3), dtype=np.uint8))
        expected = outputs_of(session, image.resize((64, 64), Image.Resampling.BICUBIC))
        for name, values in outputs_of(session, image).items():
            np.testing.assert_array_equal(values, expected[name], err_msg=f"{name} of {width} x {height}")


def test_both_runtimes_give_the_same_answers_and_heat_maps(vision: SkinVision, release: Path) -> None:
    onnx_vision = SkinVision.from_pretrained(release)
    assert isinstance(onnx_vision.runtime, OnnxRuntime), "the default on a CPU"
    for (seed, code), size in zip(enumerate(CODES), [*SIZES, SIZES[0]], strict=True):
        image = draw_lesion(seed, size)
        expected, found = vision.explain(image, target=code), onnx_vision.explain(image, target=code)
        np.testing.assert_allclose(found.heatmap, expected.heatmap, atol=1e-4)
        assert found.cells == expected.cells
        one, two = expected.prediction, found.prediction
        assert two.probabilities == pytest.approx(one.probabilities, abs=1e-5)
        for name in ("label", "in_distribution", "prediction_set"):
            assert getattr(two, name) == getattr(one, name)
        assert two.in_distribution_score == pytest.approx(one.in_distribution_score, abs=0.02)


def test_many_images_are_answered_in_order_and_a_bad_one_does_not_stop_them(release: Path, tmp_path: Path) -> None:
    vision, images = SkinVision.from_pretrained(release, runtime="onnx"), [draw_lesion(seed) for seed in range(20)]
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    answers = list(vision.stream([*images, tmp_path / "broken.jpg"], batch_size=4, on_error="return"))
    assert answers[:-1] == [vision.predict(image) for image in images]
    assert isinstance(answers[-1], ImageError)
    images[0].save(tmp_path / "one.png")
    with Image.open(tmp_path / "one.png") as opened:  # a file that all of them read
        assert vision.predict([opened] * 20) == [vision.predict(images[0])] * 20
    taken: list[int] = []
    endless = (taken.append(number) or images[0] for number in count())
    assert next(vision.stream(endless)).label and len(taken) <= 64


def test_a_stream_keeps_no_image_and_no_answer(release: Path) -> None:
    """So that the memory does not grow with the number of files."""
    vision, pixels = SkinVision.from_pretrained(release, runtime="onnx"), np.asarray(draw_lesion())
    images: list[weakref.ref[np.ndarray]] = []
    answers: list[weakref.ref[Prediction | ImageError]] = []

    def copies() -> Iterator[np.ndarray]:
        for _ in range(100):
            image = pixels.copy()
            images.append(weakref.ref(image))
            yield image

    for answer in vision.stream(copies(), batch_size=4):
        answers.append(weakref.ref(answer))
        assert sum(ref() is not None for ref in images) < 10
        assert sum(ref() is not None for ref in answers) <= 4
    assert len(images) == len(answers) == 100


def test_what_only_torch_can_do_says_so(release: Path, tmp_path: Path) -> None:
    vision = SkinVision.from_pretrained(release, runtime="onnx")
    image = draw_lesion()
    shutil.copytree(release, tmp_path / "plain", ignore=shutil.ignore_patterns("onnx"))
    asked: list[Callable[[], object]] = [
        lambda: vision.model,
        lambda: vision.to("cuda"),
        lambda: vision.explain(image, method="layercam"),
        lambda: SkinVision.from_pretrained(release, runtime="onnx", device="cuda"),
        lambda: SkinVision.from_pretrained(tmp_path / "plain", runtime="onnx"),
    ]
    for ask in asked:
        with pytest.raises(ModelError, match="load the release with runtime='torch'"):
            ask()
    assert vision.to("cpu").device == "cpu"
    image.save(tmp_path / "photo.png")
    command = ["explain", tmp_path / "photo.png", "--output", tmp_path / "why.png", "--model", release]
    assert run(*command, "--method", "layercam") == 0, "the command chooses torch"
    assert pickle.loads(pickle.dumps(vision)).predict(image) == copy.deepcopy(vision).predict(image)
    with pytest.raises(ModelError, match="runtime is 'tf'; give 'onnx', 'torch' or None"):
        SkinVision.from_pretrained(release, runtime="tf")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / ONNX_FILE).write_bytes(b"no graph"), "is damaged; download the release again"),
        (lambda folder: os.truncate(folder / ONNX_FILE, 5000), "is damaged; download the release again"),
        (lambda folder: os.truncate(folder / ONNX_FILE, 0), "is damaged; download the release again"),
        (
            lambda folder: change_json(folder / "config.json", lambda c: c.update(cell_centres=3)),
            "config.json of .* is",
        ),
        (lambda folder: flip_last_byte(folder / "model.safetensors"), r"was not exported from its model\.safetensors"),
    ],
    ids=["other", "cut", "empty", "centres", "weights"],
)
def test_a_damaged_file_is_named(
    release: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: Callable[[Path], object], message: str
) -> None:
    copied = SkinVision.from_pretrained(release).save_pretrained(tmp_path / "copy")
    damage(copied)
    with pytest.raises(ModelError, match=message):
        SkinVision.from_pretrained(copied, runtime="onnx")
    vision = SkinVision.from_pretrained(copied)
    assert isinstance(vision.runtime, TorchRuntime), "what is installed and can read the release is used"
    assert "torch is used instead" in caplog.text


def flip_last_byte(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def test_every_loader_is_compared_with_what_the_release_expects(
    release: Path, tmp_path: Path, capsys: Captured
) -> None:
    assert run("selftest", "--model", release) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines[1:-1]] == list(LOADERS)
    assert all(line.endswith("as expected") for line in lines[1:-1])
    results = {result.loader: result.difference for result in run_selftest(release)}
    assert results["SkinVision on torch"] == pytest.approx(0, abs=1e-6)
    assert results["timm"] == pytest.approx(0, abs=1e-5)

    changed = SkinVision.from_pretrained(release).save_pretrained(tmp_path / "changed")
    content = json.loads((changed / "selftest.json").read_text())
    content["images"][3]["logits"][2] += 0.5
    (changed / "selftest.json").write_text(json.dumps(content))
    assert run("selftest", "--model", changed) == 1
    assert capsys.readouterr().out.count("OTHER ANSWERS") == len(LOADERS)
    (changed / "selftest.json").unlink()
    assert run("selftest", "--model", changed) == 2


def test_a_loader_that_fails_or_lacks_a_library_is_one_row(
    release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch_loaders = ["SkinVision on torch", "transformers", "timm"]
    damaged = SkinVision.from_pretrained(release).save_pretrained(tmp_path / "damaged")
    (damaged / "model.safetensors").write_bytes(b"no weights")
    failed = [result.loader for result in run_selftest(damaged) if not result.passed]
    assert failed == ["SkinVision on ONNX Runtime", *torch_loaders]

    def version_without_timm(name: str) -> str:
        if name == "timm":
            raise PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr("skinvision_hf.models.selftest.version", version_without_timm)
    assert [result.loader for result in run_selftest(damaged) if result.version is None] == torch_loaders


def test_weights_are_stored_as_float16(vision: SkinVision, release: Path, tmp_path: Path) -> None:
    matrices = [tensor for tensor in onnx.load(release / ONNX_FILE).graph.initializer if len(tensor.dims) > 1]
    assert {tensor.data_type for tensor in matrices} == {onnx.TensorProto.FLOAT16}
    again = vision.save_pretrained(tmp_path / "again")
    assert (release / ONNX_FILE).read_bytes() == export_onnx(
        vision.model, again, stage=vision.detector.stage
    ).read_bytes()


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
    folder = vision.save_pretrained(tmp_path / "release")
    with pytest.raises(ModelError, match="other answers"):
        export_onnx(vision.model, folder)
    assert not (folder / ONNX_FILE).exists()
