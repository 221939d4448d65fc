"""Training end to end, on tiny networks and drawn lesions."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from datasets import DatasetDict
from ham10000_folder import write_ham10000
from safetensors.torch import load_file
from tiny_training import history, run_training, tiny_config

from skinvision_hf.config import AugmentConfig, LossConfig, ModelConfig, PhaseConfig
from skinvision_hf.data import load_ham10000
from skinvision_hf.data.augmentation import BatchAugmentation, TrainTransform
from skinvision_hf.errors import DataError, ModelError, RunError
from skinvision_hf.evaluation.evaluate import predict_dataset
from skinvision_hf.evaluation.evaluate_metrics import compute
from skinvision_hf.models.modeling import SkinVisionForImageClassification
from skinvision_hf.training.loop import Outputs
from skinvision_hf.training.losses import ClassificationLoss, lesion_focus_loss
from skinvision_hf.training.trainer import Trainer, load_training_data

pytestmark = pytest.mark.usefixtures("fresh_state")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, DatasetDict, SkinVisionForImageClassification]:
    """The folder, the data and the network of one short run."""
    config = tiny_config(tmp_path_factory.mktemp("trained") / "run")
    data = load_training_data(config)
    return Path(config.output_dir), data, Trainer(config, data).train()


@pytest.fixture
def without_masks(tmp_path: Path) -> Path:
    """A folder of HAM10000 without lesion masks."""
    return write_ham10000(tmp_path / "data", masks=False)


def test_both_phases_run_and_the_last_epoch_is_a_release_that_loads(trained: tuple) -> None:
    folder, data, network = trained
    records = history(folder)
    assert [(r["phase"], r["epoch"]) for r in records] == [("head", 1), ("finetune", 1), ("finetune", 2)]
    assert all(np.isfinite(r["train_loss"]) and 0 <= r["validation_balanced_accuracy"] <= 1 for r in records)
    record = json.loads((folder / "training.json").read_text())
    assert set(record["data_fingerprint"]) == {"train", "validation", "test"}
    assert str(folder.parent) not in (folder / "training.json").read_text()
    assert not (folder / "checkpoints").exists()
    saved = load_file(folder / "model.safetensors")
    assert not network.training
    assert all(torch.equal(v, saved[name].to(v.dtype)) for name, v in network.timm_model.state_dict().items())
    assert records[-1]["learning_rate"] == 0.0, "a cosine ends at 0"
    predictions = predict_dataset(SkinVisionForImageClassification.from_pretrained(folder), data["validation"])
    measured = compute(predictions.probabilities, predictions.labels)
    assert measured["log_loss"] == pytest.approx(records[-1]["validation_log_loss"], abs=1e-3)


def test_a_network_learns_the_drawn_lesions(tmp_path: Path) -> None:
    config = tiny_config(tmp_path / "run", finetune=PhaseConfig(epochs=8, learning_rate=1e-2), limit=0)
    records = history(run_training(config))
    assert records[-1]["train_loss"] < 0.8 * records[0]["train_loss"]
    assert min(r["validation_log_loss"] for r in records) < np.log(7)


def test_the_same_seed_gives_the_same_weights_and_another_seed_gives_others(trained: tuple, tmp_path: Path) -> None:
    again, other = (run_training(tiny_config(tmp_path / str(seed), seed=seed)) for seed in (0, 1))
    weights = [(folder / "model.safetensors").read_bytes() for folder in (trained[0], again, other)]
    assert weights[0] == weights[1] != weights[2]


def test_crops_grow_over_the_epochs_of_a_phase(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sides, forward = [], BatchAugmentation.forward

    def watch(self: BatchAugmentation, crops: torch.Tensor) -> torch.Tensor:
        sides.append(crops.shape[-1])
        return forward(self, crops)

    monkeypatch.setattr(BatchAugmentation, "forward", watch)
    growing = AugmentConfig(first_resolution=0.5, resolution=1.0)
    phase = PhaseConfig(epochs=3)
    run_training(tiny_config(tmp_path / "run", augment=growing, head=PhaseConfig(epochs=0), finetune=phase))
    assert list(dict.fromkeys(sides)) == [16, 24, 32]


def test_a_head_phase_leaves_the_backbone_and_a_release_tells_all_trainings_of_its_weights(tmp_path: Path) -> None:
    init, records = "random", []
    for number in range(3):
        model = ModelConfig(architecture="test_efficientnet", init=init, image_size=32)
        config = tiny_config(tmp_path / f"run{number}", model=model, finetune=PhaseConfig(epochs=0), limit=32)
        folder = run_training(config)
        records.append(json.loads((folder / "training.json").read_text()))
        state = load_file(folder / "model.safetensors")
        # Batch-norm statistics of a network that never trained are still those it was made with.
        assert all(float(v.sum()) == 0 for k, v in state.items() if k.endswith("num_batches_tracked"))
        assert all(bool((v == 0).all()) for k, v in state.items() if k.endswith("running_mean"))
        init = str(folder)
    assert [record.pop("previous") for record in records] == [[], records[:1], records[:2]]
    assert set(records[0]) >= {"command", "config", "seconds", "processes", "dynamo", "hardware", "split_scheme"}
    (folder / "training.json").write_text("[")
    with pytest.raises(ModelError, match=r"training\.json is not valid JSON .*; give an intact release"):
        run_training(tiny_config(tmp_path / "next", model=replace(model, init=init)))


def test_a_tracker_gets_the_settings_and_the_metrics(tmp_path: Path) -> None:
    folder = run_training(tiny_config(tmp_path / "run", report_to="tensorboard", finetune=PhaseConfig(epochs=0)))
    assert list((folder / "logs" / "skinvision").glob("events.out.tfevents.*"))
    (settings,) = (folder / "logs").rglob("hparams.yml")
    assert "head.learning_rate: 0.001" in settings.read_text()
    assert str(tmp_path) not in settings.read_text()


def test_a_damaged_image_is_named_before_training_starts(without_masks: Path, tmp_path: Path) -> None:
    broken = sorted(without_masks.rglob("*.jpg"))[5]
    broken.write_bytes(broken.read_bytes()[:900])
    config = tiny_config(tmp_path / "run", data=str(without_masks), loss=LossConfig(mask_weight=0.0), batch_size=4)
    with pytest.raises(DataError, match=f"1 images? cannot be read: {broken.stem}"):
        run_training(config)
    assert not list((tmp_path / "run").glob("*.json*"))


def test_a_finished_release_and_a_stopped_run_are_not_overwritten(trained: tuple, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="already holds a finished release"):
        run_training(tiny_config(trained[0]))
    stopped = tmp_path / "stopped"
    (stopped / "checkpoints" / "phase-0-epoch-0001").mkdir(parents=True)
    with pytest.raises(DataError, match="add --resume to continue it"):
        run_training(tiny_config(stopped))


def test_a_loss_of_nan_ends_the_run_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ClassificationLoss, "forward", lambda self, logits, targets: logits.sum() * float("nan"))
    with pytest.raises(RunError, match="the loss became NaN or infinite in epoch head 1/1; lower the learning rate"):
        run_training(tiny_config(tmp_path / "run"))
    assert not (tmp_path / "run" / "model.safetensors").exists()


def test_the_lesion_term_draws_class_activation_maps_to_the_lesion(tiny_release: Path) -> None:
    torch.manual_seed(0)
    network = SkinVisionForImageClassification.from_pretrained(tiny_release)
    data = load_ham10000("synthetic[:210]", masks=True)["train"].select(range(16))
    transform = TrainTransform(network.config.pretrained_cfg | {"input_size": [3, 128, 128]}, AugmentConfig())
    crops = torch.stack([transform(row["image"], row["mask"].convert("L")) for row in data]).float() / 255
    targets = torch.nn.functional.one_hot(torch.tensor(data["label"][:]), 7).float()
    model = Outputs(network, maps=True)
    pixels, masks = (crops[:, :3] - 0.45) / 0.225, crops[:, 3:]
    logits, maps = model(pixels)
    bias = network.timm_model.get_classifier().bias
    torch.testing.assert_close(maps.mean(dim=(2, 3)) + bias, logits, atol=1e-4, rtol=1e-4)
    before = lesion_focus_loss(maps, targets, masks)
    before.backward()
    length = torch.nn.utils.clip_grad_norm_(model.parameters(), 1e-3)
    torch.optim.SGD(model.parameters(), lr=1.0).step()
    after = lesion_focus_loss(model(pixels)[1], targets, masks)
    assert after < before - 2e-4 * length, "a small step down the gradient moves heat to the lesion"


def test_masks_that_a_data_set_lacks_are_one_line_with_the_remedy(without_masks: Path, tmp_path: Path) -> None:
    config = tiny_config(tmp_path / "run", data=str(without_masks))
    with pytest.raises(DataError, match=r"--loss\.mask_weight 0"):
        load_training_data(config)
    assert "mask" not in load_training_data(replace(config, loss=LossConfig(mask_weight=0.0)))["train"].column_names


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"ACCELERATE_MIXED_PRECISION": "fp16"}, "fp16 trains on GPUs only; use --mixed_precision bf16 or no"),
        ({"ACCELERATE_MIXED_PRECISION": "fp8"}, "Accelerate cannot start|training does not work in fp8"),
        ({"ACCELERATE_USE_DEEPSPEED": "true"}, "Accelerate cannot start with these launch options"),
        ({"ACCELERATE_DYNAMO_BACKEND": "nonsense"}, "Accelerate cannot start with these launch options"),
        ({"ACCELERATE_DYNAMO_BACKEND": "tvm"}, "torch cannot compile with tvm on this machine"),
    ],
)
@pytest.mark.skipif(torch.accelerator.is_available(), reason="fp16 is for machines like this one")
def test_what_a_launcher_may_ask_for_in_vain_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], message: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(DataError, match=message) as caught:
        run_training(tiny_config(tmp_path / "run"))
    assert "\n" not in str(caught.value)


def test_settings_of_the_launcher_are_trained_with_recorded_and_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "4")
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    config = tiny_config(tmp_path / "run", finetune=PhaseConfig(epochs=1), limit=0)  # batches that fill no step
    folder = run_training(config)
    record = json.loads((folder / "training.json").read_text())
    assert history(folder)[-1]["learning_rate"] == 0.0 and np.isfinite(history(folder)[-1]["train_loss"])
    assert {p.dtype for p in SkinVisionForImageClassification.from_pretrained(folder).parameters()} == {torch.float32}
    assert record["config"]["gradient_accumulation_steps"] == 4
    assert record["config"]["mixed_precision"] == record["precision"] == "bf16"
    AcceleratorState._reset_state(True)
    monkeypatch.delenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS")
    with pytest.raises(DataError, match=r"--gradient_accumulation_steps 4 .now 1"):
        run_training(config, resume=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"report_to": "wandb"}, "--report_to wandb needs: pip install wandb"),
        ({"model": ModelConfig("test_efficientnet", "timm", 32)}, "connect to the network, or start from"),
        (
            {"model": ModelConfig("mobilenetv3_small_050", "random", 32)},
            r"has no class activation maps.* train with --loss\.mask_weight 0",
        ),
    ],
)
def test_what_is_missing_is_named_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, object], message: str
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises((DataError, ModelError), match=message):
        run_training(tiny_config(tmp_path / "run", **changes))
    assert not list((tmp_path / "run").glob("*.json*"))
