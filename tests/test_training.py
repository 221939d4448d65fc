"""Training end to end on tiny networks and drawn lesions: real processes, real kills, real checkpoints."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from accelerate.state import AcceleratorState
from safetensors.torch import load_file

from skinvision_hf import training
from skinvision_hf.checkpoints import Checkpoints, Progress
from skinvision_hf.config import AugmentConfig, LossConfig, ModelConfig, PhaseConfig, TrainConfig
from skinvision_hf.errors import DataError, ModelError, RunError
from skinvision_hf.losses import ClassificationLoss
from skinvision_hf.modeling import SkinVisionForImageClassification
from skinvision_hf.training import run_training

ROOT = Path(__file__).resolve().parents[1]
TRAIN = ROOT / "scripts" / "train.py"
TINY = [
    "--data=synthetic[:210]",
    "--model.architecture=test_efficientnet",
    "--model.init=random",
    "--model.image_size=32",
    "--batch_size=16",
    "--num_workers=0",
]


def tiny_config(output_dir: Path, **changes: object) -> TrainConfig:
    settings: dict[str, object] = {
        "data": "synthetic[:210]",
        "output_dir": str(output_dir),
        "model": ModelConfig(architecture="test_efficientnet", init="random", image_size=32, drop_path_rate=0.0),
        "augment": AugmentConfig(),
        "loss": LossConfig(),
        "head": PhaseConfig(train_backbone=False, epochs=1),
        "finetune": PhaseConfig(epochs=2, learning_rate=3e-3, ema_decay=0.9),
        "batch_size": 16,
        "num_workers": 0,
    }
    return TrainConfig(**(settings | changes))  # type: ignore[arg-type]


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}


def train(*arguments: str, launcher: tuple[str, ...] = (sys.executable,)) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*launcher, str(TRAIN), *TINY, *arguments], env=environment(), capture_output=True, text=True, timeout=280
    )


ACCELERATE = (sys.executable, "-m", "accelerate.commands.launch", "--cpu")


def processes_launcher(count: int) -> tuple[str, ...]:
    """As the README says: accelerate for one process, torchrun for several on CPUs."""
    if count == 1:
        return (*ACCELERATE, "--num_processes=1")
    return (sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={count}")


def history(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]


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


def test_training_stops_early_when_nothing_gets_better(tmp_path: Path) -> None:
    """At a rate of 0 every epoch is equal, so only the first one counts as better."""
    still = PhaseConfig(train_backbone=False, epochs=9, learning_rate=0.0, patience=2)
    records = history(run_training(tiny_config(tmp_path / "run", head=still, finetune=PhaseConfig(epochs=0))))
    assert len(records) == 3


def test_gradient_accumulation_takes_fewer_and_larger_steps(tmp_path: Path) -> None:
    head = PhaseConfig(train_backbone=False, epochs=1, schedule="constant")
    common = {"head": head, "finetune": PhaseConfig(epochs=0), "batch_size": 8, "augment": AugmentConfig(min_scale=1.0)}
    rates = [
        history(run_training(tiny_config(tmp_path / str(n), gradient_accumulation_steps=n, **common)))[0]["train_loss"]
        for n in (1, 4)
    ]
    assert rates[0] != rates[1]


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


def start_and_kill(arguments: list[str], folder: Path, epochs: int, how: signal.Signals) -> tuple[int, str]:
    """Start a run and send a signal once so many epochs are saved and the next one goes on."""
    process = subprocess.Popen(
        [sys.executable, str(TRAIN), *TINY, *arguments], env=environment(), stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline and process.poll() is None:
        if sum(len(list(folder.glob(f"checkpoints/phase-{p}-epoch-????"))) for p in (0, 1)) and (
            len(history(folder)) >= epochs
        ):
            break
        time.sleep(0.02)
    assert process.poll() is None, process.stderr.read() if process.stderr else ""
    process.send_signal(how)
    _, stderr = process.communicate(timeout=60)
    return process.returncode, stderr


PHASES = ["--head.epochs=2", "--finetune.epochs=3", "--finetune.ema_decay=0.9", "--finetune.warmup_epochs=1"]


@pytest.mark.slow
def test_a_killed_run_resumes_and_ends_with_the_weights_of_an_uninterrupted_one(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    # A process that loads images has randomness of its own.
    assert train(*PHASES, "--num_workers=1", f"--output_dir={whole}").returncode == 0
    for epochs in (1, 4):  # once in the head phase, once in the phase of all layers
        arguments = [*PHASES, "--num_workers=1", f"--output_dir={killed}", *(["--resume"] if epochs > 1 else [])]
        code, _ = start_and_kill(arguments, killed, epochs, signal.SIGKILL)
        assert code == -signal.SIGKILL
        assert not (killed / "model.safetensors").exists()
    result = train(*PHASES, "--num_workers=1", f"--output_dir={killed}", "--resume")
    assert result.returncode == 0, result.stderr
    assert (killed / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    timeless = [{k: v for k, v in r.items() if "second" not in k} for r in history(killed)]
    assert timeless == [{k: v for k, v in r.items() if "second" not in k} for r in history(whole)]


class Killed(BaseException):
    """Ends a run where it stands, as a kill does."""


def test_a_kill_between_the_best_network_and_its_checkpoint_does_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second phase starts from the best network of the first one, also when it has begun before."""
    settings = {"head": PhaseConfig(train_backbone=False, epochs=1), "monitor": "log_loss"}
    whole = run_training(tiny_config(tmp_path / "whole", **settings))
    save = Checkpoints.save

    def save_or_die(self: Checkpoints, accelerator: object, progress: Progress) -> None:
        if progress.phase == 1:
            raise Killed
        save(self, accelerator, progress)  # type: ignore[arg-type]

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Checkpoints, "save", save_or_die)
        run_training(tiny_config(tmp_path / "killed", **settings))
    AcceleratorState._reset_state(True)
    killed = run_training(tiny_config(tmp_path / "killed", **settings), resume=True)
    assert (killed / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    assert [r["train_loss"] for r in history(killed)] == [r["train_loss"] for r in history(whole)]


def test_a_run_that_was_killed_while_it_wrote_its_release_is_finished_by_resuming(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(training, "_training_record", die)
        run_training(tiny_config(tmp_path / "run"))
    assert (tmp_path / "run" / "model.safetensors").is_file()
    AcceleratorState._reset_state(True)
    assert (run_training(tiny_config(tmp_path / "run"), resume=True) / "training.json").is_file()


def test_a_loss_that_is_no_number_ends_the_run_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ClassificationLoss, "forward", lambda self, logits, targets: logits.sum() * float("nan"))
    with pytest.raises(RunError, match="no number any more in epoch head 1/1; lower the learning rate"):
        run_training(tiny_config(tmp_path / "run"))
    assert not (tmp_path / "run" / "model.safetensors").exists()


def test_the_calibration_error_counts_as_better_when_lower(tmp_path: Path) -> None:
    folder = run_training(tiny_config(tmp_path / "run", monitor="ece", finetune=PhaseConfig(epochs=3)))
    record = json.loads((folder / "training.json").read_text())
    assert record["best"]["value"] == pytest.approx(min(r["validation_ece"] for r in history(folder)))


@pytest.mark.slow
def test_ctrl_c_keeps_the_best_network_and_says_how_to_go_on(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    arguments = ["--head.epochs=1", "--finetune.epochs=200", f"--output_dir={folder}"]
    code, stderr = start_and_kill(arguments, folder, 2, signal.SIGINT)
    assert code == 130
    assert "--resume to go on" in stderr
    assert "Traceback" not in stderr
    (best,) = folder.glob("checkpoints/best-*")
    assert str(best) in stderr and SkinVisionForImageClassification.from_pretrained(best)


@pytest.mark.slow
def test_two_processes_report_exactly_what_one_does_on_the_same_weights(tmp_path: Path) -> None:
    """A rate of 0 keeps the weights; the validation split is no multiple of the processes' batches."""
    same = ["--head.epochs=1", "--head.learning_rate=0", "--finetune.epochs=0"]
    records = []
    for processes in (1, 2):
        folder = tmp_path / str(processes)
        result = train(*same, f"--output_dir={folder}", launcher=processes_launcher(processes))
        assert result.returncode == 0, result.stderr
        records.append({k: v for k, v in history(folder)[0].items() if k.startswith("validation_")})
        assert json.loads((folder / "training.json").read_text())["processes"] == processes
    assert records[0] == records[1]


def test_a_launcher_that_starts_too_few_processes_is_not_taken_at_its_word(tmp_path: Path) -> None:
    """Accelerate starts one CPU process without MPI, however many it is asked for."""
    result = train(f"--output_dir={tmp_path / 'run'}", launcher=(*ACCELERATE, "--num_processes=2"))
    assert result.returncode != 0
    assert "torchrun --nproc_per_node N" in result.stderr
    assert not (tmp_path / "run" / "history.jsonl").exists()


@pytest.mark.slow
def test_two_processes_train_one_network(tmp_path: Path) -> None:
    result = train(
        "--head.epochs=1", "--finetune.epochs=2", f"--output_dir={tmp_path / 'run'}", launcher=processes_launcher(2)
    )
    assert result.returncode == 0, result.stderr
    assert len(history(tmp_path / "run")) == 3
    assert SkinVisionForImageClassification.from_pretrained(tmp_path / "run")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data=/nowhere"], "/nowhere"),
        (["--no_such_flag=1"], "no_such_flag"),
        (["--finetune.epochs=many"], "finetune.epochs"),
        (["--config=/nowhere.yaml"], "nowhere.yaml"),
        (["--batch_size=0"], "batch_size is 0, but must be at least 1"),
        (["--loss.label_smoothing=2"], "label_smoothing is 2.0, but must lie between 0 and 1"),
        (["--head.epochs=0", "--finetune.epochs=0"], "both phases have 0 epochs"),
        (["--monitor=foo"], "there is no metric 'foo' to monitor"),
    ],
)
def test_a_wrong_argument_is_one_line_and_exit_code_2(arguments: list[str], message: str, tmp_path: Path) -> None:
    result = train(f"--output_dir={tmp_path / 'run'}", *arguments)
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_help_teaches_every_setting_with_its_default() -> None:
    text = train("--help").stdout
    for part in ("--finetune.learning_rate", "Peak rate of AdamW", "--loss.class_weights", "--resume", "--config"):
        assert part in text
    assert "not a medical device" in text


@pytest.mark.parametrize("path", sorted((ROOT / "scripts" / "configs").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_committed_configuration_is_one_that_training_takes(path: Path) -> None:
    shown = train("--config", str(path), "--output_dir=nowhere", "--print_config")
    assert shown.returncode == 0, shown.stderr
    assert "class_weights" in shown.stdout
