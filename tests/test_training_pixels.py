"""Training pixels: images are decoded once, all crops and symmetries are reached, colours change as in torchvision."""

import pickle
import random
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from datasets import Image as ImageFeature
from drawing import draw_lesion
from PIL import Image, ImageDraw
from tiny_training import run_training, tiny_config
from torchvision.transforms.v2 import functional

from skinvision_hf.config import AugmentConfig
from skinvision_hf.data import load_ham10000, loaders
from skinvision_hf.data.acquisition import Acquisition
from skinvision_hf.data.augmentation import BatchAugmentation, TrainTransform
from skinvision_hf.data.images import open_image
from skinvision_hf.data.loaders import DecodedImages, make_loader
from skinvision_hf.data.transforms import eval_transform
from skinvision_hf.training.trainer import load_training_data

CFG = {"input_size": [3, 64, 64], "interpolation": "bilinear", "crop_pct": 1.0, "crop_mode": "squash"}
CFG |= {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.25, 0.3]}
# Pixels between 0 and 1, as they are in images.
UNIT = CFG | {"mean": [0.0] * 3, "std": [1.0] * 3}
PLAIN = AugmentConfig(1.0, min_scale=1.0, colour=0.0, tint=0.0, erase_probability=0.0)
PLAIN = replace(PLAIN, degrade_probability=0.0, artifact_probability=0.0)


def lesions(count: int) -> torch.Tensor:
    return torch.stack([functional.pil_to_tensor(draw_lesion(seed)) for seed in range(count)])


def augment(images: torch.Tensor, *, seed: int = 0, cfg: dict[str, object] = UNIT, **strengths: float) -> torch.Tensor:
    torch.manual_seed(seed)
    return BatchAugmentation(cfg, replace(PLAIN, **strengths))(images)


def test_without_changes_training_pixels_are_those_of_evaluation() -> None:
    images = [draw_lesion(seed).resize((64, 64)) for seed in range(3)]
    expected = torch.stack([eval_transform(CFG)(image) for image in images])
    crops = torch.stack([functional.pil_to_tensor(image) for image in images])
    torch.testing.assert_close(augment(crops, cfg=CFG), expected)


def test_rotations_and_flips_reach_all_eight_symmetries_equally() -> None:
    torch.manual_seed(0)
    corner = Image.fromarray(np.kron(np.array([[0, 80], [160, 240]], np.uint8), np.ones((64, 64), np.uint8)))
    transform = TrainTransform(CFG, PLAIN)
    seen = [tuple(transform(corner.convert("RGB"))[0, [8, 8, 56, 56], [8, 56, 8, 56]].tolist()) for _ in range(400)]
    counts = [seen.count(view) for view in set(seen)]
    assert len(counts) == 8
    assert min(counts) > 25


def test_a_mask_goes_through_the_crop_and_the_turns_of_its_image() -> None:
    """An image that is bright where its mask is white stays so, also with a mask of another size."""
    torch.manual_seed(0)
    mask = Image.new("L", (100, 75))
    ImageDraw.Draw(mask).ellipse((20, 30, 60, 60), fill=255)
    image = mask.resize((200, 150), Image.Resampling.BILINEAR).convert("RGB")
    transform = TrainTransform(CFG, replace(PLAIN, min_scale=0.3))
    seen = set()
    for _ in range(20):
        crop = transform(image, mask).float()
        assert crop.shape == (4, 64, 64)
        assert float((crop[0] - crop[3]).abs().mean()) < 4
        seen.add(round(float(crop.mean())))
    assert len(seen) > 5


def test_masks_stay_as_they_are_while_colours_change() -> None:
    masks = torch.zeros(2, 1, 64, 64, dtype=torch.uint8)
    masks[0, :, :32] = 255
    crops = torch.stack([functional.pil_to_tensor(draw_lesion(seed).resize((64, 64))) for seed in range(2)])
    changed = augment(torch.cat([crops, masks], dim=1), colour=0.5, erase_probability=1.0)
    assert torch.equal(changed[:, 3:], masks / 255)
    torch.testing.assert_close(changed[:, :3], augment(crops, colour=0.5, erase_probability=1.0))


