"""Checkpoints know the settings that they belong to."""

from dataclasses import asdict, replace
from pathlib import Path

import pytest
from accelerate.state import AcceleratorState
from test_training import Killed, history, tiny_config

from skinvision_hf.checkpoints import Checkpoints, Progress, assert_same_settings
from skinvision_hf.config import ModelConfig, PhaseConfig
from skinvision_hf.errors import DataError
from skinvision_hf.training import run_training


def test_every_setting_that_changes_the_result_is_named(tmp_path: Path) -> None:
    config = tiny_config(tmp_path)
    other = replace(config, batch_size=8, head=replace(config.head, learning_rate=0.5))
    with pytest.raises(
        DataError, match=r"was started with --head.learning_rate 0.001 .now 0.5., --batch_size 16 .now 8"
    ):
        assert_same_settings(other, asdict(config))


def test_folders_may_move_and_settings_without_influence_may_change(tmp_path: Path) -> None:
    config = tiny_config(tmp_path, data="/old/HAM10000", model=ModelConfig(init="/old/first"))
    moved = replace(config, data="/new/HAM10000/", model=ModelConfig(init="first"), output_dir="elsewhere")
    assert_same_settings(replace(moved, report_to="tensorboard", num_workers=9, cache_gb=0.0), asdict(config))
    with pytest.raises(DataError, match=r"--data /old/HAM10000 .now /new/other"):
        assert_same_settings(replace(moved, data="/new/other"), asdict(config))
    older = asdict(config)
    del older["loss"]["cutmix_alpha"]
    assert_same_settings(config, older)


def test_a_run_is_resumed_with_its_own_settings_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tiny_config(
        tmp_path / "run", head=PhaseConfig(train_backbone=False, epochs=2), finetune=PhaseConfig(epochs=0)
    )
    save = Checkpoints.save

    def save_and_die(self: Checkpoints, accelerator: object, progress: Progress) -> None:
        save(self, accelerator, progress)  # type: ignore[arg-type]
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Checkpoints, "save", save_and_die)
        run_training(config)
    AcceleratorState._reset_state(True)
    with pytest.raises(DataError, match=r"--seed 0 .now 1.; resume it with that, or choose another --output_dir"):
        run_training(replace(config, seed=1, data="/nowhere"), resume=True)
    # Runs that began before settings were recorded go on as well.
    (tmp_path / "run" / "checkpoints" / "settings.json").unlink()
    assert len(history(run_training(config, resume=True))) == 2
    assert run_training(config, resume=True)
    with pytest.raises(DataError, match=r"--seed 0 .now 1"):
        run_training(replace(config, seed=1), resume=True)
