"""What is not ours is left alone: repositories of others, public ones that should be hidden, and tags that exist."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hub_server import HubServer
from huggingface_hub import HfApi

from skinvision_hf import hub
from skinvision_hf.errors import HubError, ModelError
from skinvision_hf.labels import CODES

Publish = Callable[..., hub.Published]
FOREIGN = {
    "model": {
        "config.json": b'{"model_type": "bert", "label_names": ["good", "bad"]}',
        "model.safetensors": b"0" * 64,
        "tokenizer.json": b"{}",
        "README.md": b"---\ntags: [bert]\n---\nA language model.\n",
    },
    "dataset": {"data/poems.parquet": b"PAR1", "README.md": b"---\ntags: [poems]\n---\nPoems.\n"},
    "space": {"app.py": b"print('chess')", "requirements.txt": b"chess\n", "README.md": b"Chess, without metadata.\n"},
}
KINDS = tuple(FOREIGN)


@pytest.fixture
def publish(server: HubServer, release: Path, space_folder: Path, drawn_once: None) -> Callable[..., hub.Published]:
    """Publish something of a kind in `ann/place`."""
    api = HfApi()
    api.create_repo("ann/shown")
    config = f'{{"label_names": {list(CODES)}}}'.replace("'", '"').encode()
    api.upload_file(path_or_fileobj=config, path_in_repo="config.json", repo_id="ann/shown")

    def call(kind: str, **options: object) -> hub.Published:
        if kind == "model":
            return hub.publish_release(release, "ann/place", **options)
        if kind == "dataset":
            return hub.publish_dataset("synthetic[:210]", "ann/place", **options)
        return hub.publish_space("ann/place", "ann/shown", folder=space_folder, **options)

    return call


def fill(kind: str, files: dict[str, bytes], *, private: bool = False) -> None:
    api = HfApi()
    api.create_repo("ann/place", repo_type=kind, space_sdk="gradio" if kind == "space" else None, private=private)
    for name, content in files.items():
        api.upload_file(path_or_fileobj=content, path_in_repo=name, repo_id="ann/place", repo_type=kind)


@pytest.mark.parametrize("kind", KINDS)
def test_a_repository_of_another_kind_of_work_is_left_alone(server: HubServer, publish: Publish, kind: str) -> None:
    fill(kind, FOREIGN[kind])
    before, requests = server.files(kind, "ann/place"), len(server.requests)
    with pytest.raises(HubError, match="exists and holds something else; choose another --repo_id, or add --overwrite"):
        publish(kind)
    assert server.files(kind, "ann/place") == before
    assert server.sent(requests) == []


@pytest.mark.parametrize("kind", KINDS)
def test_overwrite_publishes_there_and_keeps_what_has_other_names(
    server: HubServer, publish: Publish, kind: str
) -> None:
    fill(kind, {**FOREIGN[kind], "notes/mine.txt": b"mine"})
    assert publish(kind, overwrite=True).changed
    files = server.files(kind, "ann/place")
    assert files["notes/mine.txt"] == b"mine"
    assert kind != "model" or files["tokenizer.json"] == b"{}"
    assert not publish(kind).changed, "it is ours now"


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_repository_and_one_with_a_card_alone_are_free(server: HubServer, publish: Publish, kind: str) -> None:
    fill(kind, {"README.md": b"Coming soon.\n"})
    assert publish(kind).changed
    assert b"Coming soon" not in server.files(kind, "ann/place")["README.md"]


@pytest.mark.parametrize("kind", KINDS)
def test_private_is_refused_on_a_public_repository_and_shown_in_the_plan(
    server: HubServer, publish: Publish, kind: str
) -> None:
    plans: list[hub.Plan] = []
    publish(kind, private=True, dry_run=True, show=plans.append)
    assert f"To {kind} ann/place, a new private repository:" in str(plans[0])
    publish(kind, show=plans.append)
    assert "a new public repository:" in str(plans[1])
    requests = len(server.requests)
    with pytest.raises(HubError, match=r"exists and is public; make it private at .*/settings, or leave --private out"):
        publish(kind, private=True)
    assert server.sent(requests) == []
    publish(kind, show=plans.append)
    assert f"To {kind} ann/place (public):\n  no file has changed" in str(plans[2])


def test_a_private_repository_stays_private(server: HubServer, publish: Publish) -> None:
    plans: list[hub.Plan] = []
    publish("model", private=True)
    publish("model", show=plans.append)
    assert "To model ann/place (private):" in str(plans[0])
    assert server.repository("model", "ann/place")["private"] is True


def test_a_space_of_a_private_model_asks_for_its_secret(server: HubServer, publish: Publish) -> None:
    repository = server.repository("model", "ann/shown")
    server.save("model", "ann/shown", {**repository, "private": True})
    note = f"set its secret HF_TOKEN to a token that may read the model, at {server.url}/spaces/ann/place/settings"
    plans: list[hub.Plan] = []
    assert note in str(publish("space", show=plans.append))
    assert note in str(plans[0])
    server.save("space", "ann/place", {**server.repository("space", "ann/place"), "secrets": ["HF_TOKEN"]})
    assert "secret" not in str(publish("space", show=plans.append))


def test_a_space_shows_no_foreign_model(server: HubServer, space_folder: Path) -> None:
    fill("model", FOREIGN["model"])
    with pytest.raises(ModelError, match=r"ann/place is no SkinVision release: its labels are .*good"):
        hub.publish_space("ann/demo", "ann/place", folder=space_folder)
    assert not any("model.safetensors" in seen.path and seen.method == "GET" for seen in server.requests)


def test_a_configuration_that_is_no_json_is_not_ours(server: HubServer, publish: Publish) -> None:
    fill("model", {"config.json": b"no JSON", "model.safetensors": b"0"})
    with pytest.raises(HubError, match="exists and holds something else"):
        publish("model")
