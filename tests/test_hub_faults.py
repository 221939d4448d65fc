"""Whatever breaks while something is published, the repository is old or new, and the next try completes it."""

import errno
import os
import re
import signal
import subprocess
import sys
import tempfile
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
from skinvision_hf.labels import CODES

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "publish.py"
KINDS = ("model", "dataset", "space")


@dataclass
class Subject:
    """One of the three things that are published, in an old and a new version."""

    kind: str
    repo_id: str
    publish: Callable[..., hub.Published]
    server: HubServer

    @property
    def exists(self) -> bool:
        return self.server.file_of(self.kind, self.repo_id).is_file()

    @property
    def files(self) -> dict[str, bytes]:
        return self.server.files(self.kind, self.repo_id) if self.exists else {}

    @property
    def tags(self) -> dict[str, str]:
        return self.server.repository(self.kind, self.repo_id)["tags"] if self.exists else {}

    def assert_complete(self) -> None:
        """The new version is there, by one commit, and nothing is left to do."""
        before = len(self.server.requests)
        assert not self.publish("new").changed
        assert self.server.sent(before) == []
        assert self.server.history(self.kind, self.repo_id).count("by someone else") <= 1
        if self.kind == "space":
            variables = self.server.repository("space", self.repo_id)["variables"]
            assert {name: item["value"] for name, item in variables.items()} == {
                "MODEL_ID": "ann/shown",
                "MODEL_REVISION": "new",
            }
        else:
            assert set(self.tags) == {"new"}


@pytest.fixture(params=KINDS)
def subject(
    request: pytest.FixtureRequest,
    server: HubServer,
    release: Path,
    space_folder: Path,
    drawn_once: None,
    monkeypatch: pytest.MonkeyPatch,
) -> Subject:
    # Loading the network thrice is tested elsewhere, and would take most of the time here.
    monkeypatch.setattr("skinvision_hf.hub.preparing.check_release", lambda _: None)

    def model(version: str, **options: object) -> hub.Published:
        if version == "new":
            (release / "history.jsonl").write_text("{}\n")
            draw_figure(release / "figures" / "new.png", colour="red")
        return hub.publish_release(release, REPO, tag="new" if version == "new" else None, **options)

    def dataset(version: str, **options: object) -> hub.Published:
        source, tag = ("synthetic[:217]", "new") if version == "new" else ("synthetic[:210]", None)
        return hub.publish_dataset(source, "ann/ham", tag=tag, **options)

    card = (space_folder / "README.md").read_text(encoding="utf-8")

    def space(version: str, **options: object) -> hub.Published:
        (space_folder / "app.py").write_text(f"print('{version}')\n")
        (space_folder / "README.md").write_text(f"{card}\nThe {version} one.\n", encoding="utf-8")
        return hub.publish_space("ann/demo", "ann/shown", model_revision=version, folder=space_folder, **options)

    if request.param == "space":
        api = HfApi()
        api.create_repo("ann/shown")
        config = f'{{"label_names": {list(CODES)}}}'.replace("'", '"').encode()
        api.upload_file(path_or_fileobj=config, path_in_repo="config.json", repo_id="ann/shown")
        for tag in ("old", "new"):
            api.create_tag("ann/shown", tag=tag)
    repo_id, publish = {"model": (REPO, model), "dataset": ("ann/ham", dataset), "space": ("ann/demo", space)}[
        request.param
    ]
    return Subject(request.param, repo_id, publish, server)


def assert_one_line_without_secret(text: str) -> None:
    assert "\n" not in text
    assert not any(token in text for token in TOKENS)


FAULTS = [
    (Fault("POST", "/commit/", "error", status=500), "the Hub has trouble .status 500."),
    (Fault("POST", "/commit/", "error", status=503), "the Hub has trouble .status 503."),
    (Fault("POST", "/commit/", "error", status=429), "the Hub asks to slow down"),
    (Fault("POST", "/commit/", "error", status=403), "the token may not write to ann/"),
    (Fault("POST", "/commit/", "cut"), "the connection to the Hub broke"),
    (Fault("POST", "/api/repos/create", "error", status=402), "asks for a paid plan"),
    (Fault("POST", "/api/repos/create", "error", status=409), "was changed by someone else at the same moment"),
    (Fault("GET", "/api/(models|datasets|spaces)/", "error", status=418), "status 418"),
    (Fault("PUT", "/lfs/", "error", status=400, times=9), "the Hub refused ann/.* .status 400"),
    (Fault("POST", "/api/validate-yaml", "error", status=400), "Invalid metadata in README.md; mend that"),
    (Fault("POST", "/variables", "error"), "the Hub has trouble"),
    (Fault("POST", "/api/repos/create", "lost"), "the connection to the Hub broke"),
    (Fault("POST", "/commit/", "lost"), "the connection to the Hub broke"),
    (Fault("POST", "/tag/", "lost"), "the connection to the Hub broke"),
    (Fault("POST", "/variables", "lost"), "the connection to the Hub broke"),
]


def never_strikes(fault: Fault, kind: str, *, new: bool) -> bool:
    """Updates create nothing, a new Space is born with its variables, has no large file, and bears no tag."""
    if kind == "space":
        return fault.path in ("/lfs/", "/tag/") or ("create" if not new else "variables") in fault.path
    return "variables" in fault.path or (not new and "create" in fault.path)


CASES = [
    pytest.param(kind, new, fault, message, id=f"{kind}-{'new' if new else 'update'}-{fault.path}-{fault.kind}")
    for kind in KINDS
    for new in (True, False)
    for fault, message in FAULTS
    if not never_strikes(fault, kind, new=new)
]


