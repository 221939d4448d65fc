"""Publishing with something in the way, such as other files or faults of the Hub; the next try completes it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from complete_release import draw_figure
from hub_server import REPO, TOKENS, Fault, HubServer
from huggingface_hub import HfApi, constants

from skinvision_hf import hub
from skinvision_hf.errors import HubError

PLACE = "ann/place"
Publish = Callable[..., hub.Published]
FOREIGN = {
    "model": {"config.json": b'{"model_type": "bert"}', "tokenizer.json": b"{}", "README.md": b"---\ntags: [a]\n---\n"},
    "dataset": {"data/poems.parquet": b"PAR1", "README.md": b"---\ntags: [poems]\n---\nPoems.\n"},
    "space": {"app.py": b"print('chess')", "README.md": b"Chess, without metadata.\n"},
}


@pytest.fixture
def publish(release: Path, unchecked: None, monkeypatch: pytest.MonkeyPatch) -> Publish:
    """Publish the old or the new version of something of a kind in `ann/place`."""
    # It may commit what has arrived after some minutes; a release is whole or not there.
    monkeypatch.setattr(HfApi, "upload_folder", None)

    def call(kind: str, *, new: bool = False, **options: object) -> hub.Published:
        if kind == "space":
            version = "new" if new else "old"
            options |= {"model_revision": version, "package": f"skinvision-hf @ {version}"}
            return hub.publish_space(PLACE, "ann/shown", kind="gradio", **options)
        options |= {"tag": "new"} if new else {}
        if kind == "dataset":
            return hub.publish_dataset("synthetic[:217]" if new else "synthetic[:210]", PLACE, **options)
        if new:
            (release / "history.jsonl").write_text("{}\n")
            draw_figure(release / "figures" / "new.png", colour="red")
        return hub.publish_model(release, PLACE, **options)

    return call


def fill(kind: str, files: dict[str, bytes]) -> None:
    api = HfApi()
    api.create_repo(PLACE, repo_type=kind, space_sdk="gradio" if kind == "space" else None)
    for name, content in files.items():
        api.upload_file(path_or_fileobj=content, path_in_repo=name, repo_id=PLACE, repo_type=kind)


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_repository_with_something_else_is_left_alone_unless_told(
    server: HubServer, publish: Publish, kind: str
) -> None:
    fill(kind, {**FOREIGN[kind], "notes/mine.txt": b"mine"})
    before = server.files(kind, PLACE)
    with pytest.raises(HubError, match="holds something else; choose another --repo_id, or add --overwrite"):
        publish(kind)
    assert server.files(kind, PLACE) == before
    assert publish(kind, overwrite=True).changed
    assert server.files(kind, PLACE)["notes/mine.txt"] == b"mine"
    assert not publish(kind).changed, "it is ours now"
    with pytest.raises(HubError, match=r"ann/place is public; make it private at .*/settings"):
        publish(kind, private=True)


def test_a_repository_with_a_card_alone_is_free(server: HubServer, publish: Publish) -> None:
    fill("model", {"README.md": b"Coming soon.\n"})
    assert publish("model").changed
    assert b"Coming soon" not in server.files("model", PLACE)["README.md"]


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


def state(server: HubServer, kind: str) -> tuple[dict[str, bytes], int]:
    """The files, and how many commits there are."""
    if (kind, PLACE) not in server.repositories:
        return {}, 1
    return server.files(kind, PLACE), len(server.history(kind, PLACE))


def assert_complete(server: HubServer, publish: Publish, kind: str) -> None:
    assert not publish(kind, new=True).changed
    repository = server.repository(kind, PLACE)
    if kind == "space":
        assert repository.variables["MODEL_REVISION"] == {"value": "new"}
    else:
        assert repository.tags == {"new": repository.refs["main"]}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "first", "fault", "message"),
    CASES,
    ids=[f"{kind}-{'new' if first else 'update'}-{fault.path}-{fault.kind}" for kind, first, fault, _ in CASES],
)
def test_after_a_fault_the_repository_is_old_or_new_and_the_next_try_completes_it(
    server: HubServer, publish: Publish, kind: str, first: bool, fault: Fault, message: str
) -> None:
    if not first:
        publish(kind)
    before, commits = state(server, kind)
    fault.seen = 0
    server.faults.append(fault)
    with pytest.raises(HubError, match=message) as caught:
        publish(kind, new=True)
    assert "\n" not in str(caught.value)
    assert not any(token in str(caught.value) for token in TOKENS)
    server.faults.clear()
    after, _ = state(server, kind)
    publish(kind, new=True)
    final, number = state(server, kind)
    assert before != final
    assert after in (before, final) or (first and set(after) == {".gitattributes"})
    assert number == commits + 1
    assert_complete(server, publish, kind)


def test_a_commit_that_comes_first_is_not_overwritten(server: HubServer, publish: Publish) -> None:
    publish("model")
    before, _ = state(server, "model")
    server.faults.append(Fault("POST", "/commit/", "stale"))
    with pytest.raises(HubError, match="got another commit in the meantime, so nothing was written"):
        publish("model", new=True)
    assert state(server, "model")[0] == {**before, "theirs.txt": b"theirs"}
    server.faults.clear()
    publish("model", new=True)
    assert state(server, "model")[0]["theirs.txt"] == b"theirs"
    assert_complete(server, publish, "model")


def test_no_network_is_one_line(
    server: HubServer, release: Path, unchecked: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(HubError, match=r"the connection to the Hub broke .ConnectError.; check the network"):
        hub.publish_model(release, REPO)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(HubError, match="HF_HUB_OFFLINE is set"):
        hub.publish_model(release, REPO)
