"""Images are decoded once while there is room for them, and are the same with and without it."""

import copy
import pickle
import random
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from datasets import Image as ImageFeature
from PIL import Image
from tiny_training import run_training, tiny_config

from skinvision_hf.config import AugmentConfig, PhaseConfig
from skinvision_hf.data import load_ham10000, loaders
from skinvision_hf.data.augmentation import TrainTransform
from skinvision_hf.data.images import open_image
from skinvision_hf.data.loaders import DecodedImages, make_loader
from skinvision_hf.training.trainer import load_training_data

CFG = {"input_size": [3, 32, 32], "mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bilinear", "crop_pct": 1.0}


@pytest.fixture
def decode(monkeypatch: pytest.MonkeyPatch) -> Mock:
    """Counts the images that are decoded."""
    counted = Mock(side_effect=loaders.decode_image)
    monkeypatch.setattr(loaders, "decode_image", counted)
    return counted


@pytest.mark.parametrize("masks", [False, True])
def test_kept_images_save_decoding_and_change_no_pixel(decode: Mock, masks: bool) -> None:
    images = load_ham10000("synthetic[:210]", masks=masks)["train"].select(range(40))
    image, pictures = images[0]["image"], 1 + masks
    size = (4 + masks) * image.width * image.height
    expected: list[torch.Tensor] = []
    for room, count in ((0, 80), (1e9, 40), (10 * size, 70), (size - 1, 80)):
        decode.reset_mock()
        transform = TrainTransform(CFG, AugmentConfig())
        loader = make_loader(images, transform, batch_size=8, masks=masks, cache_gb=room / 1e9)
        torch.manual_seed(0)
        random.seed(0)
        batches = [batch["pixel_values"] for _ in range(2) for batch in loader]
        assert batches[0].shape[1] == 3 + masks
        assert decode.call_count == pictures * count
        expected = expected or batches
        assert all(torch.equal(a, b) for a, b in zip(batches, expected, strict=True))


@pytest.mark.parametrize(("cache_gb", "passes"), [(1.0, 1), (0.0, 4)])
def test_a_run_decodes_each_training_image_once_for_both_phases(
    tmp_path: Path, decode: Mock, cache_gb: float, passes: int
) -> None:
    """Without room for them, in an epoch of phase 1 and three of phase 2."""
    config = tiny_config(tmp_path, batch_size=10, cache_gb=cache_gb, finetune=PhaseConfig(epochs=3))
    images = load_training_data(config)
    assert len(images["train"]) % 10 == 0
    run_training(config)
    assert decode.call_count == 2 * passes * len(images["train"]) + 4 * len(images["validation"])


def test_a_copy_of_the_decoder_carries_no_pixels() -> None:
    """What hashes a data set or sends it to other processes pickles all that it uses."""
    image = load_ham10000("synthetic[:210]")["train"].cast_column("image", ImageFeature(decode=False))[0]
    decoded = DecodedImages(1e9)
    (kept,) = decoded(image["image_id"], image["image"])
    assert decoded(image["image_id"], image["image"])[0] is kept
    assert len(pickle.dumps(decoded)) < 200
    for copied in (copy.deepcopy(decoded), pickle.loads(pickle.dumps(decoded))):
        (first,) = copied(image["image_id"], image["image"])
        assert first is not kept
        assert copied(image["image_id"], image["image"])[0] is first  # with the same room


@pytest.mark.parametrize("kind", ["16 bits", "transparent"])
def test_evaluation_sees_the_pixels_that_prediction_sees(kind: str, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 2**16, (40, 40, 4), dtype=np.uint16)
    image = Image.fromarray(pixels[..., 0]) if kind == "16 bits" else Image.fromarray((pixels >> 8).astype(np.uint8))
    image.save(tmp_path / "a.png")
    (seen,) = DecodedImages()("a", {"path": str(tmp_path / "a.png"), "bytes": None})
    assert np.array_equal(seen, open_image(tmp_path / "a.png"))
