"""Images are decoded once while there is room for them, and are the same with and without it."""

from unittest.mock import Mock

import pytest
import torch

from skinvision_hf import loading
from skinvision_hf.augmentation import TrainTransform
from skinvision_hf.config import AugmentConfig
from skinvision_hf.data import load_ham10000
from skinvision_hf.loading import make_loader

CFG = {"input_size": [3, 32, 32], "mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bilinear", "crop_pct": 1.0}


def passes(cache_bytes: float, monkeypatch: pytest.MonkeyPatch) -> tuple[int, list[torch.Tensor]]:
    """Images decoded in two epochs of 40 images, and all batches."""
    decode = Mock(side_effect=loading.decode_image)
    monkeypatch.setattr(loading, "decode_image", decode)
    images = load_ham10000("synthetic[:210]")["train"].select(range(40))
    loader = make_loader(images, TrainTransform(CFG, AugmentConfig()), batch_size=8, cache_bytes=cache_bytes)
    torch.manual_seed(0)
    batches = [batch["pixel_values"] for _ in range(2) for batch in loader]
    monkeypatch.undo()
    return decode.call_count, batches


def test_a_cache_saves_decoding_and_changes_no_pixel(monkeypatch: pytest.MonkeyPatch) -> None:
    image = load_ham10000("synthetic[:210]")["train"][0]["image"]
    size = 3 * image.width * image.height
    decoded, expected = passes(0, monkeypatch)
    assert decoded == 80
    for room, count in ((1e9, 40), (10 * size, 70), (size - 1, 80)):
        decoded, batches = passes(room, monkeypatch)
        assert decoded == count
        assert all(torch.equal(a, b) for a, b in zip(batches, expected, strict=True))
