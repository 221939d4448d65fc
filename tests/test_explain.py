"""Heat maps: exact, in the right place, on a network that is only ever read."""

import dataclasses
import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from drawing import draw_lesion
from PIL import Image
from pytorch_grad_cam import EigenCAM, GradCAM, GradCAMPlusPlus, HiResCAM, LayerCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

from skinvision_hf.config import CAM_METHODS, ModelConfig
from skinvision_hf.data.transforms import crop_box, eval_transform
from skinvision_hf.errors import ModelError
from skinvision_hf.explain.cam import heat_maps
from skinvision_hf.explain.explanation import heat_layer
from skinvision_hf.explain.placement import place_maps
from skinvision_hf.figures.explanation_figure import draw_explanation
from skinvision_hf.labels import CODES
from skinvision_hf.models.creation import create_model
from skinvision_hf.models.release import read_config
from skinvision_hf.models.torch_runtime import TorchRuntime
from skinvision_hf.vision import SkinVision


@pytest.mark.parametrize(
    ("method", "stock"), list(zip(CAM_METHODS, [GradCAM, GradCAMPlusPlus, LayerCAM, HiResCAM, EigenCAM], strict=True))
)
def test_maps_are_those_of_pytorch_grad_cam_on_the_whole_network(
    vision: SkinVision, method: str, stock: Callable[..., Any]
) -> None:
    # Pixels at twice the input size, for maps of 4 x 4 cells.
    transform = eval_transform(vision.model.config.pretrained_cfg | {"input_size": [3, 128, 128]})
    pixels = torch.stack([transform(draw_lesion(seed)) for seed in range(4)])
    with torch.no_grad():
        maps = vision.model.timm_model.forward_features(pixels)
    targets = [0, 2, 4, 5]
    with stock(vision.model.timm_model, [vision.model.timm_model.bn2]) as cam:
        expected = cam(pixels, [ClassifierOutputTarget(k) for k in targets])
    got = heat_maps(vision.model.timm_model, maps, targets, method)
    large = np.stack([cv2.resize(heat, (128, 128)) for heat in got])
    stretched = [(heat - heat.min()) / np.ptp(heat) for heat in large]
    np.testing.assert_allclose(stretched, expected, atol=1e-4)
    assert np.ptp(got, axis=(1, 2)).min() > 0.9


@pytest.mark.parametrize("method", CAM_METHODS)
def test_an_explanation_has_the_images_size_and_the_prediction(vision: SkinVision, method: str) -> None:
    image = draw_lesion(3, (210, 140))
    explanation = vision.explain(image, method=method)
    assert explanation.heatmap.shape == (140, 210)
    assert explanation.heatmap.dtype == np.float32
    assert explanation.heatmap.min() >= 0
    assert 1 - 1e-5 < explanation.heatmap.max() <= 1
    assert explanation.prediction == vision.predict(image)
    assert (explanation.target, explanation.method) == (explanation.prediction.label, method)
    with pytest.raises(dataclasses.FrozenInstanceError):
        explanation.target = "nv"
    with pytest.raises(ValueError, match="read-only"):
        explanation.heatmap[0, 0] = 1


def test_a_large_photograph_is_explained_in_a_smaller_size_with_the_same_answer(vision: SkinVision) -> None:
    image = draw_lesion(3, (800, 600))
    whole, small = vision.explain(image), vision.explain(image, max_side=200)
    assert small.prediction == whole.prediction and small.target == whole.target
    assert small.heatmap.shape == (150, 200) and small.image.size == (200, 150)
    assert small.cells == whole.cells == (2, 2)
    expected = np.asarray(Image.fromarray(whole.heatmap).resize((200, 150), Image.Resampling.BOX))
    assert np.abs(small.heatmap - expected).max() < 0.05
    assert vision.explain(image, max_side=800).image is image, "nothing is made larger, or copied without need"


def test_unknown_diagnoses_and_methods_are_refused_with_the_known_ones(vision: SkinVision) -> None:
    with pytest.raises(ModelError, match=r"no diagnosis 'melanoma'; choose one of akiec, .*, vasc"):
        vision.explain(draw_lesion(), target="melanoma")
    with pytest.raises(ModelError, match=r"no method 'GradCAM'; choose one of gradcam, .*, eigencam"):
        vision.explain(draw_lesion(), method="GradCAM")


@pytest.mark.parametrize("method", CAM_METHODS)
def test_the_callers_grad_mode_changes_nothing_and_autocast_only_rounds(
    vision: SkinVision, tiny_release: Path, method: str
) -> None:
    expected = vision.explain(draw_lesion(), method=method).heatmap
    with torch.inference_mode():
        vision = SkinVision.from_pretrained(tiny_release, device="cpu")
    for mode in (torch.no_grad, torch.inference_mode, torch.enable_grad):
        with mode():
            heatmap = vision.explain(draw_lesion(), method=method).heatmap
        np.testing.assert_array_equal(heatmap, expected)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        heatmap = vision.explain(draw_lesion(), method=method).heatmap
    assert heatmap.dtype == np.float32
    assert np.corrcoef(heatmap.ravel(), expected.ravel())[0, 1] > 0.8


