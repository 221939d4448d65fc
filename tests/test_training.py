"""Training end to end on tiny networks and drawn lesions."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from accelerate.utils import set_seed
from calling import call
from ham10000_folder import some_rows, write_metadata, write_pictures
from safetensors.torch import load_file
from tiny_training import TINY, TRAIN, history, tiny_config

from skinvision_hf import phases
from skinvision_hf.config import AugmentConfig, LossConfig, ModelConfig, PhaseConfig
from skinvision_hf.data.augmentation import BatchAugmentation
from skinvision_hf.errors import DataError, ModelError, RunError
from skinvision_hf.models.modeling import SkinVisionForImageClassification
from skinvision_hf.training.loop import train_epoch
from skinvision_hf.training.losses import ClassificationLoss
from skinvision_hf.training.setup import PhaseParts, Run
from skinvision_hf.training.trainer import load_splits, run_training


def test_both_phases_run_and_leave_a_release_that_loads(tmp_path: Path) -> None:
    folder = run_training(tiny_config(tmp_path / "run"))
    records = history(folder)
    assert [(r["phase"], r["epoch"]) for r in records] == [("head", 1), ("finetune", 1), ("finetune", 2)]
    assert all(np.isfinite(r["train_loss"]) and 0 <= r["validation_balanced_accuracy"] <= 1 for r in records)
    record = json.loads((folder / "training.json").read_text())
    assert record["best"]["value"] == max(r["validation_balanced_accuracy"] for r in records)
    assert set(record["data_fingerprint"]) == {"train", "validation", "test"}
    assert str(tmp_path) not in (folder / "training.json").read_text()
    assert not (folder / "checkpoints").exists()
    assert SkinVisionForImageClassification.from_pretrained(folder).config.architecture == "test_efficientnet"


def test_the_head_phase_leaves_the_backbone_as_it_was(tmp_path: Path) -> None:
    config = tiny_config(tmp_path / "run", finetune=PhaseConfig(epochs=0), seed=3)
    state = load_file(run_training(config) / "model.safetensors")
    created = {key for key in state if key.startswith("classifier.")}
    assert created == {"classifier.weight", "classifier.bias"}
    # Batch-norm statistics of a network that never trained are still those it was made with.
    assert all(float(v.sum()) == 0 for k, v in state.items() if k.endswith("num_batches_tracked"))
    assert all(bool((v == 0).all()) for k, v in state.items() if k.endswith("running_mean"))


def test_a_network_learns_the_drawn_lesions(tmp_path: Path) -> None:
    config = tiny_config(tmp_path / "run", finetune=PhaseConfig(epochs=8, learning_rate=1e-2), monitor="log_loss")
    records = history(run_training(config))
    assert records[-1]["train_loss"] < 0.8 * records[0]["train_loss"]
    assert min(r["validation_log_loss"] for r in records) < np.log(7)


def test_the_same_seed_gives_the_same_weights_and_another_seed_gives_others(tmp_path: Path) -> None:
    weights = [
        (run_training(tiny_config(tmp_path / f"run{number}", seed=seed)) / "model.safetensors").read_bytes()
        for number, seed in enumerate((5, 5, 6))
    ]
    assert weights[0] == weights[1]
    assert weights[0] != weights[2]


def test_an_average_without_warm_up_remembers_the_weights_that_it_started_from(
    tiny_release: Path, tmp_path: Path
) -> None:
    start = load_file(tiny_release / "model.safetensors")["conv_stem.weight"].float()
    moved = {}
    for warmup in (True, False):
        config = tiny_config(
            tmp_path / str(warmup),
            model=ModelConfig(architecture="test_efficientnet", init=str(tiny_release), image_size=64),
            head=PhaseConfig(epochs=0),
            finetune=PhaseConfig(epochs=1, learning_rate=3e-3, warmup_epochs=0.5, ema_decay=0.999, ema_warmup=warmup),
        )
        weights = load_file(run_training(config) / "model.safetensors")["conv_stem.weight"].float()
        moved[warmup] = (weights - start).norm()
    assert 0 < moved[False] < 0.1 * moved[True]


def test_training_stops_early_when_nothing_gets_better(tmp_path: Path) -> None:
    """At a rate of 0 every epoch is equal, so only the first one counts as better."""
    still = PhaseConfig(train_backbone=False, epochs=9, learning_rate=0.0, patience=2)
    records = history(run_training(tiny_config(tmp_path / "run", head=still, finetune=PhaseConfig(epochs=0))))
    assert len(records) == 3


def test_patience_starts_anew_with_every_better_epoch_and_the_best_one_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = (0.1, 0.3, 0.2, 0.4, 0.3, 0.4, 0.9)  # Being as good is not being better.
    weights = []
    for epochs in (7, 4):
        validate = iter(values)
        monkeypatch.setattr(phases, "_validate", lambda *_, v=validate: {"validation_balanced_accuracy": next(v)})
        head = PhaseConfig(train_backbone=False, epochs=epochs, schedule="constant", patience=2)
        folder = run_training(tiny_config(tmp_path / str(epochs), head=head, finetune=PhaseConfig(epochs=0)))
        assert len(history(folder)) == min(epochs, 6)
        best = json.loads((folder / "training.json").read_text())["best"]
        assert (best["epoch"], best["value"]) == (4, 0.4)
        weights.append((folder / "model.safetensors").read_bytes())
    assert weights[0] == weights[1]


def test_gradients_of_small_batches_add_up_to_those_of_a_large_one(
    tmp_path: Path, tiny_release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a frozen backbone and without dropout and mixing, a batch's gradient is the mean of its images'."""
    model = ModelConfig(
        architecture="test_efficientnet", init=str(tiny_release), image_size=32, drop_rate=0.0, drop_path_rate=0.0
    )
    head = PhaseConfig(train_backbone=False, epochs=1, schedule="constant")
    steps, weights = [], []
    for batch_size, accumulation in ((32, 1), (8, 4), (8, 1)):
        AcceleratorState._reset_state(True)
        config = tiny_config(
            tmp_path,
            model=model,
            head=head,
            limit=128,
            loss=LossConfig(mixup_alpha=0.0, cutmix_alpha=0.0),
            batch_size=batch_size,
        )
        config = replace(config, gradient_accumulation_steps=accumulation)
        run = Run.start(config, load_splits(config))
        splits = PhaseParts.build(run, head)
        # Colours are drawn batch by batch.
        monkeypatch.setattr(splits, "augmentation", lambda crops: crops / 127.5 - 1)
        set_seed(0)
        train_epoch(run, splits, "test")
        steps.append(splits.steps)
        weights.append(run.model.timm_model.get_classifier().weight.detach().clone())
    assert steps == [4, 4, 16]
    torch.testing.assert_close(weights[1], weights[0], rtol=1e-3, atol=1e-5)
    assert (weights[2] - weights[0]).abs().max() > 1e-3


