"""What `publish --space` sends for each kind of Space, and which models a static Space cannot run."""

import json
import re
from pathlib import Path

import pytest
import yaml
from complete_release import LINKS
from hub_server import REPO, HubServer
from huggingface_hub import HfApi

from skinvision_hf import hub
from skinvision_hf.card.phrases import PHRASES
from skinvision_hf.errors import HubError
from skinvision_hf.hub.spaces import GRADIO_FILES, INDEX, RUNTIME, STATIC_FILES
from skinvision_hf.labels import CODES, DISCLAIMER

SPACE = "ann/skinvision"


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """ONNX Runtime for browsers, of which nothing here depends but its names."""
    folder = tmp_path / "runtime"
    folder.mkdir()
    for name in RUNTIME.values():
        (folder / name).write_bytes(name.encode())
    monkeypatch.setattr("skinvision_hf.hub.spaces.RUNTIME_FOLDER", folder)
    return folder


@pytest.fixture
def model(server: HubServer, release: Path, unchecked: None) -> Path:
    """A published release that browsers can run."""
    (release / "onnx").mkdir()
    (release / "onnx" / "model.onnx").write_bytes(b"graph")
    hub.publish_model(release, REPO)
    return release


def settings(server: HubServer) -> dict:
    page = server.files("space", SPACE)[INDEX].decode()
    return json.loads(re.search(r'id="settings">(.*?)</script>', page)[1])


def metadata(server: HubServer) -> dict:
    return yaml.safe_load(server.files("space", SPACE)["README.md"].decode().split("---\n")[1])


def test_a_static_space_names_the_commit_of_its_model_and_follows_a_new_one(server: HubServer, model: Path) -> None:
    published = hub.publish_space(SPACE, REPO, dataset_id="ann/data")
    assert server.repository("space", SPACE).sdk == metadata(server)["sdk"] == "static"
    assert server.repository("space", SPACE).variables == {}
    assert set(published.files) == {INDEX, *STATIC_FILES, "style.css", *RUNTIME}
    assert (metadata(server)["models"], metadata(server)["datasets"]) == ([REPO], ["ann/data"])
    commit = HfApi().model_info(REPO).sha
    assert settings(server)["files"] == f"{server.url}/{REPO}/resolve/{commit}/"
    assert not hub.publish_space(SPACE, REPO).changed
    (model / "history.jsonl").write_text("{}\n")
    newer = hub.publish_model(model, REPO, tag="v2")
    hub.publish_space(SPACE, REPO, model_revision="v2")
    assert newer.commit != commit and settings(server)["files"] == f"{server.url}/{REPO}/resolve/v2/"


def test_the_texts_of_the_static_page_are_those_of_python(server: HubServer, model: Path) -> None:
    hub.publish_space(SPACE, REPO)
    page, given = server.files("space", SPACE)[INDEX].decode(), settings(server)
    assert (given["phrases"], given["disclaimer"]) == (PHRASES, DISCLAIMER)
    assert [entry["code"] for entry in given["diagnoses"]] == list(CODES)
    assert PHRASES["opacity"] in page and "{{" not in page and "{%" not in page
    scripts = b"".join(content for name, content in server.files("space", SPACE).items() if name.endswith(".js"))
    used = set(re.findall(r"say\('(\w+)'", scripts.decode()))
    assert used and used <= set(PHRASES)


def test_a_space_can_become_one_of_another_kind(server: HubServer, model: Path) -> None:
    for kind in ("gradio", "static", "zerogpu"):
        hub.publish_space(SPACE, REPO, kind=kind)
        names = set(server.files("space", SPACE)) - {".gitattributes"}
        assert names == ({INDEX, *STATIC_FILES, "style.css", *RUNTIME} if kind == "static" else set(GRADIO_FILES))
        assert metadata(server)["sdk"] == ("static" if kind == "static" else "gradio")
    assert server.repository("space", SPACE).variables["MODEL_ID"] == {"value": REPO}


@pytest.mark.parametrize("new", [True, False])
def test_zerogpu_asks_for_its_hardware_and_a_python_that_it_has(server: HubServer, model: Path, new: bool) -> None:
    if not new:
        hub.publish_space(SPACE, REPO, kind="gradio")
        assert server.repository("space", SPACE).hardware is None
    hub.publish_space(SPACE, REPO, kind="zerogpu")
    assert server.repository("space", SPACE).hardware == "zero-a10g"
    assert (metadata(server)["python_version"], metadata(server)["suggested_hardware"]) == ("3.12.12", "zero-a10g")
    assert b"spaces.GPU(" in server.files("space", SPACE)["app.py"]


def test_all_three_are_published_with_a_page_that_names_the_new_commit(
    server: HubServer, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("skinvision_hf.hub.publishing._check_same_data", lambda *_: None)
    _, published, space = hub.publish_all(model, "synthetic[:210]", REPO, links=LINKS)
    assert settings(server)["files"] == f"{server.url}/{REPO}/resolve/{published.commit}/"
    assert space.url.endswith(SPACE)
    with pytest.raises(HubError, match="a static Space cannot read the private ann/other"):
        hub.publish_all(model, "synthetic[:210]", "ann/other", links=LINKS, private=True)


def test_a_static_space_refuses_what_it_cannot_run(server: HubServer, model: Path, runtime: Path) -> None:
    HfApi().create_repo("ann/private", private=True)
    HfApi().create_repo("ann/old")
    cases = [
        ("ann/private", {}, "a static Space cannot read the private ann/private; publish another --kind"),
        ("ann/old", {}, "ann/old has no onnx/model.onnx, which a static Space runs; publish another --kind"),
        (REPO, {"package": "x"}, "a static Space installs no package; leave --package out"),
        (REPO, {"kind": "docker"}, "there is no kind 'docker' of Space; choose one of static, gradio, zerogpu"),
    ]
    before = len(server.requests)
    for repo_id, options, message in cases:
        with pytest.raises(HubError, match=message):
            hub.publish_space(SPACE, repo_id, **options)
    (runtime / RUNTIME["ort.js"]).unlink()
    with pytest.raises(HubError, match="needs ONNX Runtime for browsers; run 'npm ci --omit=dev --ignore-scripts'"):
        hub.publish_space(SPACE, REPO)
    assert server.sent(before) == []
