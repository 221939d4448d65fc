"""Publishing to a real server: what is sent, what is kept, and what is refused."""

import logging
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from calling import ROOT, Captured
from complete_release import change_json, draw_figure
from hub_server import REPO, TOKEN, HubServer
from huggingface_hub import HfApi

from skinvision_hf import hub
from skinvision_hf.data import fingerprint, limit_images, load_ham10000
from skinvision_hf.errors import HubError, SkinVisionError
from skinvision_hf.hub.spaces import GRADIO_FILES
from skinvision_hf.models.release import release_files

SOURCE = "synthetic[:210]"
DATASET, SPACE = "ann/ham10000-leak-free", "ann/skinvision"


def files_of(release: Path) -> dict[str, bytes]:
    return {path.relative_to(release).as_posix(): path.read_bytes() for path in release_files(release)}


def variables(server: HubServer, space: str = SPACE) -> dict[str, str]:
    return {key: item["value"] for key, item in server.repository("space", space).variables.items()}


def card(server: HubServer, kind: str, repo_id: str) -> str:
    return server.files(kind, repo_id)["README.md"].decode()


def test_a_published_release_is_the_folder_and_its_card(server: HubServer, release: Path) -> None:
    draw_figure(release / "figures" / "old.png")
    for name in ("optimizer.safetensors", "preprocessor_config.json", "comparison.json", "figures/draft.svg"):
        (release / name).write_text("not a file of a release")
    published = hub.publish_model(release, REPO, tag="v1.0")
    content = server.files("model", REPO)
    assert content.pop(".gitattributes")
    assert f'"{REPO}"' in content.pop("README.md").decode()
    assert content.pop("EVALUATION.md")
    assert REPO in content.pop("notebook.ipynb").decode()
    assert content == files_of(release)
    assert not (release / "README.md").exists()
    repository = server.repository("model", REPO)
    assert repository.tags == {"v1.0": published.commit} == {"v1.0": repository.refs["main"]}
    assert len(server.history("model", REPO)) == 2
    assert str(published) == f"Published: {server.url}/{REPO} (commit {published.commit[:12]})"
    # The same again is no commit.
    again = hub.publish_model(release, REPO, tag="v1.0")
    assert (again.changed, again.commit) == (False, published.commit)
    assert str(again).startswith("Unchanged")
    # What differs is sent, what is gone is deleted, and what a person added stays.
    HfApi().upload_file(path_or_fileobj=b"mine", path_in_repo="notes.txt", repo_id=REPO)
    (release / "figures" / "old.png").unlink()
    (release / "history.jsonl").write_text('{"epoch": 1}\n')
    assert hub.publish_model(release, REPO).changed
    content = server.files("model", REPO)
    assert "figures/old.png" not in content
    assert content["notes.txt"] == b"mine"
    assert content["history.jsonl"] == b'{"epoch": 1}\n'
    assert len(server.history("model", REPO)) == 4


