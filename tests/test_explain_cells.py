"""Heat lies where the network looked: known positions of cells, and a mark that is followed through real layers."""

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from drawing import draw_lesion
from skinvision_hf.explain.placement import relative
from torch import nn

from skinvision_hf.config import ModelConfig
from skinvision_hf.explain.cam import heat_maps
from skinvision_hf.explain.cells import cell_centres
from skinvision_hf.models.creation import create_model
from skinvision_hf.models.modeling import SkinVisionForImageClassification
from skinvision_hf.vision import SkinVision


def create(architecture: str, size: int) -> SkinVisionForImageClassification:
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
    ],
)
def test_the_positions_of_cells_are_known_numbers(architecture: str, size: int, expected: list[float]) -> None:
    model = create(architecture, size)
    down, across = cell_centres(model)
    np.testing.assert_allclose(down * size, expected)
    np.testing.assert_allclose(across * size, expected)
    with torch.no_grad():
        assert model.timm_model.forward_features(torch.zeros(1, 3, size, size)).shape[-2:] == (len(down), len(across))


def test_cells_are_spread_evenly_where_the_layers_cannot_be_followed() -> None:
    model = create("resnetblur18", 64)  # becomes smaller by a function, not by a layer
    np.testing.assert_allclose(cell_centres(model)[0] * 64, [16, 48])


@pytest.mark.parametrize("architecture", ["efficientnet_lite0", "tf_efficientnet_lite0", "resnet18"])
def test_the_cells_beside_a_mark_see_as_much_of_it(architecture: str) -> None:
    """Layers that only blur pass a mark in the middle of a cell on to both sides alike; anywhere else they cannot."""
    size, cell = 256, 4
    row, column = (int(centres[cell] * size) for centres in cell_centres(create(architecture, size)))
    network = timm.create_model(architecture).eval().double()  # little light is left in the end
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.constant_(module.weight, 1 / module.weight[0].numel())
        if isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)  # timm starts the last one of each residual block at 0

    def imbalance(row: int, column: int) -> float:
        pixels = torch.zeros(2, 3, size, size, dtype=torch.float64)
        pixels[0, :, row, column] = 1
        with torch.no_grad():
            mark, nothing = network.forward_features(pixels).mean(dim=1)
        light = mark - nothing
        down, across = light[cell - 1 : cell + 2, cell], light[cell, cell - 1 : cell + 2]
        return max(float(abs(line[0] - line[2]) / line[1]) for line in (down, across))

    assert imbalance(row, column) < 0.02
    assert imbalance(row + 16, column) > 0.1
    assert imbalance(row, column + 16) > 0.1


def test_the_hottest_pixel_of_every_map_is_one_and_an_empty_map_stays_empty() -> None:
    maps = np.stack([np.full((4, 5), 0.2), np.zeros((4, 5)), np.eye(4, 5) * 0.7]).astype(np.float32)
    scaled = relative(maps)
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled.max(axis=(1, 2)), [1, 0, 1])
    np.testing.assert_allclose(scaled[2], np.eye(4, 5))


def test_an_explanation_lays_its_cells_where_they_look(tiny_release: Path) -> None:
    """A network of 2 x 2 cells at 64 pixels: the first looks at the edge, the second at the middle."""
    vision = SkinVision.from_pretrained(tiny_release, device="cpu")
    image = draw_lesion(1, (64, 64))
    with torch.no_grad():
        features = vision.model.timm_model.forward_features(vision.transform(image)[None])
    for target, code in enumerate(vision.labels):
        heatmap = vision.explain(image, target=code).heatmap
        coarse = heat_maps(vision.model.timm_model, features, [target], "gradcam")[0]
        np.testing.assert_allclose(heatmap[:33:32, :33:32], coarse, atol=1e-4)
        np.testing.assert_allclose(heatmap[33:, 33:], heatmap[32, 32], atol=1e-6)