def test_a_seed_fixes_the_training_pixels_which_stay_in_the_range_of_pixels() -> None:
    views = [augment(lesions(4), seed=seed, colour=1.0, tint=0.9, erase_probability=0.5) for seed in (1, 1, 2)]
    assert torch.equal(views[0], views[1])
    assert not torch.equal(views[0], views[2])
    assert (views[0].shape, views[0].dtype) == (lesions(4).shape, torch.float32)
    assert float(views[0].min()) >= 0.0 and float(views[0].max()) <= 1.0


def test_saturation_brightness_and_contrast_are_torchvisions(monkeypatch: pytest.MonkeyPatch) -> None:
    images = lesions(2)
    factors = iter([0.7, 0.8, 1.1, 0.9])  # saturation, brightness, contrast, tint
    monkeypatch.setattr(
        BatchAugmentation, "_factors", staticmethod(lambda strength, *shape, like: torch.full(shape, next(factors)))
    )
    expected = functional.adjust_saturation(images / 255, 0.7)
    expected = functional.adjust_contrast(functional.adjust_brightness(expected, 0.8), 1.1)
    assert 0 < float(expected.min()) < float(expected.max()) < 1  # so that nothing was clipped between the steps
    torch.testing.assert_close(augment(images), 0.9 * expected, atol=1e-3, rtol=0)


def test_every_image_has_colours_of_its_own_and_a_tint_changes_channels_apart() -> None:
    grey = torch.full((2, 3, 4, 4), 128, dtype=torch.uint8)
    tinted = augment(grey, tint=0.2)[:, :, 0, 0] / (128 / 255)
    assert len({round(float(factor), 4) for factor in tinted.flatten()}) == 6
    assert float((tinted - 1).abs().max()) <= 0.2
    bright = augment(grey, colour=0.2)[:, :, 0, 0]
    assert not torch.allclose(bright[0], bright[1])
    assert torch.allclose(bright, bright[:, :1])  # grey stays grey


def test_as_many_images_are_blanked_out_as_asked_for() -> None:
    images = lesions(1).repeat(60, 1, 1, 1)
    plain, changed = augment(images, cfg=CFG), augment(images, cfg=CFG, erase_probability=0.5)
    assert 18 <= sum(not torch.equal(a, b) for a, b in zip(changed, plain, strict=True)) <= 42
    assert bool((changed[~torch.isclose(changed, plain)] == 0).all())  # blanked out with the mean colour


def acquire(degrade: float, artifact: float, *, seed: int = 0) -> np.ndarray:
    random.seed(seed)
    image = draw_lesion(0, size=(448, 336))
    return np.asarray(Acquisition(degrade, artifact, Image.Resampling.BICUBIC)(image, (40, 30, 340, 330), (112, 112)))


@pytest.mark.parametrize(("degrade", "artifact"), [(1.0, 0.0), (0.0, 1.0), (1.0, 1.0)])
def test_acquisition_changes_an_image_but_not_what_it_shows(degrade: float, artifact: float) -> None:
    image, box = draw_lesion(0, size=(448, 336)), (40, 30, 340, 330)
    plain = acquire(0.0, 0.0).astype(float)
    assert np.array_equal(plain, image.resize((112, 112), Image.Resampling.BICUBIC, box))
    for seed in range(20):
        changed = acquire(degrade, artifact, seed=seed)
        assert changed.shape == (112, 112, 3) and changed.dtype == np.uint8
        assert not np.array_equal(changed, plain)
        assert np.median(np.abs(changed - plain)) < 25
        assert np.array_equal(changed, acquire(degrade, artifact, seed=seed))


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


def test_a_run_decodes_each_training_image_once_for_both_phases(tmp_path: Path, decode: Mock) -> None:
    config = tiny_config(tmp_path, batch_size=10, limit=40)
    run_training(config)
    images = load_training_data(config)
    assert decode.call_count == 2 * len(images["train"]) + 3 * len(images["validation"])


def test_a_copy_of_the_decoder_carries_no_pixels() -> None:
    """What hashes a data set or sends it to other processes pickles all that it uses."""
    image = load_ham10000("synthetic[:210]")["train"].cast_column("image", ImageFeature(decode=False))[0]
    decoded = DecodedImages(1e9)
    (kept,) = decoded(image["image_id"], image["image"])
    assert decoded(image["image_id"], image["image"])[0] is kept
    assert len(pickle.dumps(decoded)) < 200
    copied = pickle.loads(pickle.dumps(decoded))
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
