"""What of an image the network sees when it is evaluated and used."""

import numpy as np
import pytest
from PIL import Image

from skinvision_hf.data.transforms import crop_box, eval_transform

CFG = {"input_size": [3, 64, 64], "mean": [0.0] * 3, "std": [1.0] * 3, "interpolation": "bilinear"}


@pytest.mark.parametrize("size", [(200, 150), (150, 200), (64, 64)])
@pytest.mark.parametrize(("mode", "crop_pct"), [("squash", 1.0), ("center", 1.0), ("center", 0.875), ("border", 1.0)])
def test_the_crop_box_is_where_the_network_looks(mode: str, crop_pct: float, size: tuple[int, int]) -> None:
    """A ramp tells the position of each pixel by its value, so the borders of the network's view can be read off."""
    cfg = CFG | {"crop_mode": mode, "crop_pct": crop_pct}
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
