"""The chain of runs that made the bundled release, as one command, with a tiny network."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_training import ROOT, TINY, environment, history

SCRIPT = ROOT / "scripts" / "reproduce_release.py"


def reproduce(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), f"--output_dir={folder}", *options]
    return subprocess.run(command, env=environment(), capture_output=True, text=True)


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
