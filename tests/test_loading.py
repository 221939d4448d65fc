"""Images are decoded once while there is room for them, and are the same with and without it."""

import copy
import pickle
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from datasets import Image as ImageFeature
from PIL import Image
from tiny_training import tiny_config

from skinvision_hf import loading, runs, training
from skinvision_hf.config import AugmentConfig, PhaseConfig
from skinvision_hf.data import load_ham10000
from skinvision_hf.data.augmentation import TrainTransform
from skinvision_hf.data.images import open_image
from skinvision_hf.data.loaders import DecodedImages, make_loader
from skinvision_hf.training.trainer import run_training

CFG = {"input_size": [3, 32, 32], "mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bilinear", "crop_pct": 1.0}


@pytest.fixture
def decode(monkeypatch: pytest.MonkeyPatch) -> Mock:
    """Counts the images that are decoded."""
    counted = Mock(side_effect=loading.decode_image)
    monkeypatch.setattr(loading, "decode_image", counted)
    return counted


def test_kept_images_save_decoding_and_change_no_pixel(decode: Mock) -> None:
    images = load_ham10000("synthetic[:210]")["train"].select(range(40))
    image = images[0]["image"]
    size = 3 * image.width * image.height
    expected: list[torch.Tensor] = []
    for room, count in ((0, 80), (1e9, 40), (10 * size, 70), (size - 1, 80)):
        decode.reset_mock()
        loader = make_loader(images, TrainTransform(CFG, AugmentConfig()), batch_size=8, decode=DecodedImages(room))
        torch.manual_seed(0)
        batches = [batch["pixel_values"] for _ in range(2) for batch in loader]
        assert decode.call_count == count
        expected = expected or batches
        assert all(torch.equal(a, b) for a, b in zip(batches, expected, strict=True))


@pytest.mark.parametrize(("cache_gb", "passes"), [(1.0, 1), (0.0, 5)])
def test_a_run_decodes_each_training_image_once_for_both_phases(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, decode: Mock, cache_gb: float, passes: int
) -> None:
    """Once before training starts, and then only for want of room, in an epoch of phase 1 and three of phase 2."""
    config = tiny_config(tmp_path, batch_size=10, cache_gb=cache_gb, finetune=PhaseConfig(epochs=3))
    images = training.load_splits(config)
    assert len(images["train"]) % 10 == 0
    verified = Mock(side_effect=runs.decode_image)
    monkeypatch.setattr(runs, "decode_image", verified)
    run_training(config)
    others = len(images["validation"]) + len(images["test"])
    assert verified.call_count == others
    assert decode.call_count == passes * len(images["train"]) + 4 * len(images["validation"])


def test_a_copy_of_the_decoder_carries_no_pixels() -> None:
    """What hashes a data set or sends it to other processes pickles all that it uses."""
    image = load_ham10000("synthetic[:210]")["train"].cast_column("image", ImageFeature(decode=False))[0]
    decoded = DecodedImages(1e9)
    decoded(image["image"], image["image_id"])
    assert isinstance(decoded(image["image"], image["image_id"]), torch.Tensor)
    assert len(pickle.dumps(decoded)) < 1000
    empty = copy.copy(decoded)
    assert isinstance(empty(image["image"], image["image_id"]), Image.Image)
    assert isinstance(empty(image["image"], image["image_id"]), torch.Tensor)  # with the same room


@pytest.mark.parametrize("kind", ["16 bits", "transparent"])
def test_evaluation_sees_the_pixels_that_prediction_sees(kind: str, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 2**16, (40, 40, 4), dtype=np.uint16)
    image = Image.fromarray(pixels[..., 0]) if kind == "16 bits" else Image.fromarray((pixels >> 8).astype(np.uint8))
    image.save(tmp_path / "a.png")
    seen = DecodedImages()({"path": str(tmp_path / "a.png"), "bytes": None}, "a")
    assert np.array_equal(seen, open_image(tmp_path / "a.png"))
