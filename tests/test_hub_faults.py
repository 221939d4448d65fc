"""Whatever breaks while something is published, the repository is old or new, and the next try completes it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from complete_release import draw_figure
from hub_server import REPO, TOKEN, TOKENS, Fault, HubServer
from huggingface_hub import HfApi, constants

from skinvision_hf import hub
from skinvision_hf.errors import HubError

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "publish.py"


@dataclass
class Subject:
    """One of the three things that are published, in an old and a new version."""

    kind: str
    repo_id: str
    publish: Callable[[str], hub.Published]
    server: HubServer

    @property
    def exists(self) -> bool:
        return self.server.file_of(self.kind, self.repo_id).is_file()

    @property
    def files(self) -> dict[str, bytes]:
        return self.server.files(self.kind, self.repo_id) if self.exists else {}

    @property
    def commits(self) -> int:
        return len(self.server.history(self.kind, self.repo_id)) if self.exists else 1

    def assert_complete(self) -> None:
        """The new version is there, by one commit, and nothing is left to do."""
        assert not self.publish("new").changed
        repository = self.server.repository(self.kind, self.repo_id)
        if self.kind == "space":
            assert repository["variables"]["MODEL_REVISION"] == {"value": "new"}
        else:
            assert repository["tags"] == {"new": repository["refs"]["main"]}


@pytest.fixture
def subject(
    request: pytest.FixtureRequest,
    server: HubServer,
    release: Path,
    drawn_once: None,
    monkeypatch: pytest.MonkeyPatch,
) -> Subject:
    # Loading the network thrice is tested elsewhere, and would take most of the time here.
    monkeypatch.setattr("skinvision_hf.hub.staging.check_release", lambda _: None)

    def model(version: str) -> hub.Published:
        if version == "new":
            (release / "history.jsonl").write_text("{}\n")
            draw_figure(release / "figures" / "new.png", colour="red")
        return hub.publish_model(release, REPO, tag="new" if version == "new" else None)

    def dataset(version: str) -> hub.Published:
        source, tag = ("synthetic[:217]", "new") if version == "new" else ("synthetic[:210]", None)
        return hub.publish_dataset(source, "ann/ham", tag=tag)

    def space(version: str) -> hub.Published:
        return hub.publish_space("ann/demo", "ann/shown", model_revision=version, package=f"skinvision-hf @ {version}")

    known = {"model": (REPO, model), "dataset": ("ann/ham", dataset), "space": ("ann/demo", space)}
    return Subject(request.param, *known[request.param], server)


FAULTS = [
    (Fault("POST", "/commit/", "error", status=503), "the Hub has trouble .status 503."),
    (Fault("POST", "/commit/", "error", status=429), "the Hub asks to slow down"),
    (Fault("POST", "/commit/", "error", status=403), "the token may not write to ann/"),
    (Fault("POST", "/commit/", "cut"), "the connection to the Hub broke"),
    (Fault("POST", "/commit/", "lost"), "the connection to the Hub broke"),
    (Fault("GET", "/api/(models|datasets|spaces)/", "error", status=418), "status 418"),
    (Fault("PUT", "/lfs/", "error", status=400, times=9), "the Hub refused ann/.* .status 400"),
    (Fault("POST", "/api/validate-yaml", "error", status=400), "Invalid metadata in README.md"),
    (Fault("POST", "/tag/", "error"), "the Hub has trouble"),
    (Fault("POST", "/tag/", "lost"), "the connection to the Hub broke"),
]
NEW = [
    (Fault("POST", "/api/repos/create", "error", status=409), "was changed at the same moment"),
    (Fault("POST", "/api/repos/create", "lost"), "the connection to the Hub broke"),
]
CREATE_SPACE = Fault("POST", "/api/repos/create", "error", status=402)
VARIABLES = Fault("POST", "/variables", "lost")
CASES = [
    *(("model", new, *case) for new in (True, False) for case in FAULTS),
    *(("model", True, *case) for case in NEW),
    ("dataset", False, *FAULTS[3]),
    ("space", True, CREATE_SPACE, "since July 2026 free accounts cannot create Gradio Spaces; publish the Space from"),
    ("space", False, VARIABLES, "the connection to the Hub broke"),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("subject", "new", "fault", "message"),
    [
        pytest.param(*case, id=f"{case[0]}-{'new' if case[1] else 'update'}-{case[2].path}-{case[2].kind}")
        for case in CASES
    ],
    indirect=["subject"],
)
def test_after_a_fault_the_repository_is_old_or_new_and_the_next_try_completes_it(
    server: HubServer, subject: Subject, new: bool, fault: Fault, message: str
) -> None:
    if not new:
        subject.publish("old")
    before, commits = subject.files, subject.commits
    fault.seen = 0
    server.faults.append(fault)
    with pytest.raises(HubError, match=message) as caught:
        subject.publish("new")
    assert "\n" not in str(caught.value)
    assert not any(token in str(caught.value) for token in TOKENS)
    server.faults.clear()
    after = subject.files
    subject.publish("new")
    final = subject.files
    assert before != final
    assert after in (before, final) or (new and set(after) == {".gitattributes"})
    assert subject.commits == commits + 1
    subject.assert_complete()


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault",
    [
        Fault("PUT", "/lfs/", "cut"),
        Fault("PUT", "/lfs/", "error"),
        Fault("POST", "/preupload/", "error"),
        Fault("POST", "/commit/", "slow", seconds=1.0),
    ],
    ids=lambda fault: f"{fault.path}-{fault.kind}",
)
@pytest.mark.parametrize("subject", ["model"], indirect=True)
def test_a_passing_trouble_is_sat_out(
    server: HubServer, subject: Subject, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The client waits longer and longer between its tries.
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _: None)
    server.faults.append(fault)
    subject.publish("new")
    assert fault.seen > 0
    server.faults.clear()
    subject.assert_complete()


@pytest.mark.parametrize("subject", ["model"], indirect=True)
def test_a_commit_that_comes_first_is_not_overwritten(server: HubServer, subject: Subject) -> None:
    subject.publish("old")
    before = subject.files
    server.faults.append(Fault("POST", "/commit/", "stale"))
    with pytest.raises(HubError, match="got another commit in the meantime, so nothing was written"):
        subject.publish("new")
    assert subject.files == {**before, "theirs.txt": b"theirs"}
    server.faults.clear()
    subject.publish("new")
    assert subject.files["theirs.txt"] == b"theirs"
    subject.assert_complete()


@pytest.mark.parametrize("subject", ["model"], indirect=True)
def test_a_slow_upload_is_one_commit(server: HubServer, subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    """`HfApi.upload_folder` may commit what has arrived after some minutes; a release is whole or not there."""
    monkeypatch.setattr(HfApi, "upload_folder", None)
    subject.publish("new")
    assert subject.commits == 2


def test_no_network_is_one_line(server: HubServer, release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(HubError, match=r"the connection to the Hub broke .ConnectError.; check the network"):
        hub.publish_model(release, REPO)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(HubError, match="HF_HUB_OFFLINE is set"):
        hub.publish_model(release, REPO)


@pytest.mark.slow
def test_a_killed_process_leaves_the_old_state(server: HubServer, release: Path, tmp_path: Path) -> None:
    hub.publish_model(release, REPO)
    before = server.files("model", REPO)
    draw_figure(release / "figures" / "new.png", colour="blue")
    server.faults.append(Fault("PUT", "/lfs/", "slow", seconds=60.0))
    environment = os.environ | server.environment(tmp_path / "home", TOKEN)
    command = [sys.executable, str(SCRIPT), "--release", str(release), "--repo_id", REPO]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while server.faults[0].seen == 0 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    assert server.faults[0].seen == 1, process.communicate()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert server.files("model", REPO) == before
    server.faults.clear()
    hub.publish_model(release, REPO)
    assert "figures/new.png" in server.files("model", REPO)