def test_threads_that_explain_and_predict_at_once_get_the_answers_of_one_thread(vision: SkinVision) -> None:
    images = [draw_lesion(seed) for seed in range(8)]

    def work(number: int) -> np.ndarray:
        image = images[number % 8]
        explanation = vision.explain(image, method=CAM_METHODS[number % 5], target=CODES[number % 7])
        return np.append(explanation.heatmap, list(vision.predict(image).probabilities.values()))

    expected = [work(number) for number in range(40)]
    vision.model.train()
    with ThreadPoolExecutor(12) as pool:
        np.testing.assert_allclose(list(pool.map(work, range(40))), expected, atol=1e-4)
    assert vision.model.training
    assert all(p.grad is None for p in vision.model.parameters())


@pytest.mark.parametrize("method", CAM_METHODS)
def test_a_map_that_says_nothing_is_all_zeros(vision: SkinVision, method: str) -> None:
    """Nothing supports any diagnosis when the features are the same everywhere, or are all zero."""
    with torch.no_grad():
        vision.model.timm_model.bn2.weight.zero_()
        vision.model.timm_model.bn2.bias.zero_()
    explanation = vision.explain(draw_lesion(), method=method)
    assert np.array_equal(explanation.heatmap, np.zeros((150, 200), np.float32))
    assert np.array_equal(np.asarray(explanation.overlay()), np.asarray(draw_lesion()))
    assert not explanation.hottest_at_border


@pytest.mark.parametrize("architecture", ["test_resnet", "test_convnext", "test_byobnet"])
def test_other_convolutional_networks_can_be_explained(architecture: str, tmp_path: Path) -> None:
    model = untrained(architecture, 96)
    heatmap = SkinVision(TorchRuntime(model, "cpu"), tmp_path).explain(draw_lesion(), target="mel").heatmap
    assert heatmap.shape == (150, 200)
    assert np.isfinite(heatmap).all()


def test_networks_without_feature_maps_are_refused_with_the_remedy(tmp_path: Path) -> None:
    model = untrained("test_vit", 160)
    with pytest.raises(ModelError, match=r"has no feature maps .*explain a convolutional network"):
        SkinVision(TorchRuntime(model, "cpu"), tmp_path).explain(draw_lesion())


# A mark on the image must come out where it was put, whatever the network was shown of it.


