"""What the card tells of the training comes from the release's record."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from complete_release import change_json

from skinvision_hf.card import lint_card, render_card, write_card
from skinvision_hf.card.wording import duration
from skinvision_hf.demo.about import describe_release
from skinvision_hf.errors import ModelError


def two_steps(record: dict) -> None:
    """Put a step before, as older versions recorded it."""
    first = json.loads(json.dumps(record)) | {"command": "accelerate launch scripts/train.py --output_dir first"}
    del first["seconds"], first["best"], first["hardware"]
    for name in ("logit_adjustment", "cutmix_alpha"):
        first["config"]["loss"].pop(name, None)
    for name in ("resolution", "first_resolution"):
        first["config"].get("augment", {}).pop(name, None)
    record["previous"] = [first]
    record["config"]["model"]["init"] = "first"
    record["config"]["head"] = record["config"]["head"] | {"epochs": 0}


def test_a_training_of_one_step_is_told_as_one(release: Path) -> None:
    text = render_card(release).text
    procedure = text.partition("## Training procedure")[2].partition("## Evaluation")[0]
    assert "### Step" not in procedure
    assert procedure.count("```bash") == 1
    assert "epoch 17 of 2 in the phase that trains all layers" in procedure
    assert "| compute | 1.5 hours on 2 cores (x86_64), device `cpu`; emissions were not measured |" in procedure
    assert re.search(r"^\| Updating \|.*\| Not done \|$", text, re.MULTILINE)


def test_a_training_of_two_steps_tells_both(release: Path) -> None:
    change_json(release / "training.json", two_steps)
    card = render_card(release)
    first, second = re.split(r"^### Step \d of 2$", card.text, flags=re.MULTILINE)[1:]
    second = second.partition("## Evaluation")[0]
    assert "--output_dir first\n" in first and "--output_dir main\n" in second
    assert "| initial weights | ImageNet weights of EfficientNet-Lite0" in first
    assert "| initial weights | the result of step 1, `first` |" in second
    assert "Which epoch was kept is not on record." in first and "epoch 17" in second
    assert "logit adjustment" not in first and "CutMix" not in first and "of the input's side" not in first
    assert "| compute | duration not on record |" in first and "| compute | 1.5 hours on 2 cores" in second
    assert "Two phases" in first and "All layers were trained together." in second
    assert "How long all of them took together is not on record." in card.text
    assert "The weights went through 2 trainings" in card.text
    assert card.data.base_model == "timm/tf_efficientnet_lite0.in1k"
    write_card(release)
    assert lint_card(release) == []


def test_the_total_of_all_steps_is_told_where_it_is_known(release: Path) -> None:
    change_json(release / "training.json", two_steps)
    change_json(release / "training.json", lambda record: record["previous"][0].update(seconds=7200.0))
    assert f"Together they took {duration(7200.0 + 5432.1)}." in render_card(release).text


def test_a_step_on_other_images_is_told(release: Path) -> None:
    change_json(release / "training.json", two_steps)
    assert "not those of the last step" not in render_card(release).text
    leaky = {"split": "image-level-leaky", "data_fingerprint": {"train": "f" * 64}}
    change_json(release / "training.json", lambda record: record["previous"][0].update(leaky))
    text = render_card(release).text
    assert "of `image-level-leaky`; **not those of the last step**" in text
    assert "The numbers below are too good" in text and "that it had never seen" not in text
    assert "too good" in describe_release(release).text


def test_what_a_record_lacks_was_off(release: Path) -> None:
    text = render_card(release).text
    assert "growing from" not in text and "CutMix" not in text and "logit adjustment" not in text


@pytest.mark.parametrize(
    ("distill", "told"),
    [
        (
            {"teachers": ["a"], "logit_adjustment": 0.0},
            "the answers of `a` to the same pixels, in place of the labels |",
        ),
        (
            {"teachers": ["a", "b"], "logit_adjustment": 0.5, "weight": 0.7, "views": 4},
            "the mean answers of `a`, `b` to the same pixels, mirrored and turned to 4 views, "
            "each times the class frequencies to the power of 0.5, 70% of the target",
        ),
    ],
)
def test_teachers_are_told(release: Path, distill: dict, told: str) -> None:
    assert "| learned from |" not in render_card(release).text
    change_json(release / "training.json", lambda record: record["config"].update(distill=distill))
    assert f"| learned from | {told}" in render_card(release).text


@pytest.mark.parametrize(
    ("resolution", "first", "told"),
    [
        (0.8, 0.0, "of the image, at 80% of the input's side,"),
        (0.8, 0.5, "of the image, growing from 50% to 80% of the input's side,"),
        (1.0, 0.5, "of the image, growing from 50% to 100% of the input's side,"),
    ],
)
def test_the_size_of_training_images_is_told(release: Path, resolution: float, first: float, told: str) -> None:
    sizes = {"resolution": resolution, "first_resolution": first}
    change_json(release / "training.json", lambda record: record["config"].update(augment=sizes))
    assert told in render_card(release).text


@pytest.mark.parametrize(
    ("averaging", "told"),
    [
        ({"ema_decay": 0.99}, "weights averaged with a decay that rises to at most 0.99 |"),
        ({"ema_decay": 0.99, "ema_warmup": True}, "weights averaged with a decay that rises to at most 0.99 |"),
        ({"ema_decay": 0.99, "ema_warmup": False}, "weights averaged with a decay of 0.99 |"),
        ({"ema_decay": 0.0}, "weight decay 0.05 |"),
    ],
)
def test_how_the_weights_were_averaged_is_told(release: Path, averaging: dict, told: str) -> None:
    change_json(release / "training.json", lambda record: record["config"]["finetune"].update(averaging))
    assert told in render_card(release).text


@pytest.mark.parametrize(
    "forget",
    [
        lambda config: config["loss"].pop("class_weights"),
        lambda config: config["model"].pop("drop_path_rate"),
        lambda config: config.pop("seed"),
        lambda config: config.pop("augment", None),
        lambda config: config["head"].pop("ema_decay"),
        lambda config: config.update(forgotten_setting=3),
    ],
)
def test_settings_of_other_versions_are_no_obstacle(release: Path, forget: Callable[[dict], object]) -> None:
    change_json(release / "training.json", lambda record: forget(record["config"]))
    text = render_card(release).text
    assert "stochastic depth 0.2" in text and "| seed | 0 |" in text


def test_an_impossible_setting_is_refused_in_one_line(release: Path) -> None:
    change_json(release / "training.json", lambda record: record["config"].update(batch_size=-3))
    with pytest.raises(ModelError, match=r"a setting that cannot be \(batch_size is -3"):
        render_card(release)