def test_crops_grow_over_the_epochs_of_a_phase(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sides, forward = [], BatchAugmentation.forward

    def watch(self: BatchAugmentation, crops: torch.Tensor) -> torch.Tensor:
        sides.append(crops.shape[-1])
        return forward(self, crops)

    monkeypatch.setattr(BatchAugmentation, "forward", watch)
    growing = AugmentConfig(first_resolution=0.5, resolution=1.0)
    phase = PhaseConfig(epochs=3)
    run_training(
        tiny_config(tmp_path / "run", augment=growing, head=PhaseConfig(False, epochs=0), finetune=phase, limit=64)
    )
    assert list(dict.fromkeys(sides)) == [16, 24, 32]


def test_bf16_trains_and_leaves_weights_in_float32(tmp_path: Path) -> None:
    AcceleratorState._reset_state(True)
    try:
        folder = run_training(tiny_config(tmp_path / "run", mixed_precision="bf16", finetune=PhaseConfig(epochs=1)))
    finally:
        AcceleratorState._reset_state(True)
    assert all(np.isfinite(r["train_loss"]) for r in history(folder))
    assert {p.dtype for p in SkinVisionForImageClassification.from_pretrained(folder).parameters()} == {torch.float32}


@pytest.mark.skipif(torch.accelerator.is_available(), reason="fp16 is for machines like this one")
@pytest.mark.parametrize("launcher", [False, True])
def test_fp16_is_refused_without_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, launcher: bool) -> None:
    if launcher:
        monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "fp16")
    with pytest.raises(DataError, match="fp16 trains on GPUs only; use --mixed_precision bf16 or no"):
        run_training(tiny_config(tmp_path / "run", mixed_precision="no" if launcher else "fp16"))


