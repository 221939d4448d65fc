"""Training on a machine of the Hub: killed in the middle, continued on a new machine, and published."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tomllib
from calling import ROOT, Captured, call, environment
from drawing import draw_lesion
from hub_server import REPO, TOKEN, Fault, HubServer
from huggingface_hub import HfApi
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from tiny_training import TINY, history

from skinvision_hf import hub
from skinvision_hf._version import __version__
from skinvision_hf.errors import HubError
from skinvision_hf.hub.mirror import pull_checkpoints, push_checkpoints
from skinvision_hf.vision import SkinVision

JOB = ROOT / "scripts" / "jobs" / "train_on_hub.py"
DATASET, CHECKPOINTS = "ann/ham10000-leak-free", "ann/tiny-checkpoints"
EPOCHS = 6
OPTIONS = [*TINY, f"--data={DATASET}", "--loss.mask_weight=0", f"--finetune.epochs={EPOCHS}", "--output_dir=tiny"]


def saved(server: HubServer, repo_id: str = CHECKPOINTS) -> set[str]:
    """The checkpoints in a repository."""
    if ("model", repo_id) not in server.repositories:
        return set()
    return {name.partition("/")[0] for name in server.files("model", repo_id)} - {".gitattributes", "settings.json"}


def start(server: HubServer, folder: Path) -> subprocess.Popen[str]:
    """Start the job on a machine that has nothing yet."""
    folder.mkdir()
    everything = environment() | server.environment(folder / "home", TOKEN)
    command = [sys.executable, str(JOB), *OPTIONS, "--repo_id", REPO]
    return subprocess.Popen(command, env=everything, cwd=folder, stdout=-1, stderr=subprocess.STDOUT, text=True)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_killed_job_goes_on_from_its_pushed_checkpoint_on_a_new_machine_and_publishes(
    server: HubServer, tmp_path: Path
) -> None:
    hub.publish_dataset("synthetic[:210]", DATASET)
    server.faults.append(Fault("POST", f"{CHECKPOINTS}/commit/", "error"))
    killed = start(server, tmp_path / "first")
    while killed.poll() is None and "phase-1-epoch-0002" not in saved(server):
        time.sleep(0.02)
    killed.kill()
    output, _ = killed.communicate(timeout=60)
    assert killed.returncode == -signal.SIGKILL, output
    assert "training goes on, but this checkpoint was not sent: the Hub has trouble (status 500)" in output
    (checkpoint,) = saved(server)
    assert checkpoint < f"phase-1-epoch-{EPOCHS:04d}"
    done = history(tmp_path / "first" / "tiny")

    resumed = start(server, tmp_path / "second")
    output, _ = resumed.communicate(timeout=280)
    assert resumed.returncode == 0, output
    assert f"Published: {server.url}/{REPO}" in output and TOKEN not in output
    whole = history(tmp_path / "second" / "tiny")
    assert [(record["phase"], record["epoch"]) for record in whole] == [
        ("head", 1),
        *(("finetune", epoch + 1) for epoch in range(EPOCHS)),
    ]
    # Times are measured, so equal ones are of epochs that were not trained again.
    kept = 1 + int(checkpoint[-4:])
    assert whole[:kept] == done[:kept]

    assert saved(server) == {f"phase-1-epoch-{EPOCHS:04d}"}
    assert server.repository("model", CHECKPOINTS).private
    assert len(server.history("model", CHECKPOINTS)) == 1
    model = SkinVision.from_pretrained(REPO)
    assert model.predict(draw_lesion(3)).probabilities
    record = json.loads((model.release / "training.json").read_text())
    assert record["command"].startswith("uv run scripts/jobs/train_on_hub.py")


def write_checkpoint(folder: Path, epoch: int) -> Path:
    files = {"settings.json": b"{}", f"phase-0-epoch-{epoch:04d}/model.safetensors": b"weights %d" % epoch}
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize("path", ["/lfs/objects/batch", "/commit/"])
def test_an_upload_that_breaks_off_leaves_a_whole_checkpoint(server: HubServer, tmp_path: Path, path: str) -> None:
    pull_checkpoints(CHECKPOINTS, tmp_path / "nothing")
    assert server.repository("model", CHECKPOINTS).private
    push_checkpoints(write_checkpoint(tmp_path / "1", 1), CHECKPOINTS)
    server.faults.append(Fault("POST", path, "error", times=99, status=403))
    with pytest.raises(HubError, match="the token may not write"):
        push_checkpoints(write_checkpoint(tmp_path / "2", 2), CHECKPOINTS)
    assert saved(server) == {"phase-0-epoch-0001"}
    server.faults.clear()
    push_checkpoints(tmp_path / "2", CHECKPOINTS)
    assert len(server.history("model", CHECKPOINTS)) == 1
    pull_checkpoints(CHECKPOINTS, tmp_path / "3")
    # What the client notes about a download is not sent back.
    push_checkpoints(write_checkpoint(tmp_path / "3", 3), CHECKPOINTS)
    assert set(server.files("model", CHECKPOINTS)) == {".gitattributes", "settings.json"} | {
        f"phase-0-epoch-000{epoch}/model.safetensors" for epoch in (2, 3)
    }


def test_a_history_that_stays_is_not_an_upload_that_failed(
    server: HubServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pull_checkpoints(CHECKPOINTS, tmp_path / "nothing")
    server.faults.append(Fault("POST", "/super-squash/", "error", times=99, status=403))
    push_checkpoints(write_checkpoint(tmp_path / "1", 1), CHECKPOINTS)
    assert saved(server) == {"phase-0-epoch-0001"}
    assert "the checkpoint was sent, but the history of ann/tiny-checkpoints is still there: " in caplog.text


@pytest.mark.parametrize(("private", "name"), [(False, "settings.json"), (True, "model.bin")])
def test_a_job_leaves_a_public_or_foreign_repository_alone(
    server: HubServer, tmp_path: Path, capsys: Captured, private: bool, name: str
) -> None:
    HfApi().create_repo(CHECKPOINTS, private=private)
    HfApi().upload_file(path_or_fileobj=b"{}", path_in_repo=name, repo_id=CHECKPOINTS)
    assert call(JOB, *OPTIONS, f"--output_dir={tmp_path / 'tiny'}", "--repo_id", REPO) == 2
    problem = f"{CHECKPOINTS} is public or holds something else than checkpoints; choose another --output_dir"
    assert capsys.readouterr().err.endswith(f"error: {problem}\n")
    assert set(server.files("model", CHECKPOINTS)) == {".gitattributes", name}


def test_the_job_installs_this_version_and_gets_the_token_as_a_secret() -> None:
    lines = JOB.read_text(encoding="utf-8").split("# ///")[1].removeprefix(" script\n").splitlines()
    header = tomllib.loads("\n".join(line[2:] for line in lines))
    (requirement,) = map(Requirement, header["dependencies"])
    assert (requirement.name, requirement.extras) == ("skinvision-hf", {"train"})
    assert requirement.specifier == SpecifierSet(f"=={__version__}")
    assert header["tool"]["hf-jobs"]["secrets"] == ["HF_TOKEN"]
