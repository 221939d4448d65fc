"""Publishing a data set, a Space, and all three together, linked to each other."""

import json
from functools import cache
from pathlib import Path

import pytest
from hub_server import REPO, HubServer
from huggingface_hub import HfApi

from skinvision_hf import hub
from skinvision_hf.card import Links
from skinvision_hf.data import fingerprint, load_ham10000
from skinvision_hf.data import limit_images
from skinvision_hf.errors import HubError
from skinvision_hf.hub.staging import SPACE_FILES, stage_space

ROOT = Path(__file__).resolve().parents[1]
SOURCE = "synthetic[:210]"
DATASET, SPACE = "ann/ham10000-leak-free", "ann/skinvision"


def variables(server: HubServer, space: str = SPACE) -> dict[str, str]:
    return {key: item["value"] for key, item in server.repository("space", space)["variables"].items()}


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
    assert set(content) == {".gitattributes", "README.md", "app.py", "requirements.txt", "style.css"}
    assert f"models:\n- {REPO}\n" in content["README.md"].decode()
    assert "datasets:\n- ann/data\n" in content["README.md"].decode()
    assert published.url == f"{server.url}/spaces/ann/skinvision"
    before = len(server.requests)
    assert not hub.publish_space("ann/skinvision", REPO, folder=space_folder, dataset_id="ann/data").changed
    assert server.sent(before) == []


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


def test_a_space_that_does_not_say_that_it_is_no_medical_device_is_refused(
    server: HubServer, release: Path, space_folder: Path
) -> None:
    hub.publish_release(release, REPO)
    card = (space_folder / "README.md").read_text(encoding="utf-8")
    (space_folder / "README.md").write_text(card.replace("Not a medical device.", ""), encoding="utf-8")
    before = len(server.requests)
    with pytest.raises(HubError, match=r"the card of the space is not fit .* not a medical device; mend its README.md"):
        hub.publish_space(SPACE, REPO, folder=space_folder)
    assert server.sent(before) == []


def test_the_space_of_this_checkout_is_staged_whole_and_without_stubs(tmp_path: Path) -> None:
    stub = ROOT / "space" / "app.pyi"
    written = not stub.exists()
    stub.touch()
    try:
        stage_space(ROOT / "space", tmp_path / "staged", model_id=REPO)
    finally:
        if written:
            stub.unlink()
    names = {path.name for path in (tmp_path / "staged").iterdir()}
    assert names == set(SPACE_FILES)
    kept = {path.name for path in (ROOT / "space").iterdir() if path.is_file() and path.suffix != ".pyi"}
    assert names == kept, "a new file of the Space belongs into SPACE_FILES"
    for name in ("app.py", "style.css", "requirements.txt"):
        assert (tmp_path / "staged" / name).read_bytes() == (ROOT / "space" / name).read_bytes()
    card = (tmp_path / "staged" / "README.md").read_text(encoding="utf-8")
    assert f"models:\n- {REPO}\n" in card
    assert "- skinvision\n" in card


def test_a_new_space_is_born_with_its_variables_and_an_old_one_gets_them_before_its_files(
    server: HubServer, release: Path, space_folder: Path
) -> None:
    hub.publish_release(release, REPO)
    before = len(server.requests)
    hub.publish_space(SPACE, REPO, folder=space_folder)
    assert not any("variables" in request for request in server.sent(before))
    assert variables(server)["MODEL_ID"] == REPO
    (release / "history.jsonl").write_text("{}\n")
    hub.publish_release(release, REPO)
    (space_folder / "app.py").write_text("print('newer')\n")
    before = len(server.requests)
    hub.publish_space(SPACE, REPO, folder=space_folder)
    order = [request.rpartition(f"{SPACE}/")[2].partition("/")[0] for request in server.sent(before)]
    assert order.index("variables") < order.index("commit")
    assert variables(server)["MODEL_REVISION"] == server.repository("model", REPO)["refs"]["main"]


def test_a_space_installs_the_package_from_where_it_is_told(
    server: HubServer, release: Path, space_folder: Path
) -> None:
    hub.publish_release(release, REPO)
    package = "skinvision-hf[space] @ git+https://github.com/user/repo@0123abc"
    hub.publish_space(SPACE, REPO, folder=space_folder, package=package)
    assert server.files("space", SPACE)["requirements.txt"].decode() == f"{package}\n"
    before = len(server.requests)
    for wrong in ("gradio", "skinvision-hf", "skinvision-hf[space]\nevil", "not a requirement", ""):
        with pytest.raises(HubError, match=r"write it as 'skinvision-hf.space. @ git") as caught:
            hub.publish_space(SPACE, REPO, folder=space_folder, package=wrong)
        assert "\n" not in str(caught.value)
    assert len(server.requests) == before


