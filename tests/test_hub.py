"""Publishing a model against a real server: one commit or none, and a clear line for everything that can go wrong."""

import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from complete_release import draw_figure
from hub_server import REPO, TOKEN, TOKENS, HubServer
from huggingface_hub import HfApi, ModelCard

from skinvision_hf import hub
from skinvision_hf.errors import HubError, SkinVisionError
from skinvision_hf.files import sha256
from skinvision_hf.models.modeling import SkinVisionForImageClassification
from skinvision_hf.models.release import release_files
from skinvision_hf.models.skinvision import SkinVision


def files_of(release: Path) -> dict[str, bytes]:
    return {path.relative_to(release).as_posix(): path.read_bytes() for path in release_files(release)}


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
    assert server.sent(before) == []
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


def test_files_that_a_person_added_stay(server: HubServer, release: Path) -> None:
    hub.publish_release(release, REPO)
    theirs = ("notes.txt", "tokenizer.json", "onnx/model.safetensors", "figures/notes.txt", "figures/old/roc.png")
    for name in theirs:
        HfApi().upload_file(path_or_fileobj=b"mine", path_in_repo=name, repo_id=REPO)
    (release / "history.jsonl").write_text("{}\n")
    hub.publish_release(release, REPO)
    content = server.files("model", REPO)
    assert [content[name] for name in theirs] == [b"mine"] * len(theirs)


def test_only_files_of_a_release_are_sent(server: HubServer, release: Path) -> None:
    before = files_of(release)
    for name in ("optimizer.safetensors", "preprocessor_config.json", "comparison.json", "figures/draft.svg"):
        (release / name).write_text("{}")
    hub.publish_release(release, REPO)
    assert set(server.files("model", REPO)) == {".gitattributes", "README.md", *before}


def test_a_dry_run_checks_and_shows_but_sends_nothing(server: HubServer, release: Path) -> None:
    plans = []
    published = hub.publish_release(release, REPO, tag="v1.0", dry_run=True, show=plans.append)
    assert server.sent() == []
    assert "model.safetensors" in str(plans[0])
    assert "tag v1.0" in str(plans[0])
    assert published.commit is None
    (release / "metrics.json").unlink()
    with pytest.raises(SkinVisionError):
        hub.publish_release(release, REPO, dry_run=True)


def test_push_to_hub_publishes_the_loaded_release(server: HubServer, release: Path) -> None:
    published = SkinVision.from_pretrained(release).push_to_hub(REPO, private=True, tag="v1.0")
    assert published.changed
    assert server.repository("model", REPO)["private"] is True
    assert set(server.repository("model", REPO)["tags"]) == {"v1.0"}


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


def test_a_tag_never_moves(server: HubServer, release: Path) -> None:
    first = hub.publish_release(release, REPO, tag="v1.0")
    (release / "history.jsonl").write_text("{}\n")
    with pytest.raises(HubError, match=r"the tag v1.0 of ann/skinvision-b0 is already on another state"):
        hub.publish_release(release, REPO, tag="v1.0")
    assert server.repository("model", REPO)["tags"] == {"v1.0": first.commit}
    hub.publish_release(release, REPO, tag="v1.1")
    assert len(server.repository("model", REPO)["tags"]) == 2


def change_metrics(release: Path, change: Callable[[dict], object]) -> None:
    metrics = json.loads((release / "metrics.json").read_text())
    change(metrics)
    (release / "metrics.json").write_text(json.dumps(metrics))


def zero_the_classifier(release: Path) -> None:
    model = SkinVisionForImageClassification.from_pretrained(release)
    model.timm_model.get_classifier().weight.data.zero_()
    listed = json.loads((release / "config.json").read_text())
    model.save_pretrained(release)
    (release / "config.json").write_text(json.dumps(listed))