@pytest.mark.parametrize(("subject", "new", "fault", "message"), CASES, indirect=["subject"])
def test_after_a_fault_the_repository_is_old_or_new_and_the_next_try_completes_it(
    server: HubServer, subject: Subject, fault: Fault, message: str, new: bool
) -> None:
    if not new:
        subject.publish("old")
    before, commits = subject.files, len(server.history(subject.kind, subject.repo_id)) if not new else 1
    fault.seen = 0
    server.faults.append(fault)
    with pytest.raises(HubError, match=message) as caught:
        subject.publish("new")
    assert_one_line_without_secret(str(caught.value))
    server.faults.clear()
    after, tags = subject.files, subject.tags
    subject.publish("new")
    final = subject.files
    assert before != final
    assert after in (before, final) or (new and set(after) == {".gitattributes"})
    assert not tags or after == final
    assert len(server.history(subject.kind, subject.repo_id)) == commits + 1
    subject.assert_complete()


def test_a_commit_that_comes_first_is_not_overwritten(server: HubServer, subject: Subject) -> None:
    subject.publish("old")
    before = subject.files
    server.faults.append(Fault("POST", "/commit/", "stale"))
    with pytest.raises(HubError, match="got another commit in the meantime; nothing was written") as caught:
        subject.publish("new")
    assert_one_line_without_secret(str(caught.value))
    assert subject.files == {**before, "theirs.txt": b"theirs"}
    server.faults.clear()
    subject.publish("new")
    assert subject.files["theirs.txt"] == b"theirs"
    subject.assert_complete()


PASSING = [
    Fault("PUT", "/lfs/", "cut"),
    Fault("PUT", "/lfs/", "error"),
    Fault("PUT", "/lfs/", "lost"),
    Fault("POST", "/preupload/", "error"),
    Fault("POST", "/commit/", "slow", seconds=3.0),
    Fault("PUT", "/lfs/", "slow", seconds=3.0),
]


@pytest.mark.parametrize(
    ("subject", "fault"),
    [
        pytest.param(kind, fault, id=f"{kind}-{fault.path}-{fault.kind}")
        for kind in KINDS
        for fault in PASSING
        if not never_strikes(fault, kind, new=True)
    ],
    indirect=["subject"],
)
def test_a_passing_trouble_is_sat_out(server: HubServer, subject: Subject, fault: Fault) -> None:
    fault.seen = 0
    server.faults.append(fault)
    subject.publish("new")
    assert fault.seen > 0
    server.faults.clear()
    subject.assert_complete()


def test_a_commit_by_someone_else_in_the_meantime_is_not_overwritten(server: HubServer, release: Path) -> None:
    hub.publish_release(release, REPO)
    (release / "history.jsonl").write_text("{}\n")

    def interfere(_: hub.Plan) -> None:
        HfApi().upload_file(path_or_fileobj=b"theirs", path_in_repo="metrics.json", repo_id=REPO)

    with pytest.raises(HubError, match="got another commit in the meantime; nothing was written"):
        hub.publish_release(release, REPO, show=interfere)
    content = server.files("model", REPO)
    assert content["metrics.json"] == b"theirs"
    assert "history.jsonl" not in content


def test_a_tag_that_failed_is_set_by_the_next_try_without_a_commit(server: HubServer, release: Path) -> None:
    server.faults.append(Fault("POST", "/tag/", "error"))
    with pytest.raises(HubError, match="the Hub has trouble"):
        hub.publish_release(release, REPO, tag="v1.0")
    before = len(server.requests)
    published = hub.publish_release(release, REPO, tag="v1.0")
    assert server.sent(before) == [f"POST /api/models/{REPO}/tag/{published.commit}"]
    assert server.repository("model", REPO)["tags"] == {"v1.0": published.commit}


def test_no_network_is_one_line(server: HubServer, release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(HubError, match=r"the connection to the Hub broke .ConnectError.; check the network"):
        hub.publish_release(release, REPO)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(HubError, match="HF_HUB_OFFLINE is set"):
        hub.publish_release(release, REPO)


@pytest.mark.slow
def test_a_killed_process_leaves_the_old_state(server: HubServer, release: Path, tmp_path: Path) -> None:
    hub.publish_release(release, REPO)
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
    hub.publish_release(release, REPO)
    assert "figures/new.png" in server.files("model", REPO)


@pytest.mark.parametrize("kind", ["model", "dataset"])
def test_a_full_disk_while_preparing_is_one_line(
    server: HubServer, release: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "somewhere")

    monkeypatch.setattr(f"skinvision_hf.hub.preparing.stage_{'release' if kind == 'model' else kind}", refuse)
    place = re.escape(tempfile.gettempdir())
    with pytest.raises(HubError, match=rf"cannot prepare .* in {place} .*No space left .*; free some space"):
        if kind == "model":
            hub.publish_release(release, REPO)
        else:
            hub.publish_dataset("synthetic[:210]", "ann/ham")
    assert server.sent() == []


def test_a_local_file_that_vanishes_is_no_broken_connection(
    server: HubServer, release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A folder of its own: other test processes stage what they publish in the system's.
    staging = tmp_path / "staging"
    staging.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(staging))

    def vanish(plan: hub.Plan) -> None:
        (path,) = staging.glob("skinvision-*/*/metrics.json")
        path.unlink()

    with pytest.raises(HubError, match=r"metrics.json.* cannot be read or written|metrics.json.* not a file") as caught:
        hub.publish_release(release, REPO, show=vanish)
    assert "connection" not in str(caught.value)
    assert_one_line_without_secret(str(caught.value))
