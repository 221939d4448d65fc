"""Whatever breaks while something is published, the repository is old or new, and the next try completes it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from complete_release import draw_figure
from hub_server import REPO, TOKENS, Fault, HubServer
from huggingface_hub import HfApi, constants

from skinvision_hf import hub
from skinvision_hf.errors import HubError


@dataclass
class Subject:
    """One of the three things that are published, in an old and a new version."""

    server: HubServer
    kind: str
    repo_id: str
    publish: Callable[[str], hub.Published]

    @property
    def state(self) -> tuple[dict[str, bytes], int]:
        """The files, and how many commits there are."""
        if not self.server.file_of(self.kind, self.repo_id).is_file():
            return {}, 1
        return self.server.files(self.kind, self.repo_id), len(self.server.history(self.kind, self.repo_id))

    def assert_complete(self) -> None:
        """The new version is there, and nothing is left to do."""
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
    unchecked: None,
    monkeypatch: pytest.MonkeyPatch,
) -> Subject:
    # It may commit what has arrived after some minutes; a release is whole or not there.
    monkeypatch.setattr(HfApi, "upload_folder", None)

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
    return Subject(server, request.param, *known[request.param])


BROKE = "the connection to the Hub broke"
FAULTS = [
    (Fault("POST", "/commit/", "error", status=503), "the Hub has trouble .status 503."),
    (Fault("POST", "/commit/", "error", status=429), "the Hub asks to slow down"),
    (Fault("POST", "/commit/", "error", status=403), "the token may not write to ann/"),
    (Fault("POST", "/commit/", "cut"), BROKE),
    (Fault("POST", "/commit/", "lost"), BROKE),
    (Fault("GET", "/api/(models|datasets|spaces)/", "error", status=418), "status 418"),
    (Fault("PUT", "/lfs/", "error", status=400, times=9), "the Hub refused ann/.* .status 400"),
    (Fault("POST", "/api/validate-yaml", "error", status=400), "Invalid metadata in README.md"),
    (Fault("POST", "/tag/", "error"), "the Hub has trouble"),
    (Fault("POST", "/tag/", "lost"), BROKE),
]
CREATE = "/api/repos/create"
CASES = [
    *(("model", new, *case) for new in (True, False) for case in FAULTS),
    ("model", True, Fault("POST", CREATE, "error", status=409), "was changed at the same moment"),
    ("model", True, Fault("POST", CREATE, "lost"), BROKE),
    ("dataset", False, *FAULTS[3]),
    ("space", True, Fault("POST", CREATE, "error", status=402), "free accounts cannot create Gradio Spaces; publish"),
    ("space", False, Fault("POST", "/variables", "lost"), BROKE),
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
    before, commits = subject.state
    fault.seen = 0
    server.faults.append(fault)
    with pytest.raises(HubError, match=message) as caught:
        subject.publish("new")
    assert "\n" not in str(caught.value)
    assert not any(token in str(caught.value) for token in TOKENS)
    server.faults.clear()
    after, _ = subject.state
    subject.publish("new")
    final, number = subject.state
    assert before != final
    assert after in (before, final) or (new and set(after) == {".gitattributes"})
    assert number == commits + 1
    subject.assert_complete()


@pytest.mark.parametrize("subject", ["model"], indirect=True)
def test_a_commit_that_comes_first_is_not_overwritten(server: HubServer, subject: Subject) -> None:
    subject.publish("old")
    before, _ = subject.state
    server.faults.append(Fault("POST", "/commit/", "stale"))
    with pytest.raises(HubError, match="got another commit in the meantime, so nothing was written"):
        subject.publish("new")
    assert subject.state[0] == {**before, "theirs.txt": b"theirs"}
    server.faults.clear()
    subject.publish("new")
    assert subject.state[0]["theirs.txt"] == b"theirs"
    subject.assert_complete()


def test_no_network_is_one_line(
    server: HubServer, release: Path, unchecked: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(HubError, match=r"the connection to the Hub broke .ConnectError.; check the network"):
        hub.publish_model(release, REPO)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(HubError, match="HF_HUB_OFFLINE is set"):
        hub.publish_model(release, REPO)
