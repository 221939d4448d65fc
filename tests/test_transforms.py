"""What the network sees: evaluation pixels are timm's, training pixels are varied, and the crop box says where."""

import numpy as np
import pytest
import torch
from drawing import draw_lesion
from PIL import Image

from skinvision_hf.config import AugmentConfig
from skinvision_hf.transforms import RightAngleRotation, Tint, crop_box, eval_transform, train_transform

CFG = {
    "input_size": [3, 64, 64],
    "mean": [0.5, 0.5, 0.5],
    "std": [0.5, 0.5, 0.5],
    "interpolation": "bilinear",
    "crop_pct": 1.0,
    "crop_mode": "squash",
}
PLAIN = AugmentConfig(resolution=1.0, min_scale=1.0, colour=0.0, tint=0.0, blur_probability=0.0, erase_probability=0.0)


@pytest.mark.parametrize(("resolution", "side"), [(1.0, 64), (0.75, 48)])
def test_training_pixels_have_the_range_of_evaluation_pixels_and_the_size_asked_for(
    resolution: float, side: int
) -> None:
    torch.manual_seed(0)
    image = draw_lesion(0)
    expected = eval_transform(CFG)(image)
    assert expected.shape == (3, 64, 64)
    for _ in range(20):
        actual = train_transform(CFG, AugmentConfig(resolution=resolution))(image)
        assert actual.shape == (3, side, side)
        assert actual.dtype == expected.dtype == torch.float32
        assert -1.0 <= float(actual.min()) <= float(actual.max()) <= 1.0


def test_a_seed_fixes_the_training_pixels() -> None:
    transform, image = train_transform(CFG, AugmentConfig()), draw_lesion(0)
    views = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        views.append(transform(image))
    assert torch.equal(views[0], views[1])
    assert not torch.equal(views[0], views[2])


def test_rotations_and_flips_reach_all_eight_symmetries_equally() -> None:
    torch.manual_seed(0)
    corner = Image.fromarray(np.kron(np.array([[0, 80], [160, 240]], np.uint8), np.ones((64, 64), np.uint8)))
    transform = train_transform(CFG, PLAIN)
    seen = [tuple(transform(corner.convert("RGB"))[0, [8, 8, 56, 56], [8, 56, 8, 56]].tolist()) for _ in range(400)]
    counts = [seen.count(view) for view in set(seen)]
    assert len(counts) == 8
    assert min(counts) > 25


def test_a_right_angle_rotation_of_a_tall_image_is_a_wide_one() -> None:
    torch.manual_seed(0)
    shapes = {tuple(RightAngleRotation()(torch.zeros(3, 4, 9)).shape) for _ in range(30)}
    assert shapes == {(3, 4, 9), (3, 9, 4)}


def test_a_tint_changes_channels_apart_and_stays_in_range() -> None:
    torch.manual_seed(0)
    image = torch.full((3, 2, 2), 0.8)
    tinted = Tint(0.5)(image)
    factors = tinted[:, 0, 0] / 0.8
    assert len(set(factors.tolist())) == 3
    assert float(tinted.max()) <= 1.0
    assert torch.equal(Tint(0.0)(image), image)


@pytest.mark.parametrize("size", [(200, 150), (150, 200), (64, 64)])
@pytest.mark.parametrize(("mode", "crop_pct"), [("squash", 1.0), ("center", 1.0), ("center", 0.875), ("border", 1.0)])
def test_the_crop_box_is_where_the_network_looks(mode: str, crop_pct: float, size: tuple[int, int]) -> None:
    """A ramp tells the position of each pixel by its value, so the borders of the network's view can be read off."""
    cfg = CFG | {"crop_mode": mode, "crop_pct": crop_pct, "mean": [0.0] * 3, "std": [1.0] * 3}
    width, height = size
    left, top, right, bottom = crop_box(cfg, size)
    ramp_x = np.tile(np.linspace(0, 255, width), (height, 1))
    ramp_y = np.tile(np.linspace(0, 255, height)[:, None], (1, width))
    image = Image.fromarray(np.stack([ramp_x, ramp_y, np.full_like(ramp_x, 255)], 2).round().astype(np.uint8))
    seen = eval_transform(cfg)(image)
    inside = seen[2] > 0.99  # what is not padding
    for channel, low, high, length in ((0, left, right, width), (1, top, bottom, height)):
        values = seen[channel][inside] * (length - 1)
        tolerance = 1.5 * max(size) / 64
        assert float(values.min()) == pytest.approx(max(low, 0), abs=tolerance)
        assert float(values.max()) == pytest.approx(min(high, length) - 1, abs=tolerance)