def test_a_dry_run_checks_here_and_asks_the_hub_for_nothing(
    server: HubServer, release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    published = hub.publish_model(release, REPO, tag="v1.0", dry_run=True)
    assert published.commit is None
    assert "model.safetensors (" in str(published)
    with pytest.raises(HubError, match="there is no token; set HF_TOKEN"):
        hub.publish_model(release, REPO)
    (release / "metrics.json").unlink()
    with pytest.raises(SkinVisionError, match=r"metrics\.json"):
        hub.publish_model(release, REPO)
    assert server.requests == []


@pytest.mark.parametrize(
    ("token", "repo_id", "message"),
    [
        ("hf_unknownsecret", REPO, "does not accept the token"),
        ("hf_readsecret", REPO, "the token may not write to ann/skinvision-b0"),
        (TOKEN, "bob/model", "the token may not write to bob/model"),
        (TOKEN, "model", "'model' is not a Hub id; write it as user/name"),
        (TOKEN, "ann/not valid", "'ann/not valid' is not a Hub id"),
    ],
)
def test_a_token_without_rights_is_refused_in_one_line(
    server: HubServer, release: Path, unchecked: None, token: str, repo_id: str, message: str
) -> None:
    with pytest.raises(HubError, match=message) as caught:
        hub.publish_model(release, repo_id, token=token)
    assert "\n" not in str(caught.value) and token not in str(caught.value)


def test_a_tag_never_moves(server: HubServer, release: Path, unchecked: None) -> None:
    first = hub.publish_model(release, REPO, tag="v1.0")
    (release / "history.jsonl").write_text("{}\n")
    with pytest.raises(HubError, match=r"has the new commit \w+, but the tag v1.0 is on an earlier one"):
        hub.publish_model(release, REPO, tag="v1.0")
    before = len(server.history("model", REPO))
    with pytest.raises(HubError, match=r"the tag v1.0 of ann/skinvision-b0 is on an earlier commit"):
        hub.publish_model(release, REPO, tag="v1.0")
    assert len(server.history("model", REPO)) == before
    assert server.repository("model", REPO).tags == {"v1.0": first.commit}
    hub.publish_model(release, REPO, tag="v1.1")
    assert len(server.repository("model", REPO).tags) == 2


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda r: change_json(r / "metrics.json", lambda m: m["overall"]["accuracy"].update(value=None)), "accuracy"),
        (lambda r: change_json(r / "metrics.json", lambda m: m["overall"]["ece"].update(value=float("nan"))), "ece"),
        (
            lambda r: change_json(r / "metrics.json", lambda m: m["model"].update(weights_sha256="0" * 64)),
            "measured with other weights than those of model.safetensors",
        ),
        (lambda r: (r / "conformal.json").write_text("{}"), r"lists \[\] as release_files, but there are"),
    ],
)
def test_a_release_that_is_not_fit_is_not_published(
    server: HubServer, release: Path, damage: Callable[[Path], object], message: str
) -> None:
    damage(release)
    with pytest.raises(SkinVisionError, match=message):
        hub.publish_model(release, REPO)
    assert server.requests == []


def test_a_private_release_of_an_organisation_leaks_no_token_to_logs_files_and_other_origins(
    server: HubServer, release: Path, unchecked: None, caplog: pytest.LogCaptureFixture, capfd: Captured
) -> None:
    caplog.set_level(logging.DEBUG)
    print(published := hub.publish_model(release, "clinic/model", tag="v1.0", private=True))
    assert server.repository("model", "clinic/model").private is True
    assert TOKEN not in "".join([caplog.text, *capfd.readouterr(), repr(published)])
    contents = [*server.files("model", "clinic/model").values(), *files_of(release).values()]
    assert not any(TOKEN.encode() in content for content in contents)
    assert any(seen.host == "localhost" for seen in server.requests)
    assert {seen.host for seen in server.requests if TOKEN in str(seen)} == {"127.0.0.1"}


def test_examples_come_in_turn_from_each_diagnosis(server: HubServer, release: Path, unchecked: None) -> None:
    hub.publish_model(release, REPO, examples=8, examples_from=SOURCE)
    examples = [name for name in server.files("model", REPO) if name.startswith("examples/")]
    assert len(examples) == 8
    assert len({name.rpartition("-")[2] for name in examples}) == 7
    hub.publish_model(release, REPO)
    assert not any(name.startswith("examples/") for name in server.files("model", REPO))


