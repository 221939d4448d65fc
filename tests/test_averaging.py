"""The mean of several releases' weights as a release of its own."""

import json
import shutil
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
from calling import call
from safetensors.torch import load_file
from tiny_training import tiny_config

from skinvision_hf.averaging import average_releases
from skinvision_hf.card import lint_card, write_card
from skinvision_hf.card.training import read_training
from skinvision_hf.config import ModelConfig, PhaseConfig
from skinvision_hf.errors import DataError, ModelError
from skinvision_hf.modeling import SkinVisionForImageClassification
from skinvision_hf.training import run_training

AVERAGE = Path(__file__).resolve().parents[1] / "scripts" / "average_releases.py"


def read(folder: Path) -> dict:
    return json.loads((folder / "training.json").read_text())


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two networks that went on from one."""
    folder = tmp_path_factory.mktemp("soup")
    first = run_training(tiny_config(folder / "first", finetune=PhaseConfig(epochs=0)))
    model = ModelConfig(architecture="test_efficientnet", init=str(first), image_size=32)
    configs = (
        tiny_config(folder / name, model=model, seed=seed, head=PhaseConfig(False, epochs=0)) for name, seed in AFTER
    )
    return [run_training(config) for config in configs]


AFTER = (("a", 1), ("b", 2))


def test_weights_are_the_mean_and_the_record_tells_of_both(trained: list[Path], tmp_path: Path) -> None:
    soup = average_releases(trained, tmp_path / "soup")
    first, second, mean = (load_file(folder / "model.safetensors") for folder in (*trained, soup))
    assert (first["conv_stem.weight"].float() - second["conv_stem.weight"].float()).abs().max() > 1e-3
    for key, value in mean.items():
        if value.is_floating_point():
            expected = (first[key].float() + second[key].float()) / 2
            torch.testing.assert_close(value.float(), expected, rtol=2e-3, atol=1e-4)
    assert SkinVisionForImageClassification.from_pretrained(soup).config.calibration_temperature == 1.0
    assert read(soup) == read(trained[0]) | {"averaged_with": [read(trained[1])]}
    training = read_training(read(soup))
    assert len(training.steps) == 2 and len(training.all_steps) == 4
    assert not training.leaky
    again = average_releases([soup, trained[1]], tmp_path / "again")
    assert read(again)["averaged_with"] == [read(trained[1]), read(trained[1])]


def test_a_leaky_network_in_the_mean_is_told(trained: list[Path], tmp_path: Path) -> None:
    record = read(average_releases(trained, tmp_path / "soup"))
    record["averaged_with"][0]["split"] = "image-level-leaky"
    assert read_training(record).leaky


def test_an_average_that_was_stopped_before_its_card_is_made_again(trained: list[Path], tmp_path: Path) -> None:
    soup = average_releases(trained, tmp_path / "soup")
    (soup / "model.safetensors").write_bytes(b"half")
    average_releases(trained, soup)
    assert load_file(soup / "model.safetensors")
    (soup / "README.md").write_text("the card")
    with pytest.raises(DataError, match="already holds a release"):
        average_releases(trained, soup)


def test_releases_that_do_not_belong_together_are_refused(trained: list[Path], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="give two or more"):
        average_releases(trained[:1], tmp_path / "soup")
    with pytest.raises(DataError, match="already holds a release"):
        average_releases(trained, trained[0])
    other = tmp_path / "other"
    model = SkinVisionForImageClassification.from_pretrained(trained[0])
    model.config.pretrained_cfg["input_size"] = [3, 64, 64]
    model.save_pretrained(other)
    with pytest.raises(ModelError, match=r"training\.json cannot be read; give"):
        average_releases([trained[0], other], tmp_path / "soup")
    (other / "training.json").write_text(json.dumps(read(trained[0])))
    with pytest.raises(ModelError, match=r"other and .*a are of different architectures or inputs"):
        average_releases([trained[0], other], tmp_path / "soup")
    model.config.pretrained_cfg["input_size"] = [3, 32, 32]
    model.save_pretrained(other)
    (other / "training.json").write_text(json.dumps(read(trained[0]) | {"split": "image-level-leaky"}))
    with pytest.raises(DataError, match=r"other and .*a were trained on different splits"):
        average_releases([trained[0], other], tmp_path / "soup")
    assert not (tmp_path / "soup").exists()


def test_the_command_makes_a_whole_release(
    trained: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    soup = tmp_path / "soup"
    arguments = ["--releases", *map(str, trained), "--data=synthetic[:210]"]
    assert call(AVERAGE, *arguments, f"--output_dir={soup}") == 0
    assert f"Release written to {soup}" in capsys.readouterr().out
    assert {"metrics.json", "guard.safetensors", "conformal.json", "README.md"} <= {
        path.name for path in soup.iterdir()
    }
    text = write_card(soup).read_text()
    assert "The weights are the mean of those of this network and of 1 more" in text
    assert str(tmp_path) not in text
    assert lint_card(soup) == []
    assert call(AVERAGE, *arguments, f"--output_dir={soup}") == 2
    assert "already holds a release; choose another --output_dir" in capsys.readouterr().err


def test_the_mean_is_measured_on_the_split_that_the_networks_learned_from(
    trained: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leaky = tmp_path / "leaky"
    shutil.copytree(trained[0], leaky)
    (leaky / "training.json").write_text(json.dumps(read(trained[0]) | {"split": "image-level-leaky"}))
    load = Mock(side_effect=DataError("stop here"))
    monkeypatch.setattr("skinvision_hf.data.load_ham10000", load)
    assert call(AVERAGE, "--releases", str(leaky), str(leaky), "--data=x", f"--output_dir={tmp_path / 'soup'}") == 2
    assert load.call_args.kwargs["split"] == "image-level-leaky"
