"""The command that trains: real processes, real kills, several processes, and its arguments."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from calling import ROOT, Captured, call, environment
from tiny_training import ACCELERATE, TINY, TORCHRUN, TRAIN, history, run_training, tiny_config, train

from skinvision_hf.models.modeling import SkinVisionForImageClassification


def start_and_kill(
    arguments: list[str], folder: Path, epochs: int, how: signal.Signals, launcher: tuple[str, ...] = ()
) -> tuple[int, str]:
    """Start a run and send a signal once so many epochs are saved and the next one goes on.

    As a terminal does, the signal reaches the launcher and what it started.
    """
    process = subprocess.Popen(
        [sys.executable, *launcher, str(TRAIN), *TINY, *arguments],
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline and process.poll() is None:
        if sum(len(list(folder.glob(f"checkpoints/phase-{p}-epoch-????"))) for p in (0, 1)) and (
            len(history(folder)) >= epochs
        ):
            break
        time.sleep(0.02)
    assert process.poll() is None, process.stderr.read() if process.stderr else ""
    os.killpg(process.pid, how)
    _, stderr = process.communicate(timeout=60)
    return process.returncode, stderr


PHASES = ["--head.epochs=2", "--finetune.epochs=3", "--finetune.ema_decay=0.9", "--finetune.warmup_epochs=1"]


@pytest.mark.slow
def test_a_killed_run_resumes_and_ends_with_the_weights_of_an_uninterrupted_one(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert call(TRAIN, *TINY, *PHASES, f"--output_dir={whole}") == 0
    for epochs in (1, 4):  # once in the head phase, once in the phase of all layers
        arguments = [*PHASES, f"--output_dir={killed}", *(["--resume"] if epochs > 1 else [])]
        code, _ = start_and_kill(arguments, killed, epochs, signal.SIGKILL)
        assert code == -signal.SIGKILL
        assert not (killed / "model.safetensors").exists()
    result = train(*PHASES, f"--output_dir={killed}", "--resume")
    assert result.returncode == 0, result.stderr
    assert (killed / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    timeless = [{k: v for k, v in r.items() if "second" not in k} for r in history(killed)]
    assert timeless == [{k: v for k, v in r.items() if "second" not in k} for r in history(whole)]
    stated = json.loads((killed / "training.json").read_text())["seconds"]
    assert stated == pytest.approx(sum(r["seconds"] for r in history(killed)), abs=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("launcher", [(), (*ACCELERATE, "--num_processes=1")], ids=["python", "accelerate"])
def test_ctrl_c_keeps_the_last_epoch_and_says_how_to_go_on(tmp_path: Path, launcher: tuple[str, ...]) -> None:
    folder = tmp_path / "run"
    arguments = ["--head.epochs=1", "--finetune.epochs=200", f"--output_dir={folder}"]
    code, stderr = start_and_kill(arguments, folder, 2, signal.SIGINT, launcher)
    assert "--resume to continue" in stderr
    if not launcher:  # Accelerate's launcher adds a traceback of its own.
        assert code == 130
        assert "Traceback" not in stderr
    assert "All complete epochs are saved" in stderr
    # The older of two complete checkpoints is still there if Ctrl-C arrives before it is dropped.
    assert len(list(folder.glob("checkpoints/phase-?-epoch-????"))) in (1, 2)


@pytest.mark.slow
def test_two_processes_train_one_network_and_measure_exactly_what_one_does(tmp_path: Path) -> None:
    """A rate of 0 keeps the weights; the size of the validation split is not a multiple of the processes' batches."""
    options = ["--head.epochs=1", "--head.learning_rate=0", "--finetune.epochs=2"]
    records = []
    for processes, launcher in ((1, (*ACCELERATE, "--num_processes=1")), (2, TORCHRUN)):
        folder = tmp_path / str(processes)
        result = train(*options, f"--output_dir={folder}", launcher=launcher)
        assert result.returncode == 0, result.stderr
        first, *_, last = history(folder)
        assert (len(history(folder)), last["learning_rate"]) == (3, 0.0)
        records.append({k: v for k, v in first.items() if k.startswith("validation_")})
        record = json.loads((folder / "training.json").read_text())
        assert record["processes"] == processes
        assert record["command"].startswith("accelerate launch scripts/train.py") == (processes > 1)
        assert SkinVisionForImageClassification.from_pretrained(folder)
    assert records[0] == records[1]


@pytest.mark.slow
def test_a_launcher_that_starts_too_few_processes_is_not_taken_at_its_word(tmp_path: Path) -> None:
    """Accelerate starts one CPU process without MPI, however many it is asked for."""
    result = train(f"--output_dir={tmp_path / 'run'}", launcher=(*ACCELERATE, "--num_processes=2"))
    assert result.returncode != 0
    assert "torchrun --nproc_per_node N" in result.stderr
    assert not (tmp_path / "run" / "history.jsonl").exists()


@pytest.mark.slow
def test_trackio_keeps_settings_and_metrics_on_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))  # read when it is imported
    trackio = pytest.importorskip("trackio.sqlite_storage").SQLiteStorage
    folder = run_training(tiny_config(tmp_path / "run", report_to="trackio"))
    (run,) = trackio.get_runs("skinvision")
    settings = trackio.get_run_config("skinvision", run)
    assert settings["head.learning_rate"] == 0.001
    assert str(tmp_path) not in str(settings)
    assert [row["train_loss"] for row in trackio.get_logs("skinvision", run)] == [
        epoch["train_loss"] for epoch in history(folder)
    ]


@pytest.mark.parametrize("library", ["accelerate", "jsonargparse"])
def test_training_without_its_extra_is_one_line_and_exit_code_2(
    library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    assert call(TRAIN, "--data=synthetic", f"--output_dir={tmp_path}") == 2
    assert capsys.readouterr().err == f'error: training needs {library}: pip install "skinvision-hf[train]"\n'


def test_a_release_whose_card_could_not_be_written_is_refused_before_training(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "training.json").write_text('{"command": "train"}')
    assert call(TRAIN, *TINY, f"--model.init={tmp_path}", f"--output_dir={tmp_path / 'run'}") == 2
    assert "training.json: config is missing; train the release again" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("path", sorted((ROOT / "scripts" / "configs").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_committed_configuration_is_one_that_training_takes(path: Path, capsys: Captured) -> None:
    assert call(TRAIN, *TINY, "--config", path, "--output_dir=nowhere", "--print_config") == 0
    assert "class_weights" in capsys.readouterr().out