def report_on_guard(metrics: dict) -> None:
    estimate = metrics["overall"]["accuracy"]
    rates = {"auroc": estimate, "fpr95": estimate, "accepted": estimate}
    shifted = [{"shift": name, "severity": s, **rates, "accuracy": estimate} for name, s in (("none", 0), ("blur", 1))]
    splits = {"far": {"all": rates}, "comparison": {"energy": rates}, "ambiguous_accepted": {}, "shifted": shifted}
    metrics["guard"] = {"summary": "", "method": "energy", "kept": estimate, **splits}


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda r: change_metrics(r, lambda m: m["overall"]["accuracy"].update(value=None)), "has no accuracy"),
        (lambda r: change_metrics(r, lambda m: m["overall"]["accuracy"].update(value=7.5)), "an impossible accuracy"),
        (
            lambda r: change_metrics(r, lambda m: m["overall"]["accuracy"].update(value=0.5, low=None, high=None)),
            "no interval for accuracy",
        ),
        (lambda r: change_metrics(r, lambda m: m["overall"]["log_loss"].update(low=-1)), "an impossible log_loss"),
        (lambda r: change_metrics(r, lambda m: m["overall"]["ece"].update(low=0.9, high=0.1)), "an impossible ece"),
        (lambda r: change_metrics(r, lambda m: m["overall"]["ece"].update(value=float("nan"))), "no finite number"),
        (lambda r: change_metrics(r, lambda m: m["per_class"].update(mel={})), "has no sensitivity of mel"),
        (
            lambda r: change_metrics(r, lambda m: m.pop("model")),
            "measured with other weights",
        ),
        (lambda r: change_metrics(r, report_on_guard), "reports on guard.safetensors, which is missing"),
        (lambda r: (r / "guard.safetensors").write_bytes(b"x"), "guard.safetensors .* is damaged"),
        (zero_the_classifier, "measured with other weights than those of model.safetensors"),
        (lambda r: (r / "metrics.json").unlink(), "has no metrics.json"),
        (lambda r: (r / "model.safetensors").write_bytes(b"12345678"), "damaged"),
    ],
)
def test_a_release_that_is_not_fit_is_not_published(
    server: HubServer, release: Path, damage: Callable[[Path], object], message: str
) -> None:
    damage(release)
    with pytest.raises(SkinVisionError, match=message):
        hub.publish_release(release, REPO)
    assert server.sent() == []


def test_a_release_is_published_whose_numbers_leave_nothing_to_resample(server: HubServer, release: Path) -> None:
    """All answers right, and an error of calibration below that of chance: `bootstrap` gives these no interval."""

    def perfect(metrics: dict) -> None:
        metrics["overall"]["macro_f1"].update(value=1.0, low=None, high=None)
        metrics["overall"]["ece"].update(low=None, high=None)

    change_metrics(release, perfect)
    hub.publish_release(release, REPO)
    card = ModelCard(server.files("model", REPO)["README.md"].decode())
    arguments = {result.metric_name: result.metric_args for result in card.data.eval_results}
    assert "interval_95" not in arguments["Macro F1"]
    assert "interval_95" in arguments["Accuracy"]


def test_a_guard_that_config_does_not_list_is_a_fault(server: HubServer, release: Path, guarded_release: Path) -> None:
    (release / "guard.safetensors").write_bytes((guarded_release / "guard.safetensors").read_bytes())
    assert sha256(release / "model.safetensors") == sha256(guarded_release / "model.safetensors")
    with pytest.raises(HubError, match=r"lists \[\] as release_files, but there are \['guard.safetensors'\]"):
        hub.publish_release(release, REPO)


def test_a_release_that_holds_the_token_is_not_published(server: HubServer, release: Path) -> None:
    (release / "history.jsonl").write_text(json.dumps({"command": f"HF_TOKEN={TOKEN} train.py"}) + "\n")
    with pytest.raises(HubError, match=r"history.jsonl holds your token; nothing was sent") as caught:
        hub.publish_release(release, REPO)
    assert TOKEN not in str(caught.value)
    assert server.sent() == []


@pytest.mark.parametrize(
    "tag", ["v 1", "v1..0", "-v1", ".v1", "v1.", "v1.lock", "a//b", "v~1", "v1:2", "@", "v@{1}", ""]
)
def test_a_tag_that_git_would_refuse_is_refused_at_once(server: HubServer, release: Path, tag: str) -> None:
    with pytest.raises(HubError, match="cannot be a tag"):
        hub.publish_release(release, REPO, tag=tag)
    assert server.requests == []


def test_a_branch_is_no_tag_and_examples_are_no_fewer_than_none(server: HubServer, release: Path) -> None:
    with pytest.raises(HubError, match="main is a branch of ann/skinvision-b0; choose another --tag"):
        hub.publish_release(release, REPO, tag="main")
    with pytest.raises(HubError, match="--examples -1 is no number of images"):
        hub.publish_release(release, REPO, examples=-1)
    assert server.sent() == []


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
    hub.publish_release(release, REPO, examples=8, examples_from="synthetic[:210]")
    examples = [name for name in server.files("model", REPO) if name.startswith("examples/")]
    assert len(examples) == 8
    assert len({name.rpartition("-")[2] for name in examples}) == 7
    hub.publish_release(release, REPO)
    assert not any(name.startswith("examples/") for name in server.files("model", REPO))