def test_a_space_shows_a_pinned_model_and_follows_a_new_one(server: HubServer, release: Path, unchecked: None) -> None:
    model = hub.publish_model(release, REPO)
    before = len(server.requests)
    published = hub.publish_space(SPACE, REPO, dataset_id="ann/data", kind="gradio")
    assert not any("variables" in request for request in server.sent(before)), "a new Space is born with them"
    assert variables(server) == {"MODEL_ID": REPO, "MODEL_REVISION": model.commit}
    assert server.repository("space", SPACE).sdk == "gradio"
    here = {path.name for path in (ROOT / "space").iterdir() if path.is_file() and path.suffix != ".pyi"}
    assert here == set(GRADIO_FILES), "a new file of the Space belongs into GRADIO_FILES"
    assert set(server.files("space", SPACE)) == {".gitattributes", *here}
    assert f"models:\n- {REPO}\n" in card(server, "space", SPACE)
    assert published.url == f"{server.url}/spaces/{SPACE}"
    assert not hub.publish_space(SPACE, REPO, kind="gradio").changed, "the data set's link stays"
    (release / "history.jsonl").write_text("{}\n")
    newer = hub.publish_model(release, REPO)
    package = "skinvision-hf[space] @ git+https://github.com/user/repo@0123abc"
    before = len(server.requests)
    hub.publish_space(SPACE, REPO, kind="gradio", package=package)
    order = [request.rpartition(f"{SPACE}/")[2].partition("/")[0] for request in server.sent(before)]
    assert order.index("variables") < order.index("commit"), "new files never run with the old model"
    assert variables(server)["MODEL_REVISION"] == newer.commit
    assert server.files("space", SPACE)["requirements.txt"].decode() == f"{package}\n"
    with pytest.raises(HubError, match="this token finds no ann/nothing on the Hub"):
        hub.publish_space(SPACE, "ann/nothing", kind="gradio")


@cache
def fingerprints(limit: int) -> dict[str, str]:
    splits = limit_images(load_ham10000(SOURCE), limit, seed=0)
    return {name: fingerprint(split) for name, split in splits.items()}


@pytest.fixture
def trained(release: Path, unchecked: None) -> Path:
    """A release that says that it was trained on `SOURCE`."""
    change_json(release / "training.json", lambda record: record.update(data_fingerprint=fingerprints(0)))
    return release


def test_all_three_are_published_with_links_to_each_other(server: HubServer, trained: Path) -> None:
    data, model, space = hub.publish_all(trained, SOURCE, REPO, kind="gradio")
    assert data.url in card(server, "model", REPO) and space.url in card(server, "model", REPO)
    assert model.url in card(server, "dataset", DATASET) and space.url in card(server, "dataset", DATASET)
    assert variables(server) == {"MODEL_ID": REPO, "MODEL_REVISION": model.commit}
    assert not any(one.changed for one in hub.publish_all(trained, SOURCE, REPO, kind="gradio", tag="v1.0"))
    assert variables(server)["MODEL_REVISION"] == "v1.0"
    assert not hub.publish_dataset(SOURCE, DATASET).changed, "each alone keeps its links"
    assert not hub.publish_model(trained, REPO).changed


def test_a_tag_on_another_commit_stops_all_three(server: HubServer, trained: Path) -> None:
    HfApi().create_repo(REPO)
    HfApi().create_tag(REPO, tag="v1.0")
    HfApi().upload_file(path_or_fileobj=b"---\ntags: [skinvision]\n---\n", path_in_repo="README.md", repo_id=REPO)
    before = len(server.requests)
    with pytest.raises(HubError, match=rf"the tag v1.0 of {REPO} is on an earlier commit"):
        hub.publish_all(trained, SOURCE, REPO, kind="gradio", tag="v1.0")
    assert server.sent(before) == []


def test_a_release_that_was_trained_on_other_data_is_not_linked_to_this(server: HubServer, trained: Path) -> None:
    record = trained / "training.json"
    change_json(record, lambda r: r.update(config={**r["config"], "limit": 9}, data_fingerprint=fingerprints(9)))
    done = hub.publish_all(trained, SOURCE, REPO, kind="gradio", dry_run=True)
    assert [one.kind for one in done] == ["dataset", "model", "space"]
    assert server.requests == []
    change_json(record, lambda r: r["data_fingerprint"].update(train="0" * 64))
    with pytest.raises(HubError, match="the release was trained on other data: its train images are not those of"):
        hub.publish_all(trained, SOURCE, REPO, kind="gradio", dry_run=True)