def test_a_data_set_holds_images_in_parquet_and_no_leaking_column(server: HubServer, tmp_path: Path) -> None:
    from datasets import load_dataset

    from skinvision_hf.data import load_ham10000

    links = Links(REPO, None, "ann/skinvision")
    hub.publish_dataset(SOURCE, "ann/ham", tag="v1", links=links)
    content = server.files("dataset", "ann/ham")
    card = content["README.md"].decode()
    assert "cc-by-nc-4.0" in card
    assert f"[{REPO}]({server.url}/{REPO})" in card
    for name, data in content.items():
        (tmp_path / "copy" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "copy" / name).write_bytes(data)
    loaded, expected = (
        load_dataset(str(tmp_path / "copy"), cache_dir=str(tmp_path / "cache")),
        load_ham10000(SOURCE),
    )
    assert set(loaded) == set(expected) == {"train", "validation", "test"}
    for split in expected:
        assert "dx_type" not in loaded[split].column_names
        assert loaded[split]["image_id"] == expected[split]["image_id"]
        assert loaded[split].features["label"].names == expected[split].features["label"].names
        assert loaded[split][0]["image"].tobytes() == expected[split][0]["image"].tobytes()
    before = len(server.requests)
    assert not hub.publish_dataset(SOURCE, "ann/ham", tag="v1", links=links).changed
    assert server.sent(before) == []


@cache
def fingerprints(limit: int = 0) -> dict[str, str]:
    splits = limit_images(load_ham10000(SOURCE), limit, seed=3)
    return {name: fingerprint(split) for name, split in splits.items()}


def say_trained_on(release: Path, limit: int = 0) -> None:
    record = json.loads((release / "training.json").read_text())
    record["config"] |= {"limit": limit, "seed": 3}
    (release / "training.json").write_text(json.dumps({**record, "data_fingerprint": fingerprints(limit)}))


@pytest.fixture
def trained(release: Path, space_folder: Path, drawn_once: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A release that says that it was trained on `SOURCE`."""
    monkeypatch.setattr("skinvision_hf.hub.preparing.SPACE_FOLDER", space_folder)
    say_trained_on(release)
    return release


def test_all_three_are_published_with_links_to_each_other(server: HubServer, trained: Path) -> None:
    plans: list[hub.Plan] = []
    data, model, space = hub.publish_all(trained, SOURCE, REPO, tag="v1.0", show=plans.append)
    assert [plan.kind for plan in plans] == ["dataset", "model", "space"]
    card = server.files("model", REPO)["README.md"].decode()
    assert data.url in card
    assert space.url in card
    assert f"datasets:\n- {DATASET}\n" in card
    dataset_card = server.files("dataset", DATASET)["README.md"].decode()
    assert model.url in dataset_card
    assert space.url in dataset_card
    assert variables(server) == {"MODEL_ID": REPO, "MODEL_REVISION": "v1.0"}
    before = len(server.requests)
    hub.publish_all(trained, SOURCE, REPO, tag="v1.0")
    assert server.sent(before) == []


def test_all_three_are_planned_and_shown_before_anything_is_sent(server: HubServer, trained: Path) -> None:
    plans: list[hub.Plan] = []
    before = len(server.requests)
    done = hub.publish_all(trained, SOURCE, REPO, dry_run=True, show=plans.append)
    assert [plan.kind for plan in plans] == [published.plan.kind for published in done] == ["dataset", "model", "space"]
    assert f"variable MODEL_ID = {REPO}\n  variable MODEL_REVISION = the new commit of the model" in str(plans[2])
    assert server.sent(before) == []

    def look(_: hub.Plan) -> None:
        assert server.sent(before) == []

    model = hub.publish_all(trained, SOURCE, REPO, show=look)[1]
    assert variables(server) == {"MODEL_ID": REPO, "MODEL_REVISION": model.commit}
    before = len(server.requests)
    hub.publish_all(trained, SOURCE, REPO)
    assert server.sent(before) == []


@pytest.mark.parametrize("kind", ["model", "dataset"])
def test_a_tag_that_exists_stops_all_three(server: HubServer, trained: Path, kind: str) -> None:
    name = REPO if kind == "model" else DATASET
    HfApi().create_repo(name, repo_type=kind)
    HfApi().create_tag(name, tag="v1.0", repo_type=kind)
    before = len(server.requests)
    with pytest.raises(HubError, match=rf"the tag v1.0 of {name} is already on another state"):
        hub.publish_all(trained, SOURCE, REPO, tag="v1.0")
    assert server.sent(before) == []


def test_a_release_that_was_trained_on_other_data_is_not_linked_to_this(server: HubServer, trained: Path) -> None:
    with pytest.raises(HubError, match="the release was trained on other data: its train images are not those of"):
        hub.publish_all(trained, "synthetic[:217]", REPO)
    assert server.sent() == []


def test_a_release_that_was_trained_on_a_draw_of_the_data_is(server: HubServer, trained: Path) -> None:
    say_trained_on(trained, limit=9)
    assert len(hub.publish_all(trained, SOURCE, REPO, dry_run=True)) == 3


def test_each_alone_keeps_the_links_and_the_tag_of_all_three(
    server: HubServer, trained: Path, space_folder: Path
) -> None:
    hub.publish_all(trained, SOURCE, REPO, tag="v1.0")
    before = len(server.requests)
    assert not hub.publish_space(SPACE, REPO, folder=space_folder).changed
    assert not hub.publish_dataset(SOURCE, DATASET).changed
    assert not hub.publish_release(trained, REPO).changed
    assert server.sent(before) == []
    hub.publish_space(SPACE, REPO, folder=space_folder, dataset_id="ann/other")
    assert "datasets:\n- ann/other\n" in server.files("space", SPACE)["README.md"].decode()
    assert variables(server)["MODEL_REVISION"] == "v1.0"
    (trained / "history.jsonl").write_text("{}\n")
    newer = hub.publish_release(trained, REPO)
    hub.publish_space(SPACE, REPO, folder=space_folder)
    assert variables(server)["MODEL_REVISION"] == newer.commit
