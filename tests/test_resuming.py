"""A run that was killed anywhere goes on, with its own settings only."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from unittest.mock import Mock

import pytest
from tiny_training import history, run_training, tiny_config

from skinvision_hf.config import ModelConfig, PhaseConfig, TrainConfig
from skinvision_hf.errors import DataError
from skinvision_hf.training import trainer
from skinvision_hf.training.checkpoints import Checkpoints, assert_same_settings

pytestmark = pytest.mark.usefixtures("fresh_state")


class Killed(BaseException):
    """Ends a run where it stands, as a kill does."""


def kill_training(config: TrainConfig) -> None:
    """Train, and kill the run before it saves a second epoch."""
    save = Checkpoints.save

    def save_once(self: Checkpoints, *arguments: object, **options: int) -> None:
        if self.newest():
            raise Killed
        save(self, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Checkpoints, "save", save_once)
        run_training(config)


def test_folders_may_move_and_settings_without_influence_may_change(tmp_path: Path) -> None:
    config = tiny_config(tmp_path, data="/old/HAM10000", model=ModelConfig(init="/old/first"))
    moved = replace(config, data="/new/HAM10000/", model=ModelConfig(init="first"), output_dir="elsewhere")
    assert_same_settings(replace(moved, report_to="tensorboard", num_workers=9, cache_gb=0.0), {}, asdict(config))
    with pytest.raises(DataError, match=r"started with --data /old/HAM10000 .now /new/other., --batch_size 16 .now 8"):
        assert_same_settings(replace(moved, data="/new/other", batch_size=8), {}, asdict(config))
    older = asdict(config)
    del older["loss"]["cutmix_alpha"]
    assert_same_settings(config, {"processes": 1}, older)


def test_a_run_is_resumed_with_its_own_settings_only(tmp_path: Path) -> None:
    config = tiny_config(tmp_path / "run", head=PhaseConfig(epochs=2), finetune=PhaseConfig(epochs=0))
    kill_training(config)
    with pytest.raises(
        DataError, match=r"--seed 0 .now 1.; resume it with these settings, or choose another --output_dir"
    ):
        run_training(replace(config, seed=1), resume=True)
    path = tmp_path / "run" / "checkpoints" / "settings.json"
    settings = json.loads(path.read_text())
    path.write_text(json.dumps(settings | {"processes": 4}))
    with pytest.raises(DataError, match=r"was started with processes 4 .now 1.; resume it with these settings"):
        run_training(config, resume=True)
    path.write_text(json.dumps(settings))
    assert len(history(run_training(config, resume=True))) == 2
    assert run_training(config, resume=True)
    with pytest.raises(DataError, match=r"--seed 0 .now 1"):
        run_training(replace(config, seed=1), resume=True)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_kill_between_two_phases_does_no_harm(tmp_path: Path, num_workers: int) -> None:
    """The second phase starts from the average of the first one, also when it has begun before."""
    # A process that loads images has randomness of its own.
    settings = {"head": PhaseConfig(epochs=1, ema_decay=0.9), "num_workers": num_workers}
    whole = run_training(tiny_config(tmp_path / "whole", **settings))
    kill_training(tiny_config(tmp_path / "killed", **settings))
    killed = run_training(tiny_config(tmp_path / "killed", **settings), resume=True)
    assert (killed / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    assert [r["train_loss"] for r in history(killed)] == [r["train_loss"] for r in history(whole)]


def test_a_run_that_was_killed_while_it_wrote_its_release_is_finished_by_resuming(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_config(tmp_path / "run")
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(trainer, "training_record", Mock(side_effect=Killed))
        run_training(config)
    assert (tmp_path / "run" / "model.safetensors").is_file()
    assert (run_training(config, resume=True) / "training.json").is_file()


def test_what_a_run_left_that_died_before_its_first_checkpoint_is_no_hindrance(tmp_path: Path) -> None:
    config = tiny_config(tmp_path / "run", head=PhaseConfig(epochs=1), finetune=PhaseConfig(epochs=0))
    stale = tmp_path / "run" / "checkpoints" / "settings.json"
    stale.parent.mkdir(parents=True)
    stale.write_text(json.dumps(asdict(config) | {"seed": 7, "processes": 4, "mixed_precision": "bf16"}))
    assert len(history(run_training(config))) == 1
