"""One release folder, three loaders: same weights, same pixels, same answers."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torch
from complete_release import change_json
from drawing import draw_lesion
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import AutoImageProcessor, AutoModelForImageClassification

from skinvision_hf.config import ModelConfig
from skinvision_hf.errors import ModelError
from skinvision_hf.labels import CODES
from skinvision_hf.models.creation import create_model
from skinvision_hf.models.modeling import SkinVisionForImageClassification
from skinvision_hf.vision import SkinVision

PICTURES = [draw_lesion(1, (200, 150)), draw_lesion(2, (600, 450)), draw_lesion(3, (97, 211))]


def probabilities_here(folder: Path, image: Image.Image) -> tuple[torch.Tensor, torch.Tensor]:
    vision = SkinVision.from_pretrained(folder, device="cpu")
    return vision.runtime.prepare(image)[None], torch.tensor([list(vision.predict(image).probabilities.values())])


def probabilities_in_transformers(folder: Path, image: Image.Image) -> tuple[torch.Tensor, torch.Tensor]:
    model = AutoModelForImageClassification.from_pretrained(folder).eval()
    pixels = AutoImageProcessor.from_pretrained(folder)(image, return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        return pixels, model(pixels).logits.softmax(1)


def probabilities_in_timm(folder: Path, image: Image.Image) -> tuple[torch.Tensor, torch.Tensor]:
    model = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model), is_training=False)
    pixels = transform(image)[None]
    with torch.no_grad():
        return pixels, model(pixels).softmax(1)


@pytest.mark.parametrize("crop_mode", ["squash", "center", "border"])
def test_three_loaders_agree_on_real_pixels(tiny_release: Path, tmp_path: Path, crop_mode: str) -> None:
    release = shutil.copytree(tiny_release, tmp_path / "release")
    change_json(release / "config.json", lambda config: config["pretrained_cfg"].update(crop_mode=crop_mode))
    for image in PICTURES:
        pixels, expected = probabilities_here(release, image)
        assert float(expected.max()) < 0.99  # an answer that is certain of one class would hide differences
        for load in (probabilities_in_transformers, probabilities_in_timm):
            other_pixels, actual = load(release, image)
            assert torch.equal(pixels, other_pixels)
            torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-6)


def test_stages_are_pooled_on_the_way_to_the_same_feature_maps(model: SkinVisionForImageClassification) -> None:
    with torch.inference_mode():
        pixels = torch.randn(2, 3, 64, 64)
        _, pooled = model.feature_maps(pixels)
        assert pooled.shape == (2, model.timm_model.head_hidden_size)
        for stage, channels in enumerate(model.stage_channels):
            maps, pooled = model.feature_maps(pixels, stage=stage)
            assert pooled.shape == (2, channels)
            torch.testing.assert_close(model.timm_model.forward_head(maps), model(pixels).logits)


def test_a_file_in_half_precision_is_loaded_in_float32(tiny_release: Path) -> None:
    for model in (
        SkinVisionForImageClassification.from_pretrained(tiny_release),
        AutoModelForImageClassification.from_pretrained(tiny_release),
        timm.create_model(f"local-dir:{tiny_release}", pretrained=True),
    ):
        assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    for key, value in load_file(tiny_release / "model.safetensors").items():
        if value.is_floating_point():
            assert value.dtype == (torch.float16 if value.ndim > 1 else torch.float32), key


def test_saving_a_loaded_release_again_gives_the_same_bytes(tiny_release: Path, tmp_path: Path) -> None:
    SkinVisionForImageClassification.from_pretrained(tiny_release).save_pretrained(tmp_path)
    for name in ("config.json", "model.safetensors"):
        assert (tmp_path / name).read_bytes() == (tiny_release / name).read_bytes()


def test_a_frozen_backbone_keeps_its_weights_and_statistics_while_the_head_learns(
    model: SkinVisionForImageClassification,
) -> None:
    model.freeze_backbone()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    model.train()
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1.0)
    model(torch.randn(4, 3, 64, 64), labels=torch.tensor([0, 1, 2, 3])).loss.backward()
    optimizer.step()
    changed = {key for key, value in model.state_dict().items() if not torch.equal(value, before[key])}
    assert changed == {"timm_model.classifier.weight", "timm_model.classifier.bias"}
    model.unfreeze()
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert all(module.training for module in model.modules())


def test_lite0_weights_enter_b0_with_open_gates() -> None:
    created = create_model(ModelConfig(init="lite0", image_size=64))
    model = created.timm_model
    twin = create_model(ModelConfig(architecture="tf_efficientnet_lite0", init="lite0", image_size=64)).timm_model
    for key, value in twin.state_dict().items():
        if not key.startswith("classifier."):
            assert torch.equal(model.state_dict()[key], value), key
    gates = [value for key, value in model.state_dict().items() if key.endswith("se.conv_expand.bias")]
    assert len(gates) == 16
    assert all(bool((gate == 4.0).all()) for gate in gates)
    assert model.classifier.out_features == len(CODES)
    assert created.config.pretrained_cfg["mean"] == pytest.approx([0.498] * 3, abs=0.003)


def test_weights_from_a_file_are_taken_over_without_their_classifier(tiny_release: Path, tmp_path: Path) -> None:
    source = load_file(tiny_release / "model.safetensors")
    save_file(source, tmp_path / "w.safetensors")
    for init in (tiny_release, tmp_path / "w.safetensors"):
        config = ModelConfig(architecture="test_efficientnet", init=str(init), image_size=64)
        state = create_model(config).timm_model.state_dict()
        for key, value in source.items():
            assert torch.equal(state[key], value.to(state[key].dtype)) != (key == "classifier.weight")


def test_weights_that_fill_only_a_part_of_the_network_are_refused(tiny_release: Path, tmp_path: Path) -> None:
    state = load_file(tiny_release / "model.safetensors")
    save_file({key: state[key] for key in list(state)[:10]}, tmp_path / "part.safetensors")
    config = ModelConfig(architecture="test_efficientnet", init=str(tmp_path / "part.safetensors"), image_size=64)
    with pytest.raises(ModelError, match=r"\d+ tensors are missing; choose other weights with --model.init"):
        create_model(config)
    (tmp_path / "config.json").write_text("null")
    with pytest.raises(ModelError, match=r"is not a configuration; --model.init takes an intact release"):
        create_model(replace(config, init=str(tmp_path)))


def test_a_release_hands_on_its_normalisation_and_where_its_weights_came_from(tmp_path: Path) -> None:
    settings = {"architecture": "test_efficientnet", "image_size": 64}
    first = create_model(ModelConfig(init="random", **settings))
    first.config.pretrained_cfg |= {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.4, 0.4]}
    first.save_pretrained(tmp_path / "first")
    second = create_model(ModelConfig(init=str(tmp_path / "first"), **settings))
    assert second.config.pretrained_cfg["mean"] == [0.1, 0.2, 0.3]
    second.save_pretrained(tmp_path / "second")
    third = create_model(ModelConfig(init=str(tmp_path / "second"), **settings))
    assert third.config.initial_weights["source"] == "second"
    assert third.config.initial_weights["origin"] == "random"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture": "no_such_net"}, "timm has no architecture 'no_such_net'"),
        ({"init": "/nowhere/weights.safetensors"}, "no weights at /nowhere/weights.safetensors"),
        ({"architecture": "test_efficientnet", "init": "lite0"}, "do not fit test_efficientnet"),
    ],
)
def test_a_network_that_cannot_be_made_says_why(changes: dict[str, str], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        create_model(ModelConfig(**changes))


def damage_config(release: Path, **changes: object) -> None:
    change_json(release / "config.json", lambda config: config.update(changes))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "model.safetensors").write_bytes((f / "model.safetensors").read_bytes()[:9999]), "is damaged"),
        (lambda f: (f / "model.safetensors").unlink(), "is incomplete: model.safetensors is missing"),
        (lambda f: damage_config(f, label_names=list("abcdefg")), "its labels are"),
        (lambda f: damage_config(f, architecture="no_such_net"), "'no_such_net', which this timm does not know"),
        (lambda f: damage_config(f, architecture="test_resnet"), "do not fit its config.json"),
        (lambda f: damage_config(f, architecture=5), r"config\.json of .* is damaged"),
        (lambda f: damage_config(f, pretrained_cfg={}), r"config\.json of .* is damaged"),
        (lambda f: damage_config(f, model_args={"no_such_argument": 1}), r"config\.json of .* is damaged"),
        (lambda f: damage_config(f, release_files="ood.safetensors"), r"config\.json of .* is damaged"),
        (lambda f: (f / "config.json").write_text("{"), "cannot be read"),
        (lambda f: (f / "config.json").write_text('{"model_type": "bert"}'), "is not a SkinVision release"),
        (lambda f: (f / "config.json").unlink(), "is not a SkinVision release: it has no config.json"),
    ],
)
def test_a_damaged_release_is_refused_with_its_reason(
    tiny_release: Path, tmp_path: Path, damage: Callable[[Path], object], message: str
) -> None:
    release = shutil.copytree(tiny_release, tmp_path / "release")
    damage(release)
    with pytest.raises(ModelError, match=message) as caught:
        SkinVisionForImageClassification.from_pretrained(release)
    assert "\n" not in str(caught.value)
