"""Publishing against a real server: one commit or none, and a clear line for everything that can go wrong."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from complete_release import complete_release, draw_figure
from hub_server import Fault, HubServer
from huggingface_hub import HfApi, constants

from skinvision_hf import hub
from skinvision_hf.card import Links
from skinvision_hf.errors import HubError, SkinVisionError
from skinvision_hf.inference import SkinVision
from skinvision_hf.releases import RELEASE_FILES

REPO = "ann/skinvision-b0"
TOKEN = "hf_writesecret0123456789"
FINE = {"scoped": [{"entity": {"type": "model", "name": REPO}, "permissions": ["repo.write"]}]}
TOKENS = {
    TOKEN: {"name": "ann", "role": "write", "orgs": ["clinic"]},
    "hf_readsecret": {"name": "ann", "role": "read"},
    "hf_finesecret": {"name": "ann", "role": "fineGrained", "scopes": FINE},
}
SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "publish.py"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with HubServer(tmp_path / "server", tokens=TOKENS).running() as running:
        running.speak_here(monkeypatch, TOKEN)
        yield running


@pytest.fixture
def release(tiny_release: Path, tmp_path: Path) -> Path:
    return complete_release(tiny_release, tmp_path / "release")


def sent(server: HubServer, since: int = 0) -> list[str]:
    """The requests that can change something."""
    return [f"{seen.method} {seen.path}" for seen in server.requests[since:] if seen.method not in ("GET", "HEAD")]


def files_of(release: Path) -> dict[str, bytes]:
    found = {path for pattern in RELEASE_FILES for path in release.glob(pattern)}
    return {path.relative_to(release).as_posix(): path.read_bytes() for path in found}


def test_a_published_release_is_the_folder_byte_for_byte_and_its_card(server: HubServer, release: Path) -> None:
    plans = []
    published = hub.publish_release(release, REPO, tag="v1.0", show=plans.append)
    content = server.files("model", REPO)
    card = content.pop("README.md").decode()
    assert content.pop(".gitattributes")
    assert content == files_of(release)
    assert f'SkinVision.from_pretrained("{REPO}")' in card
    assert not (release / "README.md").exists()
    repository = server.repository("model", REPO)
    assert repository["tags"] == {"v1.0": published.commit} == {"v1.0": repository["refs"]["main"]}
    assert len(server.history("model", REPO)) == 2
    assert {change.action for change in plans[0].changes} == {"add"}
    assert published.url == f"{server.url}/{REPO}"


def test_publishing_again_makes_no_commit_and_sends_nothing(server: HubServer, release: Path) -> None:
    first = hub.publish_release(release, REPO, tag="v1.0")
    before = len(server.requests)
    second = hub.publish_release(release, REPO, tag="v1.0")
    assert sent(server, before) == []
    assert (second.changed, second.commit) == (False, first.commit)
    assert str(second).startswith("Unchanged")


def test_only_what_differs_is_sent_and_what_is_gone_is_deleted(server: HubServer, release: Path) -> None:
    draw_figure(release / "figures" / "old.png")
    hub.publish_release(release, REPO)
    (release / "figures" / "old.png").unlink()
    (release / "history.jsonl").write_text('{"epoch": 1}\n')
    plans = []
    hub.publish_release(release, REPO, show=plans.append)
    actions = {(change.action, change.path) for change in plans[0].changes}
    assert actions == {("add", "history.jsonl"), ("change", "README.md"), ("delete", "figures/old.png")}
    assert "figures/old.png" not in server.files("model", REPO)
    assert len(server.history("model", REPO)) == 3


def test_a_file_that_a_person_added_stays(server: HubServer, release: Path) -> None:
    hub.publish_release(release, REPO)
    HfApi().upload_file(path_or_fileobj=b"mine", path_in_repo="notes.txt", repo_id=REPO)
    (release / "history.jsonl").write_text("{}\n")
    hub.publish_release(release, REPO)
    assert server.files("model", REPO)["notes.txt"] == b"mine"


def test_a_dry_run_checks_and_shows_but_sends_nothing(server: HubServer, release: Path) -> None:
    plans = []
    published = hub.publish_release(release, REPO, tag="v1.0", dry_run=True, show=plans.append)
    assert sent(server) == []
    assert "model.safetensors" in str(plans[0])
    assert "tag v1.0" in str(plans[0])
    assert published.commit is None
    (release / "metrics.json").unlink()
    with pytest.raises(SkinVisionError):
        hub.publish_release(release, REPO, dry_run=True)


def test_push_to_hub_publishes_the_loaded_release(server: HubServer, release: Path) -> None:
    published = SkinVision.from_pretrained(release).push_to_hub(REPO, private=True)
    assert published.changed
    assert server.repository("model", REPO)["private"] is True


def test_a_repository_of_an_organisation_takes_a_release(server: HubServer, release: Path) -> None:
    hub.publish_release(release, "clinic/model")
    assert "model.safetensors" in server.files("model", "clinic/model")


@pytest.mark.parametrize(
    ("token", "repo_id", "message"),
    [
        (None, REPO, "there is no token; set HF_TOKEN"),
        ("hf_unknownsecret", REPO, "does not accept the token"),
        ("hf_readsecret", REPO, "the token may not write to ann/skinvision-b0; make one with write access"),
        ("hf_finesecret", "ann/other", "the token may not write to ann/other"),
        (TOKEN, "bob/model", "the token is of ann, who has no place in bob; publish as ann/model"),
        (TOKEN, "model", "'model' is no Hub id; write it as user/name"),
        (TOKEN, "ann/not valid", "'ann/not valid' is no valid Hub id"),
    ],
)
def test_rights_are_checked_before_any_work(
    server: HubServer, release: Path, monkeypatch: pytest.MonkeyPatch, token: str | None, repo_id: str, message: str
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    (release / "config.json").write_text("work would fail here")
    with pytest.raises(HubError, match=message) as caught:
        hub.publish_release(release, repo_id)
    assert_one_line_without_secret(str(caught.value))
    assert len(server.requests) <= 1


def assert_one_line_without_secret(text: str) -> None:
    assert "\n" not in text
    assert not any(token in text for token in (*TOKENS, "hf_unknownsecret"))


def test_a_fine_grained_token_for_the_repository_is_enough_to_start(
    server: HubServer, release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_finesecret")
    assert hub.publish_release(release, REPO, dry_run=True).commit is None


def test_a_name_that_is_taken_by_something_else_is_left_alone(server: HubServer, release: Path) -> None:
    api = HfApi()
    api.create_repo(REPO)
    api.upload_file(path_or_fileobj=b"a poem", path_in_repo="poem.txt", repo_id=REPO)
    with pytest.raises(HubError, match="exists and holds something else; choose another --repo_id"):
        hub.publish_release(release, REPO)
    assert set(server.files("model", REPO)) == {".gitattributes", "poem.txt"}


def test_a_tag_never_moves(server: HubServer, release: Path) -> None:
    first = hub.publish_release(release, REPO, tag="v1.0")
    (release / "history.jsonl").write_text("{}\n")
    with pytest.raises(HubError, match=r"the tag v1.0 of ann/skinvision-b0 is already on another state"):
        hub.publish_release(release, REPO, tag="v1.0")
    assert server.repository("model", REPO)["tags"] == {"v1.0": first.commit}
    hub.publish_release(release, REPO, tag="v1.1")
    assert len(server.repository("model", REPO)["tags"]) == 2


def change_metric(release: Path, value: object) -> None:
    metrics = json.loads((release / "metrics.json").read_text())
    metrics["overall"]["accuracy"]["value"] = value
    (release / "metrics.json").write_text(json.dumps(metrics))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda r: change_metric(r, None), "metrics.json has no accuracy"),
        (lambda r: change_metric(r, float("nan")), "metrics.json holds a value that is no finite number"),
        (lambda r: (r / "metrics.json").unlink(), "has no metrics.json"),
        (lambda r: (r / "model.safetensors").write_bytes(b"12345678"), "damaged"),
        (lambda r: (r / "preprocessor_config.json").write_text('{"image_processor_type": "X"}'), "preprocessor_config"),
    ],
)
def test_a_release_that_is_not_fit_is_not_published(
    server: HubServer, release: Path, damage: Callable[[Path], object], message: str
) -> None:
    damage(release)
    with pytest.raises(SkinVisionError, match=message):
        hub.publish_release(release, REPO)
    assert sent(server) == []


FAULTS = [
    (Fault("POST", "/commit/", "error", status=500), "the Hub has trouble .status 500."),
    (Fault("POST", "/commit/", "error", status=503), "the Hub has trouble .status 503."),
    (Fault("POST", "/commit/", "error", status=429), "the Hub asks to slow down"),
    (Fault("POST", "/commit/", "error", status=403), "the token may not write to ann/skinvision-b0"),
    (Fault("POST", "/commit/", "cut"), "the connection to the Hub broke"),
    (Fault("POST", "/api/repos/create", "error", status=402), "asks for a paid plan"),
    (Fault("GET", "/api/models/", "error", status=418), "status 418"),
    (Fault("PUT", "/lfs/", "error", status=400, times=9), "the Hub refused ann/skinvision-b0 .status 400"),
    (Fault("POST", "/api/validate-yaml", "error", status=400), "Invalid metadata in README.md; mend that"),
]


@pytest.mark.parametrize(("fault", "message"), FAULTS, ids=[f"{f.path}-{f.kind}-{f.status}" for f, _ in FAULTS])
@pytest.mark.parametrize("new", [True, False], ids=["new", "update"])
def test_after_a_fault_the_repository_is_old_and_the_next_try_completes_it(
    server: HubServer, release: Path, fault: Fault, message: str, new: bool
) -> None:
    if not new:
        hub.publish_release(release, REPO)
        (release / "history.jsonl").write_text("{}\n")
        draw_figure(release / "figures" / "new.png", colour="red")
        if "create" in fault.path:
            pytest.skip("an update creates nothing")
    before = server.files("model", REPO) if not new else {}
    fault.seen = 0
    server.faults.append(fault)
    with pytest.raises(HubError, match=message) as caught:
        hub.publish_release(release, REPO, tag="v2.0")
    assert_one_line_without_secret(str(caught.value))
    server.faults.clear()
    exists = server.file_of("model", REPO).is_file()
    after = server.files("model", REPO) if exists else {}
    assert after == before or (new and set(after) == {".gitattributes"})
    assert not exists or server.repository("model", REPO)["tags"] == {}
    hub.publish_release(release, REPO, tag="v2.0")
    content = server.files("model", REPO)
    assert {name: content[name] for name in files_of(release)} == files_of(release)


@pytest.mark.parametrize(
    "fault",
    [
        Fault("PUT", "/lfs/", "cut"),
        Fault("PUT", "/lfs/", "error"),
        Fault("POST", "/preupload/", "error"),
        Fault("POST", "/commit/", "slow", seconds=3.0),
        Fault("PUT", "/lfs/", "slow", seconds=3.0),
    ],
    ids=lambda fault: f"{fault.path}-{fault.kind}",
)
def test_a_passing_trouble_is_sat_out(server: HubServer, release: Path, fault: Fault) -> None:
    server.faults.append(fault)
    hub.publish_release(release, REPO)
    assert fault.seen > 0
    content = server.files("model", REPO)
    assert {name: content[name] for name in files_of(release)} == files_of(release)


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
    assert sent(server, before) == [f"POST /api/models/{REPO}/tag/{published.commit}"]
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


def test_the_token_reaches_no_log_no_file_and_no_other_origin(
    server: HubServer, release: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    published = hub.publish_release(release, REPO, tag="v1.0", show=print)
    print(published)
    output = "".join([caplog.text, *capfd.readouterr(), repr(published)])
    assert TOKEN not in output
    contents = [*server.files("model", REPO).values(), *files_of(release).values()]
    assert not any(TOKEN.encode() in content for content in contents)
    storage = [seen for seen in server.requests if seen.host == "localhost"]
    assert storage
    assert not any(TOKEN in str(seen) for seen in storage)
    assert any(TOKEN in str(seen) for seen in server.requests if seen.host == "127.0.0.1")


def test_examples_come_in_turn_from_each_diagnosis(server: HubServer, release: Path) -> None:
    hub.publish_release(release, REPO, examples=8, examples_from="synthetic")
    examples = [name for name in server.files("model", REPO) if name.startswith("examples/")]
    assert len(examples) == 8
    assert len({name.rpartition("-")[2] for name in examples}) == 7
    hub.publish_release(release, REPO)
    assert not any(name.startswith("examples/") for name in server.files("model", REPO))


@pytest.fixture
def space_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "space"
    folder.mkdir()
    (folder / "app.py").write_text("print('a demonstration')\n")
    (folder / "requirements.txt").write_text("gradio\n")
    (folder / "README.md").write_text(
        "---\ntitle: SkinVision\nsdk: gradio\nmodels: [other/model]\n---\n\n# SkinVision\n"
    )
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "app.pyc").write_bytes(b"no")
    return folder


def test_a_space_shows_a_pinned_model(server: HubServer, release: Path, space_folder: Path) -> None:
    model = hub.publish_release(release, REPO)
    published = hub.publish_space("ann/skinvision", REPO, folder=space_folder, dataset_id="ann/data")
    repository = server.repository("space", "ann/skinvision")
    assert {key: item["value"] for key, item in repository["variables"].items()} == {
        "MODEL_ID": REPO,
        "MODEL_REVISION": model.commit,
    }
    assert repository["sdk"] == "gradio"
    content = server.files("space", "ann/skinvision")
    assert set(content) == {".gitattributes", "README.md", "app.py", "requirements.txt"}
    assert f"models:\n- {REPO}\n" in content["README.md"].decode()
    assert "datasets:\n- ann/data\n" in content["README.md"].decode()
    assert published.url == f"{server.url}/spaces/ann/skinvision"
    before = len(server.requests)
    assert not hub.publish_space("ann/skinvision", REPO, folder=space_folder, dataset_id="ann/data").changed
    assert sent(server, before) == []


def test_a_space_follows_a_new_release(server: HubServer, release: Path, space_folder: Path) -> None:
    hub.publish_release(release, REPO, tag="v1")
    hub.publish_space("ann/skinvision", REPO, folder=space_folder, model_revision="v1")
    assert server.repository("space", "ann/skinvision")["variables"]["MODEL_REVISION"] == {"value": "v1"}
    with pytest.raises(HubError, match=f"{REPO} has no such revision"):
        hub.publish_space("ann/skinvision", REPO, folder=space_folder, model_revision="v2")
    with pytest.raises(HubError, match="there is no ann/nothing on the Hub that this token can see"):
        hub.publish_space("ann/skinvision", "ann/nothing", folder=space_folder)


def test_a_folder_that_is_no_space_is_refused(server: HubServer, release: Path, tmp_path: Path) -> None:
    hub.publish_release(release, REPO)
    with pytest.raises(HubError, match=r"has no app.py; the Space is part of a checkout"):
        hub.publish_space("ann/skinvision", REPO, folder=tmp_path)


def test_a_data_set_holds_images_in_parquet_and_no_leaking_column(server: HubServer, tmp_path: Path) -> None:
    from datasets import load_dataset

    from skinvision_hf.data import load_ham10000

    hub.publish_dataset("synthetic", "ann/ham", tag="v1", links=Links(REPO, None, "ann/skinvision"))
    content = server.files("dataset", "ann/ham")
    card = content["README.md"].decode()
    assert "cc-by-nc-4.0" in card
    assert f"[{REPO}]({server.url}/{REPO})" in card
    for name, data in content.items():
        (tmp_path / "copy" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "copy" / name).write_bytes(data)
    loaded, expected = (
        load_dataset(str(tmp_path / "copy"), cache_dir=str(tmp_path / "cache")),
        load_ham10000("synthetic"),
    )
    assert set(loaded) == set(expected) == {"train", "validation", "test"}
    for part in expected:
        assert "dx_type" not in loaded[part].column_names
        assert loaded[part]["image_id"] == expected[part]["image_id"]
        assert loaded[part].features["label"].names == expected[part].features["label"].names
        assert loaded[part][0]["image"].tobytes() == expected[part][0]["image"].tobytes()
    before = len(server.requests)
    assert not hub.publish_dataset("synthetic", "ann/ham", tag="v1", links=Links(REPO, None, "ann/skinvision")).changed
    assert sent(server, before) == []


def test_all_three_are_published_with_links_to_each_other(
    server: HubServer, release: Path, space_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("skinvision_hf.hub.publishing.SPACE_FOLDER", space_folder)
    plans = []
    data, model, space = hub.publish_all(release, "synthetic", REPO, tag="v1.0", show=plans.append)
    assert [plan.kind for plan in plans] == ["dataset", "model", "space"]
    card = server.files("model", REPO)["README.md"].decode()
    assert data.url in card
    assert space.url in card
    assert "datasets:\n- ann/ham10000-leak-free\n" in card
    dataset_card = server.files("dataset", "ann/ham10000-leak-free")["README.md"].decode()
    assert model.url in dataset_card
    assert space.url in dataset_card
    assert server.repository("space", "ann/skinvision")["variables"]["MODEL_REVISION"] == {"value": "v1.0"}
    before = len(server.requests)
    hub.publish_all(release, "synthetic", REPO, tag="v1.0")
    assert sent(server, before) == []
