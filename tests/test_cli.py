"""The `skinvision` command: its help, wrong calls, and how it ends."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from calling import Captured, environment, run

from skinvision_hf import __version__
from skinvision_hf.cli.main import COMMANDS
from skinvision_hf.labels import DISCLAIMER

TRAIN = ["train", "--data", "synthetic", "--output_dir", "x"]
PUBLISH = ["publish", "--repo_id", "a/b"]
MAPS = ["explain-model", "--data", "synthetic", "--output_dir", "x"]
WRONG = [
    ([], "required: COMMAND"),
    (["diagnose", "x.jpg"], "invalid choice: 'diagnose'"),
    (["predict"], "required: IMAGE"),
    (["predict", "x.jpg", "--fast"], "unrecognized arguments: --fast"),
    (["predict", "x.jpg", "--coverage", "95"], "'95' is not a number between 0 and 1, such as 0.95"),
    (["predict", "x.jpg", "--output", "answers.xls"], "'answers.xls' is not a file name that ends in .csv"),
    (["predict", ""], "the path of an image is empty"),
    (["predict", "x.jpg", "--model", ""], "(empty) is neither a folder nor a Hub id"),
    (["audit", ""], "the path is empty"),
    (["predict", "nowhere.jpg"], "nowhere.jpg does not exist; check the path"),
    (["predict", "nowhere.jpg", "--model", "/nowhere"], "/nowhere is neither a folder nor a Hub id"),
    (["explain", "nowhere.jpg", "--output", "why.png"], "nowhere.jpg does not exist; check the path"),
    (["explain", "x.jpg", "--output", "why.jpg"], "'why.jpg' is not a file name that ends in .png"),
    (["prepare", "--source", "/nowhere", "--output_dir", "x"], "/nowhere is neither a file nor a folder"),
    (["train", "--data", "/nowhere", "--output_dir", "x"], "/nowhere is neither a file nor a folder"),
    ([*TRAIN, "--no_such_flag=1"], "no_such_flag"),
    ([*TRAIN, "--finetune.epochs=many"], "finetune.epochs"),
    ([*TRAIN, "--config=/nowhere.yaml"], "nowhere.yaml"),
    ([*TRAIN, "--batch_size=0"], "batch_size is 0, but must be at least 1"),
    ([*TRAIN, "--loss.label_smoothing=2"], "label_smoothing is 2.0, but must lie between 0 and 1"),
    ([*TRAIN, "--augment.resolution=0.4"], "first_resolution is 0.5, but must lie between 0.1 and resolution (0.4)"),
    ([*TRAIN, "--model.image_size=100"], "image_size is 100, but must be a multiple of 32, such as 128"),
    ([*TRAIN, "--head.epochs=0", "--finetune.epochs=0"], "both phases have 0 epochs"),
    (["evaluate", "--data", "/nowhere", "--output_dir", "x"], "/nowhere is neither a file nor a folder"),
    (["evaluate", "--data", "synthetic", "--output_dir", "x", "--views", "3"], "invalid choice: 3"),
    (["evaluate", "--data", "synthetic", "--output_dir", "x", "--batch_size", "0"], "'0' is not a whole number"),
    (["compare", "/nowhere", "a/b", "--output_dir", "x"], "/nowhere is neither a folder nor a Hub id"),
    (["compare", "a/b", "c/d", "--output_dir", "x"], "--data is missing"),
    (["adapt", "--data", "/nowhere", "--output_dir", "x"], "/nowhere is neither a file nor a folder"),
    (["explain-model", "--data", "/nowhere", "--output_dir", "x"], "/nowhere is neither a file nor a folder"),
    ([*MAPS, "--model", "./nowhere"], "./nowhere is neither a folder nor a Hub id"),
    ([*MAPS, "--limit", "-3"], "'-3' is not a whole number of at least"),
    ([*MAPS, "--road_images", "0"], "'0' is not a whole number of at least"),
    (PUBLISH, "give --release DIR, --dataset SOURCE, --space --model_id ID, or --all"),
    ([*PUBLISH, "--space", "--model_id", "a/c", "--tag", "v1"], "--tag has no effect with --space"),
    ([*PUBLISH, "--release", "/nowhere"], "/nowhere is neither a folder nor a Hub id"),
    ([*PUBLISH, "--all", "--release", "a/c"], "give --release DIR, --dataset SOURCE, --space"),
    ([*PUBLISH, "--release", "a/c", "--dataset", "a/d"], "--dataset has no effect with --release"),
]


@pytest.mark.parametrize(
    ("arguments", "message"), WRONG, ids=lambda value: value[-1] if isinstance(value, list) and value else ""
)
def test_a_wrong_call_is_answered_with_2_before_torch_is_loaded(
    arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    assert run(*arguments) == 2
    assert message in capsys.readouterr().err.rpartition("error: ")[2]
    assert not Path("x").exists()


def test_a_configuration_that_is_not_utf8_is_one_line(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "a.yaml").write_text("seed: 1", encoding="utf-16")
    assert run(*TRAIN, "--config", tmp_path / "a.yaml") == 2
    assert capsys.readouterr().err.startswith("error: the file of --config is not text in UTF-8; save it again")


NUMBERS = ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_PORT", "OMP_NUM_THREADS", "HF_HUB_DOWNLOAD_TIMEOUT")


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", ["abc", ""])
def test_a_number_in_the_environment_that_is_none_is_named(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setenv(name, value)
    assert run(*TRAIN) == 2
    problem = f"error: the environment variable {name} is {value!r}, which is not a whole number; correct it, or "
    assert capsys.readouterr().err == f"{problem}run: unset {name}\n"
    assert run("predict", "nowhere.jpg") == 2
    assert (name in capsys.readouterr().err) == name.startswith("HF_"), "it has no launcher"


def test_help_teaches_every_command_with_an_example(capsys: Captured) -> None:
    assert run("--help") == 0
    listed = capsys.readouterr().out
    for name in COMMANDS:
        assert re.search(rf"^  {name} ", listed, re.MULTILINE)
        assert run(name, "--help") == 0
        output = capsys.readouterr().out
        assert f"example:\n  skinvision {name} " in output and DISCLAIMER in " ".join(output.split())
        if name == "train":
            for setting in ("--finetune.learning_rate", "Peak rate of AdamW", "--loss.class_weights", "--resume"):
                assert setting in output
    assert run("--version") == 0 and capsys.readouterr().out == f"skinvision {__version__}\n"


def start(photo: str, *, count: int, **options: object) -> subprocess.Popen[str]:
    """Start a process that classifies an image many times, by the bundled release, which needs no torch."""
    command = [sys.executable, "-m", "skinvision_hf.cli.main", "predict", *[photo] * count, "--device", "cpu"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    return subprocess.Popen(command, env=environment() | {"PYTHONIOENCODING": "ascii"}, text=True, **pipes)


def test_ctrl_c_stops_with_130_and_without_a_traceback(photo: str) -> None:
    process = start(photo, count=20_000)
    assert process.stdout.readline().strip() == photo
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors.strip()) == (130, "stopped.")


def test_a_reader_that_goes_away_is_not_an_error(photo: str) -> None:
    process = start(photo, count=2_000)
    assert process.stdout.readline().strip() == photo
    process.stdout.close()
    assert process.wait(timeout=60) == 141
    assert process.stderr.read() == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
def test_a_full_disk_is_one_line_and_exit_code_1(photo: str) -> None:
    with Path("/dev/full").open("w") as full:
        process = start(photo, count=1, stdout=full)
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "No space left on device" in errors and len(errors.splitlines()) == 1
