"""Pulling a published release: by name, revision and token, from a warm cache, or a clear line why it cannot be."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from calling import Captured, run
from drawing import draw_lesion
from hub_server import REPO, TOKEN, Fault, HubServer
from huggingface_hub import HfApi, constants, hf_hub_download

from skinvision_hf.errors import ModelError
from skinvision_hf.models.modeling import SkinVisionForImageClassification
from skinvision_hf.models.release import list_parts
from skinvision_hf.vision import SkinVision


@pytest.fixture
def server(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> HubServer:
    """The server, to a client without a token."""
    monkeypatch.delenv("HF_TOKEN")
    return server


def upload(folder: Path, *, private: bool = False) -> str:
    """Put a folder on the server as it is, and return the commit."""
    api = HfApi(token=TOKEN)
    api.create_repo(REPO, private=private)
    return api.upload_folder(repo_id=REPO, folder_path=folder).oid


def test_branch_tag_and_commit_name_a_revision(server: HubServer, tiny_release: Path) -> None:
    first, api = upload(tiny_release), HfApi(token=TOKEN)
    api.create_tag(REPO, tag="v1.0")
    second = api.upload_file(path_or_fileobj=b"{}", path_in_repo="history.jsonl", repo_id=REPO).oid
    # Each revision has a folder in the cache that is named after its commit.
    for revision, commit in ((None, second), ("main", second), (second, second), ("v1.0", first), (first, first)):
        assert SkinVision.from_pretrained(REPO, revision=revision).release.name == commit


def test_a_warm_cache_needs_no_request(
    server: HubServer, tiny_release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = upload(tiny_release)
    here = {"cache_dir": tmp_path / "mine"}
    loaded = SkinVision.from_pretrained(REPO, **here)
    assert loaded.release.is_relative_to(tmp_path / "mine")
    server.requests.clear()
    assert SkinVision.from_pretrained(REPO, local_files_only=True, **here).release == loaded.release
    assert SkinVision.from_pretrained(REPO, revision=commit, local_files_only=True, **here).release == loaded.release
    SkinVisionForImageClassification.from_pretrained(REPO, local_files_only=True, **here)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert SkinVision.from_pretrained(REPO, **here).release == loaded.release
    assert server.requests == []
    with pytest.raises(ModelError, match="is not in the local cache"):
        SkinVision.from_pretrained(REPO, cache_dir=tmp_path / "cold", local_files_only=True)


def test_a_hub_that_is_gone_leaves_the_warm_cache_and_the_command_says_so_in_seconds(
    server: HubServer, tiny_release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    upload(tiny_release)
    loaded = SkinVision.from_pretrained(REPO)
    server.port = 9
    server.speak_here(monkeypatch)
    assert SkinVision.from_pretrained(REPO).release == loaded.release
    draw_lesion().save(tmp_path / "photo.png")
    capsys.readouterr()
    start = time.monotonic()
    assert run("predict", tmp_path / "photo.png", "--model", "ann/none") == 2
    assert time.monotonic() - start < 10
    error = capsys.readouterr().err
    assert error.startswith("error: ann/none is not in the local cache and the Hub cannot be reached")
    assert error.count("\n") == 1


def test_only_the_files_of_a_release_are_downloaded(server: HubServer, tiny_release: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_release, tmp_path / "more")
    (folder / "figures" / "old").mkdir(parents=True)
    (folder / "onnx").mkdir()
    others = ("notes.txt", "checkpoint.bin", "optimizer.safetensors", "onnx/model.safetensors", "figures/old/roc.png")
    for name in others:
        (folder / name).write_bytes(b"0" * 1000)
    (folder / "figures" / "roc.png").write_bytes(b"0" * 1000)
    upload(folder)
    release = SkinVision.from_pretrained(REPO).release
    names = {path.relative_to(release).as_posix() for path in release.rglob("*") if path.is_file()}
    assert names == {"config.json", "model.safetensors", "figures/roc.png"}


def test_a_cache_without_the_ood_detector_is_incomplete(
    server: HubServer, ood_release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = shutil.copytree(ood_release, tmp_path / "listed")
    list_parts(listed)
    upload(listed)
    # What another library leaves in the cache.
    for name in ("config.json", "model.safetensors"):
        hf_hub_download(REPO, name)
    with monkeypatch.context() as offline:
        offline.setattr(constants, "HF_HUB_OFFLINE", True)
        with pytest.raises(ModelError, match=r"is incomplete: ood.safetensors is missing; download the whole release"):
            SkinVision.from_pretrained(REPO)
    assert SkinVision.from_pretrained(REPO).detector is not None, "with a network, the rest is fetched"
    # A folder can lose it, too; the network alone, saved elsewhere, is a model of its own without a detector.
    (listed / "ood.safetensors").unlink()
    with pytest.raises(ModelError, match=r"is incomplete: ood.safetensors is missing"):
        SkinVision.from_pretrained(listed)
    SkinVisionForImageClassification.from_pretrained(ood_release).save_pretrained(tmp_path / "network")
    assert SkinVision.from_pretrained(tmp_path / "network").detector is None


def test_a_private_release_needs_a_token_which_stays_with_the_hub(server: HubServer, tiny_release: Path) -> None:
    upload(tiny_release, private=True)
    with pytest.raises(ModelError, match="no model ann/skinvision-b0 on the Hub that you can read"):
        SkinVision.from_pretrained(REPO)
    server.requests.clear()
    SkinVision.from_pretrained(REPO, token=TOKEN)
    assert {seen.host for seen in server.requests if TOKEN in str(seen)} == {"127.0.0.1"}


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "config.json").unlink(), f"{REPO} is not a SkinVision release: it has no config.json"),
        (lambda f: (f / "config.json").write_text("{"), f"the config.json of {REPO} cannot be read"),
        (
            lambda f: (f / "config.json").write_text('{"model_type": "bert"}'),
            f"{REPO} is not a SkinVision release: its",
        ),
        (lambda f: (f / "model.safetensors").unlink(), f"{REPO} is incomplete: model.safetensors is missing"),
    ],
)
def test_a_repository_that_is_not_a_sound_release_says_why_and_its_weights_are_not_downloaded(
    server: HubServer, tiny_release: Path, tmp_path: Path, damage: Callable[[Path], object], message: str
) -> None:
    folder = shutil.copytree(tiny_release, tmp_path / "damaged")
    damage(folder)
    upload(folder)
    server.requests.clear()
    with pytest.raises(ModelError, match=message) as caught:
        SkinVision.from_pretrained(REPO)
    assert "\n" not in str(caught.value)
    assert not [seen for seen in server.requests if "safetensors" in seen.path]


@pytest.mark.parametrize(
    ("reference", "options", "message"),
    [
        ("ann/nothing", {}, "there is no model ann/nothing on the Hub that you can read"),
        (REPO, {"revision": "v9"}, "has no revision 'v9'; see its branches and tags"),
        (REPO, {"revision": "0" * 40}, "has no revision '0000"),
        ("no valid/id here", {}, "neither a folder nor a valid Hub id"),
        ("nowhere", {}, "neither a folder nor a Hub id"),
        (REPO, {"token": "hf_unknownsecret"}, "set HF_TOKEN to a valid token"),
    ],
)
def test_what_is_not_there_is_one_line(
    server: HubServer, tiny_release: Path, reference: str, options: dict[str, str], message: str
) -> None:
    upload(tiny_release)
    with pytest.raises(ModelError, match=message) as caught:
        SkinVision.from_pretrained(reference, **options)
    assert "\n" not in str(caught.value)
    assert "hf_unknownsecret" not in str(caught.value)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (Fault("GET", "/api/models/", "error", times=99), "cannot be reached; check the network"),
        (Fault("GET", "/lfs/", "error", status=403, times=99), "status 403"),
        (Fault("HEAD", "/resolve/", "error", status=500, times=99), "cannot be reached; check the network"),
        (Fault("GET", "/lfs/", "cut", times=99), "check the network"),
    ],
    ids=lambda value: f"{value.path}-{value.kind}" if isinstance(value, Fault) else "",
)
def test_a_download_that_fails_is_one_line_and_the_next_one_succeeds(
    server: HubServer, tiny_release: Path, monkeypatch: pytest.MonkeyPatch, fault: Fault, message: str
) -> None:
    upload(tiny_release)
    # The client waits longer and longer between its tries.
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _: None)
    server.faults.append(fault)
    with pytest.raises(ModelError, match=message) as caught:
        SkinVision.from_pretrained(REPO)
    assert "\n" not in str(caught.value)
    server.faults.clear()
    assert SkinVision.from_pretrained(REPO).release