@pytest.mark.parametrize("crop_mode", ["squash", "center", "border"])
@pytest.mark.parametrize("crop_pct", [1.0, 0.8])
@pytest.mark.parametrize("size", [(300, 200), (200, 300), (256, 256)])
def test_a_mark_comes_back_to_where_it_is_in_the_image(crop_mode: str, crop_pct: float, size: tuple[int, int]) -> None:
    cfg = {"input_size": [3, 128, 128], "crop_mode": crop_mode, "crop_pct": crop_pct, "interpolation": "bilinear"}
    cfg |= {"mean": (0.0,) * 3, "std": (1.0,) * 3}
    width, height = size
    spot = (width // 2 + 30, height // 2 - 40)
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[spot[1] - 8 : spot[1] + 8, spot[0] - 8 : spot[0] + 8] = 255
    seen = eval_transform(cfg)(Image.fromarray(pixels))[:1].numpy()
    heatmap = place_maps(seen, crop_box(cfg, size), size, target=size)[0]
    assert heatmap.shape == (height, width)
    y, x = (np.average(grid, weights=heatmap) + 0.5 for grid in np.indices(heatmap.shape))
    # timm resizes and pads to whole pixels of the input, so one of those is as near as it gets.
    left, top, right, _ = crop_box(cfg, size)
    pixel = (right - left) / 128
    assert abs(x - spot[0]) < pixel
    assert abs(y - spot[1]) < pixel
    assert heatmap.max() > 0.9
    outside = heatmap[:, : max(0, int(left))], heatmap[: max(0, int(top))]
    assert not any(strip.any() for strip in outside), "the network did not see these"
    if crop_mode == "squash" and crop_pct == 1:
        assert np.abs(heatmap - pixels[..., 0] / 255).mean() < 0.01


def test_opacity_goes_from_the_image_to_the_colours(vision: SkinVision) -> None:
    explanation = vision.explain(draw_lesion())
    image = np.asarray(explanation.image, dtype=float)
    distance = [np.abs(np.asarray(explanation.overlay(o), dtype=float) - image).mean() for o in (0, 0.3, 0.6, 1)]
    assert distance[0] == 0
    assert distance == sorted(distance)
    assert distance[-1] > 5
    assert explanation.overlay().size == explanation.image.size
    hottest = np.unravel_index(explanation.heatmap.argmax(), explanation.heatmap.shape)
    assert np.asarray(explanation.overlay(1.0))[hottest].tolist() == [253, 231, 36]  # the hot end of viridis
    layer = heat_layer(explanation.heatmap)
    composed = Image.alpha_composite(explanation.image.convert("RGBA"), layer).convert("RGB")
    assert np.abs(np.asarray(composed, dtype=float) - np.asarray(explanation.overlay(1.0))).max() <= 1


def test_a_notebook_shows_the_overlay_and_the_repr_is_short(vision: SkinVision) -> None:
    explanation = vision.explain(draw_lesion(), target="nv")
    with Image.open(io.BytesIO(explanation._repr_png_())) as shown:
        np.testing.assert_array_equal(shown, explanation.overlay())
    assert repr(explanation).startswith("Explanation(target='nv', method='gradcam', cells=(2, 2), hottest_at_border=")
    assert len(repr(explanation)) < 100


@pytest.mark.parametrize(("cell", "expected"), [((1, 1), False), ((1, 2), False), ((0, 1), True), ((2, 3), True)])
def test_a_hottest_cell_among_the_outermost_is_told(
    vision: SkinVision, monkeypatch: pytest.MonkeyPatch, cell: tuple[int, int], expected: bool
) -> None:
    heat = np.zeros((1, 4, 4), np.float32)
    heat[0][cell] = 1
    centres = (np.arange(4) + 0.5) / 4
    monkeypatch.setattr("skinvision_hf.explain.cam.heat_maps", lambda *_: heat)
    monkeypatch.setattr(TorchRuntime, "cell_centres", (centres, centres))
    assert vision.explain(draw_lesion()).hottest_at_border is expected


@pytest.mark.parametrize("size", [(200, 150), (40, 900)])
def test_the_figure_of_any_image_is_a_picture_of_bounded_size(vision: SkinVision, size: tuple[int, int]) -> None:
    figure = draw_explanation(vision.explain(draw_lesion(0, size)))
    assert figure.mode == "RGB"
    assert figure.width == 1650
    assert figure.height < 1300


# The middle of what each cell sees.


def untrained(architecture: str, size: int) -> Any:
    torch.manual_seed(0)
    return create_model(ModelConfig(architecture=architecture, init="random", image_size=size))


@pytest.mark.parametrize(
    ("architecture", "size", "expected"),
    [
        ("efficientnet_b0", 144, [0.5, 32.5, 64.5, 96.5, 128.5]),  # symmetric padding: first, third, fifth, ...
        ("efficientnet_b0", 64, [0.5, 32.5]),
        ("test_efficientnet", 33, [0.5, 32.5]),
        ("tf_efficientnet_lite0", 64, [31.5, 63.5]),  # TensorFlow's padding lies on the far side
        ("test_convnext", 64, [16.0, 48.0]),  # windows that do not overlap share the image evenly
        ("resnetblur18", 64, [16.0, 48.0]),  # a function, which cannot be followed, makes the image smaller
    ],
)
def test_the_positions_of_cells_are_known_numbers(architecture: str, size: int, expected: list[float]) -> None:
    model = untrained(architecture, size)
    down, across = model.cell_centres
    np.testing.assert_allclose(np.array(down) * size, expected)
    np.testing.assert_allclose(np.array(across) * size, expected)
    with torch.no_grad():
        assert model.timm_model.forward_features(torch.zeros(1, 3, size, size)).shape[-2:] == (len(down), len(across))


def test_a_network_whose_cells_cannot_be_followed_is_saved_without_them(tmp_path: Path) -> None:
    create_model(ModelConfig(architecture="crossvit_tiny_240", init="random", image_size=240)).save_pretrained(tmp_path)
    assert read_config(tmp_path, "it")["cell_centres"] is None


def test_an_explanation_lays_its_cells_where_they_look(vision: SkinVision) -> None:
    """A network of 2 x 2 cells at 64 pixels: the first looks at the edge, the second at the middle."""
    image = draw_lesion(1, (64, 64))
    with torch.no_grad():
        features = vision.model.timm_model.forward_features(vision.runtime.prepare(image)[None])
    for target, code in enumerate(vision.labels):
        heatmap = vision.explain(image, target=code).heatmap
        coarse = heat_maps(vision.model.timm_model, features, [target], "gradcam")[0]
        np.testing.assert_allclose(heatmap[:33:32, :33:32], coarse, atol=1e-4)
        np.testing.assert_allclose(heatmap[33:, 33:], heatmap[32, 32], atol=1e-6)