def test_a_release_tells_every_training_that_its_weights_went_through(tmp_path: Path) -> None:
    init, records = "random", []
    for number in range(3):
        model = ModelConfig(architecture="test_efficientnet", init=init, image_size=32)
        folder = run_training(tiny_config(tmp_path / f"run{number}", model=model, finetune=PhaseConfig(epochs=0)))
        records.append(json.loads((folder / "training.json").read_text()))
        init = str(folder)
    assert [record.pop("previous") for record in records] == [[], records[:1], records[:2]]
    assert set(records[0]) >= {"command", "config", "seconds", "best", "hardware", "split"}
    (folder / "training.json").write_text("[")
    with pytest.raises(ModelError, match=r"training\.json cannot be read; give an intact release"):
        run_training(tiny_config(tmp_path / "next", data="/nowhere", model=replace(model, init=init)))


def test_a_tracker_gets_the_settings_and_the_metrics(tmp_path: Path) -> None:
    folder = run_training(tiny_config(tmp_path / "run", report_to="tensorboard", finetune=PhaseConfig(epochs=0)))
    assert list((folder / "logs" / "skinvision").glob("events.out.tfevents.*"))
    (settings,) = (folder / "logs").rglob("hparams.yml")
    assert "head.learning_rate: 0.001" in settings.read_text()
    assert str(tmp_path) not in settings.read_text()


@pytest.mark.parametrize("tracker", ["wandb", "trackio", "tensorboard"])
def test_a_tracker_that_is_not_installed_is_refused_before_data_is_loaded(
    tracker: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, tracker, None)
    with pytest.raises(DataError, match=f"--report_to {tracker} needs: pip install {tracker}"):
        run_training(tiny_config(tmp_path / "run", report_to=tracker, data="/nowhere"))


def test_a_damaged_image_is_named_before_training_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_pictures(tmp_path / "data", some_rows(), masks=False)
    write_metadata(tmp_path / "data" / "HAM10000_metadata.csv", some_rows())
    broken = sorted((tmp_path / "data").rglob("*.jpg"))[5]
    broken.write_bytes(broken.read_bytes()[:900])
    options = [*TINY, "--batch_size=4", f"--data={tmp_path / 'data'}", f"--output_dir={tmp_path / 'run'}"]
    assert call(TRAIN, *options) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error == f"error: 1 images cannot be read: {broken.stem}; download or extract them again"
    assert not any((tmp_path / "run").iterdir())


def test_a_finished_release_and_a_stopped_run_are_not_overwritten(tmp_path: Path) -> None:
    config = tiny_config(tmp_path / "run", finetune=PhaseConfig(epochs=0))
    run_training(config)
    with pytest.raises(DataError, match="already holds a finished release"):
        run_training(config)
    stopped = tmp_path / "stopped"
    (stopped / "checkpoints" / "phase-0-epoch-0001").mkdir(parents=True)
    with pytest.raises(DataError, match="add --resume to go on"):
        run_training(tiny_config(stopped))


def test_weights_that_cannot_be_had_are_an_error_before_anything_is_written(tmp_path: Path) -> None:
    model = ModelConfig(architecture="test_efficientnet", init="timm", image_size=32)
    with pytest.raises(ModelError, match="connect to the network, or start from"):
        run_training(tiny_config(tmp_path / "run", model=model))
    assert not (tmp_path / "run" / "history.jsonl").exists()


def test_a_loss_that_is_no_number_ends_the_run_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ClassificationLoss, "forward", lambda self, logits, targets: logits.sum() * float("nan"))
    with pytest.raises(RunError, match="no number any more in epoch head 1/1; lower the learning rate"):
        run_training(tiny_config(tmp_path / "run"))
    assert not (tmp_path / "run" / "model.safetensors").exists()


def test_the_calibration_error_counts_as_better_when_lower(tmp_path: Path) -> None:
    folder = run_training(tiny_config(tmp_path / "run", monitor="ece", finetune=PhaseConfig(epochs=3)))
    record = json.loads((folder / "training.json").read_text())
    assert record["best"]["value"] == pytest.approx(min(r["validation_ece"] for r in history(folder)))
