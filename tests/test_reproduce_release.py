"""The chain of runs that made the bundled release, as one command, with a tiny network."""

import json
import subprocess
from pathlib import Path
from unittest.mock import Mock

import pytest
from calling import ROOT, Captured, as_program, python
from tiny_training import TINY, history

SCRIPT = ROOT / "scripts" / "reproduce_release.py"


def reproduce(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return python(SCRIPT, f"--output_dir={folder}", *options, timeout=580)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_each_run_starts_from_the_one_before_and_what_is_trained_is_left(tmp_path: Path) -> None:
    refused = reproduce(tmp_path, "--limit=none", *TINY)
    assert refused.returncode == 2 and "limit" in refused.stderr and not list(tmp_path.iterdir())
    shorter = [*TINY, "--head.epochs=1", "--finetune.epochs=0"]
    done = reproduce(tmp_path, *shorter)
    assert done.returncode == 0, done.stderr
    end = f"The release is {tmp_path / 'continued-224'}\n"
    assert done.stdout.endswith(end)
    record = json.loads((tmp_path / "continued-224" / "training.json").read_text())
    assert [run["config"]["loss"]["class_weights"] for run in record["previous"]] == ["sqrt", "none"]
    assert len(history(tmp_path / "longer-176")) == 1
    again = reproduce(tmp_path, *shorter)
    assert (again.returncode, again.stdout, again.stderr) == (0, end, "")


def test_ctrl_c_ends_it_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    monkeypatch.setattr(subprocess, "run", Mock(side_effect=KeyboardInterrupt))
    assert as_program(SCRIPT, "--data=synthetic", f"--output_dir={tmp_path}") == 130
    assert capsys.readouterr().err == "stopped.\n"
