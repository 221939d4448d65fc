"""The cards: every number comes from the release's own files, and the lint finds what a reader would stumble over."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from complete_release import complete_release, draw_figure, estimate, explanations
from drawing import draw_lesion
from huggingface_hub import ModelCard

from skinvision_hf.card import Links, lint_card, read_facts, render_card, render_dataset_card, write_card
from skinvision_hf.card.model import MAIN_METRICS
from skinvision_hf.card.templating import render_template
from skinvision_hf.card.wording import duration
from skinvision_hf.data import load_ham10000
from skinvision_hf.demo.about import describe_release
from skinvision_hf.errors import ModelError
from skinvision_hf.inference import SkinVision
from skinvision_hf.labels import CODES, DISCLAIMER

LINKS = Links("ann/skinvision-b0", "ann/ham10000-leak-free", "ann/skinvision")
ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def release(tiny_release: Path, tmp_path: Path) -> Path:
    return complete_release(tiny_release, tmp_path / "release")


def change_json(path: Path, change: Callable[[dict], object]) -> None:
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def test_the_metadata_says_what_the_hub_needs_to_know(release: Path) -> None:
    data = render_card(release, links=LINKS).data
    assert data.license == "cc-by-nc-4.0"
    assert (data.library_name, data.pipeline_tag) == ("timm", "image-classification")
    assert (data.base_model, data.base_model_relation) == ("timm/tf_efficientnet_lite0.in1k", "finetune")
    assert data.datasets == ["ann/ham10000-leak-free"]
    assert {"accuracy", "balanced_accuracy", "f1", "roc_auc"} <= set(data.metrics)
    assert "ham10000" in data.tags


def test_a_release_that_went_on_from_another_names_both(release: Path) -> None:
    change_json(release / "training.json", lambda record: record["config"]["model"].update(init="first"))
    started = {"source": "first", "origin": "lite0"}
    change_json(release / "config.json", lambda config: config.update(initial_weights=started))
    card = render_card(release)
    assert card.data.base_model == "timm/tf_efficientnet_lite0.in1k"
    assert "the weights `first`, which were trained from ImageNet weights of EfficientNet-Lite0" in card.text


def test_the_model_index_holds_every_main_metric_with_its_split_and_interval(release: Path) -> None:
    measured = json.loads((release / "metrics.json").read_text())["overall"]
    results = {result.metric_name: result for result in render_card(release, links=LINKS).data.eval_results}
    assert len(results) == len(MAIN_METRICS)
    for metric in MAIN_METRICS:
        result, estimate = results[metric.title], measured[metric.name]
        assert result.metric_value == round(estimate["value"], 4)
        assert result.metric_args["interval_95"] == [round(estimate["low"], 4), round(estimate["high"], 4)]
        assert result.dataset_split == "test"
        assert result.dataset_args["split"] == "ham10000-v1"


def test_the_numbers_of_the_text_follow_the_release(release: Path) -> None:
    def change(metrics: dict) -> None:
        metrics["overall"]["balanced_accuracy"] = {"value": 0.8125, "low": 0.7531, "high": 0.8642, "n": 4321}
        metrics["per_class"]["df"]["auc"] = {"value": 0.9375, "low": 0.9, "high": 0.95, "n": 4321}
        metrics["split"] |= {"images": 4321, "lesions": 3210}

    change_json(release / "metrics.json", change)
    change_json(release / "training.json", lambda t: t.update(command="accelerate launch scripts/train.py --seed 77"))
    text = render_card(release, links=LINKS).text
    assert "| Balanced accuracy | 0.812 (0.753 to 0.864) |" in text
    assert "0.94 (0.90 to 0.95)" in next(line for line in text.splitlines() if line.startswith("| Dermatofibroma | "))
    assert "4,321 images of 3,210 lesions" in text
    assert "accelerate launch scripts/train.py --seed 77" in text
    assert DISCLAIMER in text


def two_steps(record: dict) -> None:
    """Put a step before, as older versions recorded it."""
    first = json.loads(json.dumps(record)) | {"command": "accelerate launch scripts/train.py --output_dir first"}
    del first["seconds"], first["best"], first["hardware"]
    for name in ("logit_adjustment", "cutmix_alpha"):
        first["config"]["loss"].pop(name, None)
    for name in ("resolution", "first_resolution"):
        first["config"].get("augment", {}).pop(name, None)
    record["previous"] = [first]
    record["config"]["model"]["init"] = "first"
    record["config"]["head"] = record["config"]["head"] | {"epochs": 0}


def test_a_training_of_one_step_is_told_as_one(release: Path) -> None:
    text = render_card(release).text
    procedure = text.partition("## Training procedure")[2].partition("## Evaluation")[0]
    assert "### Step" not in procedure
    assert procedure.count("```bash") == 1
    assert "epoch 17 of 2 in the phase that trains all layers" in procedure
    assert "| compute | 1.5 hours on 2 cores (x86_64), device `cpu`; emissions were not measured |" in procedure
    assert re.search(r"^\| Updating \|.*\| Not done \|$", text, re.MULTILINE)


def test_a_training_of_two_steps_tells_both(release: Path) -> None:
    change_json(release / "training.json", two_steps)
    card = render_card(release)
    first, second = re.split(r"^### Step \d of 2$", card.text, flags=re.MULTILINE)[1:]
    second = second.partition("## Evaluation")[0]
    assert "--output_dir first\n" in first and "--output_dir main\n" in second
    assert "| initial weights | ImageNet weights of EfficientNet-Lite0" in first
    assert "| initial weights | the result of step 1, `first` |" in second
    assert "Which epoch was kept is not on record." in first and "epoch 17" in second
    assert "logit adjustment" not in first and "CutMix" not in first and "of the input's side" not in first
    assert "| compute | duration not on record |" in first and "| compute | 1.5 hours on 2 cores" in second
    assert "Two phases" in first and "All layers were trained together." in second
    assert "How long all of them took together is not on record." in card.text
    assert "The weights went through 2 trainings" in card.text
    assert card.data.base_model == "timm/tf_efficientnet_lite0.in1k"
    write_card(release)
    assert lint_card(release) == []


def test_the_total_of_all_steps_is_told_where_it_is_known(release: Path) -> None:
    change_json(release / "training.json", two_steps)
    change_json(release / "training.json", lambda record: record["previous"][0].update(seconds=7200.0))
    assert f"Together they took {duration(7200.0 + 5432.1)}." in render_card(release).text


def test_a_step_on_other_images_is_told(release: Path) -> None:
    change_json(release / "training.json", two_steps)
    assert "not those of the last step" not in render_card(release).text
    leaky = {"split": "image-level-leaky", "data_fingerprint": {"train": "f" * 64}}
    change_json(release / "training.json", lambda record: record["previous"][0].update(leaky))
    text = render_card(release).text
    assert "of `image-level-leaky`; **not those of the last step**" in text
    assert "The numbers below are too good" in text and "that it had never seen" not in text
    assert "too good" in describe_release(release).text


def test_what_a_record_lacks_was_off(release: Path) -> None:
    text = render_card(release).text
    assert "growing from" not in text and "CutMix" not in text and "logit adjustment" not in text


@pytest.mark.parametrize(
    ("distill", "told"),
    [
        (
            {"teachers": ["a"], "logit_adjustment": 0.0},
            "the answers of `a` to the same pixels, in place of the labels |",
        ),
        (
            {"teachers": ["a", "b"], "logit_adjustment": 0.5, "weight": 0.7, "views": 4},
            "the mean answers of `a`, `b` to the same pixels, mirrored and turned to 4 views, "
            "each times the class frequencies to the power of 0.5, 70% of the target",
        ),
    ],
)
def test_teachers_are_told(release: Path, distill: dict, told: str) -> None:
    assert "| learned from |" not in render_card(release).text
    change_json(release / "training.json", lambda record: record["config"].update(distill=distill))
    assert f"| learned from | {told}" in render_card(release).text


@pytest.mark.parametrize(
    ("resolution", "first", "told"),
    [
        (0.8, 0.0, "of the image, at 80% of the input's side,"),
        (0.8, 0.5, "of the image, growing from 50% to 80% of the input's side,"),
        (1.0, 0.5, "of the image, growing from 50% to 100% of the input's side,"),
    ],
)
def test_the_size_of_training_images_is_told(release: Path, resolution: float, first: float, told: str) -> None:
    sizes = {"resolution": resolution, "first_resolution": first}
    change_json(release / "training.json", lambda record: record["config"].update(augment=sizes))
    assert told in render_card(release).text


@pytest.mark.parametrize(("warmup", "told"), [(True, "decay 0.998 |"), (False, "decay 0.998 from the first step on |")])
def test_how_the_weights_were_averaged_is_told(release: Path, warmup: bool, told: str) -> None:
    averaging = {"ema_decay": 0.998, "ema_warmup": warmup}
    change_json(release / "training.json", lambda record: record["config"]["finetune"].update(averaging))
    assert told in render_card(release).text


@pytest.mark.parametrize(
    "forget",
    [
        lambda config: config["loss"].pop("class_weights"),
        lambda config: config["model"].pop("drop_path_rate"),
        lambda config: config.pop("seed"),
        lambda config: config.pop("augment", None),
        lambda config: config["head"].pop("ema_decay"),
        lambda config: config.update(forgotten_setting=3),
    ],
)
def test_settings_of_other_versions_are_no_obstacle(release: Path, forget: Callable[[dict], object]) -> None:
    change_json(release / "training.json", lambda record: forget(record["config"]))
    text = render_card(release).text
    assert "stochastic depth 0.2" in text and "| seed | 0 |" in text


def test_an_impossible_setting_is_refused_in_one_line(release: Path) -> None:
    change_json(release / "training.json", lambda record: record["config"].update(batch_size=-3))
    with pytest.raises(ModelError, match=r"a setting that cannot be \(batch_size is -3"):
        render_card(release)


def test_a_template_that_asks_for_too_much_is_refused_in_one_line() -> None:
    with pytest.raises(
        ModelError, match=r"about.md asks for a value that this release does not have \('facts'"
    ) as raised:
        render_template("about.md")
    assert "\n" not in str(raised.value)


def test_nothing_is_said_for_the_publisher_and_nothing_beyond_the_record(release: Path) -> None:
    text = render_card(release).text
    for topic in ("Funding and interests", "Protocol and registration", "Patients and the public"):
        assert re.search(rf"^\| {topic} \|.*\| Not stated by the publisher \|$", text, re.MULTILINE)
    assert "read once" not in text


def test_the_level_of_the_intervals_is_that_of_the_estimates(release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("skinvision_hf.card.templating.LEVEL", 0.9)
    for text in (render_card(release).text, describe_release(release).text):
        assert "90% interval" in text
        assert not re.search(r"95 ?% (bootstrap )?interval", text)


def test_validation_numbers_are_called_optimistic_with_all_that_they_chose(release: Path) -> None:
    assert "Chosen on the same validation images were the epoch; and so" in render_card(release).text
    change_json(release / "metrics.json", lambda m: m.update(explanations=explanations()))
    assert "were the epoch, the way of drawing heat maps; and so" in render_card(release).text


def test_both_pages_say_what_heat_maps_show(release: Path) -> None:
    change_json(release / "metrics.json", lambda m: m.update(explanations=explanations()))
    for text in (render_card(release).text, describe_release(release).text):
        assert "What heat maps show." in text


def test_a_number_looks_the_same_wherever_it_stands(release: Path) -> None:
    def change(metrics: dict) -> None:
        errors = {name: estimate(0.055) for name in ("ece", "classwise_ece", "brier_score", "log_loss")}
        errors["per_class"] = {code: estimate(0.055) for code in CODES}
        metrics["calibration"] = {"temperature": 1.5, "before": errors, "after": errors}
        metrics["overall"]["ece"] = estimate(0.055)
        metrics["per_class"]["nv"]["sensitivity"] = estimate(0.9, 1005)

    change_json(release / "metrics.json", change)
    text = render_card(release).text
    assert "| Expected calibration error (0 is best) | 210 | 0.055 (0.005 to 0.095) |" in text
    assert "| Expected calibration error | 0.055 (0.005 to 0.095) |" in text
    for page in (text, describe_release(release).text):
        assert "| Melanocytic nevus | 1,005 |" in page


def test_drawn_lesions_are_never_called_ham10000(release: Path) -> None:
    change_json(release / "metrics.json", lambda m: m["split"].update(name="synthetic, ham10000-v1"))
    about = describe_release(release).text
    assert "trained on HAM10000" not in about and "lesions drawn in code" in about


def test_a_section_that_was_not_measured_says_so(release: Path) -> None:
    text = render_card(release).text
    for section in ("Calibration", "Explanations"):
        body = re.search(rf"^## {section}\n(.*?)^## ", text, re.DOTALL | re.MULTILINE)
        assert body is not None
        assert "Not measured for this release." in body.group(1)


def test_a_leaking_split_is_named_as_such(release: Path) -> None:
    change_json(release / "metrics.json", lambda m: m["split"].update(name="image-level-leaky"))
    text = render_card(release).text
    assert "too good" in text
    assert "by image, which leaks" in text
    assert "keeps all photographs of one lesion together" not in text


def test_every_item_of_the_reporting_guidelines_is_answered(release: Path) -> None:
    rows = re.findall(r"^\| [^|]+ \| ([^|]*) \| ?([^|]*) ?\| [^|]+ \|$", render_card(release).text, re.MULTILINE)
    tripod = {int(number) for items, _ in rows for number in re.findall(r"\b(\d+)[a-g]?\b", items)}
    claim = {int(number) for _, items in rows for number in re.findall(r"\b(\d+)\b", items)}
    assert set(range(1, 28)) <= tripod
    assert set(range(1, 45)) <= claim


def test_figures_and_examples_of_the_release_are_shown(release: Path) -> None:
    draw_figure(release / "figures" / "roc_curve.png")
    draw_figure(release / "examples" / "lesion-mel.png")
    card = render_card(release, links=LINKS)
    assert "(figures/confusion_matrix.png)" in card.text
    assert "![Roc curve](figures/roc_curve.png)" in card.text
    assert card.data.widget[0]["src"].endswith("/ann/skinvision-b0/resolve/main/examples/lesion-mel.png")


@pytest.mark.parametrize("links", [LINKS, Links()])
def test_a_card_of_ours_has_no_fault(release: Path, links: Links) -> None:
    path = write_card(release, links=links)
    assert path == release / "README.md"
    assert lint_card(release) == []
    assert ModelCard.load(path).data.pipeline_tag == "image-classification"


@pytest.fixture(scope="module")
def written(tiny_release: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release with its card, for tests that change nothing but a copy of the card."""
    release = complete_release(tiny_release, tmp_path_factory.mktemp("written") / "release")
    write_card(release)
    (release.parent / "outside.md").write_text("not part of the release")
    return release


def with_card(folder: Path, target: Path, old: str, new: str) -> Path:
    """A copy of a folder in whose card something is replaced."""
    shutil.copytree(folder, target / "copy")
    shutil.copy(ROOT / "LICENSE", target / "outside.md")
    path = target / "copy" / "README.md"
    content = path.read_text()
    assert old in content
    path.write_text(content.replace(old, new))
    return path.parent


SUMMARY = "## Summary\n"


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        (SUMMARY, "## Summary {{ value }}", "unresolved placeholder: {{"),
        (SUMMARY, SUMMARY + "[More Information Needed]", "unresolved placeholder: [More"),
        ("language: en", "language: TODO", "metadata has an unresolved placeholder: TODO"),
        ("license: cc-by-nc-4.0\n", "", "metadata lacks license"),
        ("license: cc-by-nc-4.0", "license: my-licence", "license 'my-licence' is not a licence that the Hub knows"),
        ("license: cc-by-nc-4.0", "license: CC-BY-NC-4.0", "license 'CC-BY-NC-4.0' is not"),
        ("pipeline_tag: image-classification", "pipeline_tag: banana", "pipeline_tag 'banana' is not a task"),
        ("base_model: timm/tf_efficientnet_lite0.in1k", "base_model: 7", "base_model 7 is not the name of a repo"),
        ("base_model_relation: finetune", "base_model_relation: cousin", "base_model_relation 'cousin' is not one of"),
        ("datasets:\n- HAM10000", "datasets:\n- a/b/c", "datasets 'a/b/c' is not the name of a repository"),
        ("library_name: timm", "library_name: 7", "library_name 7 is not a text"),
        ("language: en", "language: English", "language 'English' is not a code"),
        ("  results:\n", "  results: : [\n", "metadata is no YAML"),
        ("model-index:\n", "model-index: 7\nother:\n", "the Hub's client cannot read the metadata"),
        ("name: Log loss", "name: Log lost", "model-index lacks Log loss"),
        (
            "name: Macro F1\n      args:\n        interval_95:",
            "name: Macro F1\n      args:\n        r:",
            "has no interval",
        ),
        (
            "type: balanced_accuracy\n      value: 0.",
            "type: balanced_accuracy\n      value: .nan #",
            "no finite number",
        ),
        (
            "type: balanced_accuracy\n      value: 0.",
            "type: balanced_accuracy\n      value: -.inf #",
            "no finite number",
        ),
        ("type: balanced_accuracy\n      value: 0.", "type: balanced_accuracy\n      value: null #", "has no value"),
        ("type: balanced_accuracy\n      value: 0.", "type: balanced_accuracy\n      value: good #", "has no value"),
        ("interval_95:\n        - 0.", "interval_95:\n        - null #", "has no interval"),
        ("interval_95:\n        - 0.", "interval_95:\n        - 2.", "has an interval whose ends are swapped"),
        ("interval_95:", "range:", "has no interval"),
        ("      split: test\n", "", "names no split"),
        ("| Accuracy | 0.", "| Accuracy | nan ", "shows nan where a value belongs"),
        ("| Accuracy | 0.", "| Accuracy | -nan ", "shows -nan where a value belongs"),
        ("| Accuracy | 0.", "| Accuracy | NAN ", "shows NAN where a value belongs"),
        ("| Accuracy | 0.", "| Accuracy | -inf ", "shows -inf where a value belongs"),
        ("| Accuracy | 0.", "| Accuracy | **Infinity** ", "shows Infinity where a value belongs"),
        ("| Accuracy | 0.", "| Accuracy | None | 0.", "shows None where a value belongs"),
        ("| Accuracy | 0.", "| Accuracy | 0.5 (None to None) | 0.", "shows (None to None) where a value belongs"),
        (SUMMARY, SUMMARY + "<p>nan</p>\n\n", "shows nan where a value belongs"),
        ("figures/confusion_matrix.png", "figures/lost.png", "the figure figures/lost.png is named but not"),
        (SUMMARY, SUMMARY + '![x](figures/lost.png "title")', "the figure figures/lost.png is named but not"),
        (SUMMARY, SUMMARY + "![x][lost]\n\n[lost]: figures/lost.png", "the figure figures/lost.png is named but not"),
        (SUMMARY, SUMMARY + "See [more][nowhere].", "the reference [more][nowhere] leads nowhere"),
        (SUMMARY, SUMMARY + "<a href='lost.md'>more</a>", "the link lost.md is named but not"),
        (SUMMARY, SUMMARY + "<img alt='x'\nsrc='figures/lost.png'>", "the figure figures/lost.png is named but not"),
        (SUMMARY, SUMMARY + "The figure figures/lost.png says it.", "the figure figures/lost.png is named but not"),
        (SUMMARY, SUMMARY + "See `figures/lost.png`.", "the figure figures/lost.png is named but not"),
        (SUMMARY, SUMMARY + "All is in `lost.json`.", "the link lost.json is named but not"),
        (SUMMARY, SUMMARY + "[more](docs/absent.md)", "the link docs/absent.md is named but not"),
        (SUMMARY, SUMMARY + "[more](#nowhere)", "the link #nowhere leads to no section"),
        (SUMMARY, SUMMARY + "[more](../outside.md)", "the link ../outside.md is named but not"),
        ("## Limits and bias", "## Other", "the section 'Limits and bias' is missing"),
        (SUMMARY, "## What it is\n", "the section 'Summary' is missing"),
        ("## Disclaimer", "## End", "the section 'Disclaimer' is missing"),
        ("not a medical device", "a device", "nothing says that this is not a medical device"),
    ],
)
def test_the_lint_finds(written: Path, tmp_path: Path, old: str, new: str, fault: str) -> None:
    found = lint_card(with_card(written, tmp_path, old, new))
    assert any(fault in line for line in found), found


@pytest.mark.parametrize(
    "text",
    [
        "None of these lesions is new, and to infinity it is far. Info: [0, 1).",
        "See <https://example.org/lost.png>, [there](https://example.org/lost.png) and https://example.org/lost.json.",
        "![ok](figures/confusion_matrix.png 'title'), [metrics](metrics.json?raw=true), [up](#limits-and-bias)",
        '```json\n{"value": NaN, "figure": "figures/lost.png"}\n```\n`None`',
        "| a |\n| --- |\n| n/a |\n",
    ],
)
def test_the_lint_leaves_sound_text_alone(written: Path, tmp_path: Path, text: str) -> None:
    assert lint_card(with_card(written, tmp_path, SUMMARY, f"{SUMMARY}\n{text}\n\n")) == []


@pytest.fixture(scope="module")
def dataset_card(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dataset")
    card = render_dataset_card(load_ham10000("synthetic[:210]"), split="ham10000-v1", repo_id="ann/ham", links=LINKS)
    card.save(folder / "README.md")
    return folder


def test_the_card_of_a_data_set_has_no_fault_and_calls_drawings_drawings(dataset_card: Path) -> None:
    assert lint_card(dataset_card, repo_type="dataset") == []
    text = (dataset_card / "README.md").read_text()
    assert "# Lesions drawn in code" in text and "They show no patient." in text and "Vienna, Austria" not in text


def test_the_card_of_a_leaking_split_says_so() -> None:
    data = load_ham10000("synthetic[:210]", split="image-level-leaky")
    text = render_dataset_card(data, split="image-level-leaky", repo_id="ann/ham").text
    assert "this split leaks" in text and "in training and in test" in text
    assert "no lesion is on two sides" not in text


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("license: cc-by-nc-4.0\n", "", "metadata lacks license"),
        ("- image-classification", "- banana", "task_categories 'banana' is not a task"),
        ("- n<1K", "- many", "size_categories 'many' is not one of"),
        ("    path: data/test-*.parquet\n", "", "data_files has no split and path for each part"),
        ("## Columns", "## Other", "the section 'Columns' is missing"),
        ("## Columns", "{% if %}\n## Columns", "unresolved placeholder: {%"),
        ("## Columns", "[x](lost.md)\n\n## Columns", "the link lost.md is named but not"),
    ],
)
def test_the_lint_of_a_data_set_finds(dataset_card: Path, tmp_path: Path, old: str, new: str, fault: str) -> None:
    found = lint_card(with_card(dataset_card, tmp_path, old, new), repo_type="dataset")
    assert any(fault in line for line in found), found


SPACES = (ROOT / "space", ROOT / "skinvision_hf" / "metrics" / "skin_lesion_metrics")


@pytest.mark.parametrize("folder", SPACES, ids=lambda folder: folder.name)
def test_the_cards_of_our_spaces_have_no_fault(folder: Path) -> None:
    assert lint_card(folder, repo_type="space") == []


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("title: SkinVision\n", "", "metadata lacks title"),
        ("sdk: gradio", "sdk: paper", "sdk 'paper' is not one of"),
        ("sdk_version: 6", "sdk_version: x", "is not a full version"),
        ("app_file: app.py", "app_file: lost.py", "app_file lost.py is not in the folder"),
        ("colorFrom: green", "colorFrom: mauve", "colorFrom 'mauve' is not one of"),
        ("short_description: ", "short_description: " + 40 * "x", "short_description"),
        ("models: []", "models: [7]", "models 7 is not the name of a repository"),
        ("# SkinVision\n", "# SkinVision\n[x](lost.md) TBD\n", "the link lost.md is named but not"),
        ("# SkinVision\n", "# SkinVision\n[x](lost.md) TBD\n", "unresolved placeholder: TBD"),
        ("Not a medical device", "Fine", "nothing says that this is not a medical device"),
    ],
)
def test_the_lint_of_a_space_finds(tmp_path: Path, old: str, new: str, fault: str) -> None:
    found = lint_card(with_card(SPACES[0], tmp_path, old, new), repo_type="space")
    assert any(fault in line for line in found), found


def test_the_lint_finds_a_missing_card_and_missing_metadata(release: Path) -> None:
    assert lint_card(release) == ["README.md is missing"]
    (release / "README.md").write_text("# A model\n")
    assert lint_card(release) == ["README.md has no metadata block between lines of ---"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda r: (r / "metrics.json").unlink(), "has no metrics.json; evaluate it with scripts/evaluate_model.py"),
        (lambda r: (r / "training.json").unlink(), "has no training.json"),
        (lambda r: (r / "metrics.json").write_text("{"), "metrics.json is no JSON"),
        (lambda r: (r / "metrics.json").write_text("[]"), "holds no JSON object"),
        (lambda r: change_json(r / "metrics.json", lambda m: m.pop("split")), "lacks the field 'split'"),
        (lambda r: change_json(r / "metrics.json", lambda m: m["per_class"].pop("mel")), "lacks the field 'mel'"),
        (lambda r: change_json(r / "metrics.json", lambda m: m.update(overall=3)), "a field of the wrong kind"),
        (lambda r: (r / "model.safetensors").write_bytes(b"no weights"), "model.safetensors is damaged"),
    ],
)
def test_a_release_that_lacks_something_is_refused(
    release: Path, damage: Callable[[Path], object], message: str
) -> None:
    damage(release)
    with pytest.raises(ModelError, match=message):
        render_card(release)


def test_the_number_of_parameters_leaves_out_statistics(release: Path) -> None:
    network = SkinVision.from_pretrained(release).model.timm_model
    assert read_facts(release).parameters == sum(parameter.numel() for parameter in network.parameters())


def test_each_snippet_of_a_local_card_runs_and_gives_the_same_probabilities(release: Path, tmp_path: Path) -> None:
    write_card(release)
    draw_lesion(3).save(release / "lesion.jpg", quality=95)
    snippets = re.findall(r"```python\n(.*?)```", (release / "README.md").read_text(), re.DOTALL)
    answers = []
    for snippet in snippets:
        run = subprocess.run([sys.executable, "-c", snippet], cwd=release, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        answers.append(dict(line.split() for line in run.stdout.splitlines()))
    assert len(answers) == 3
    assert set(answers[0]) == set(CODES)
    assert answers[0] == answers[1] == answers[2]


def test_there_is_one_template_and_it_is_at_the_top_of_the_checkout() -> None:
    top, packaged = ROOT / "model_card.md", ROOT / "skinvision_hf" / "templates" / "model_card.md"
    assert "{{ metadata }}" in top.read_text(encoding="utf-8") and not top.is_symlink()
    assert not packaged.exists()


@pytest.mark.slow
def test_an_installed_wheel_renders_a_card(release: Path, tmp_path: Path) -> None:
    source = shutil.copytree(
        ROOT, tmp_path / "source", ignore=shutil.ignore_patterns(".git", ".venv", ".*_cache", "outputs")
    )
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--target", tmp_path / "site", source], check=True)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import skinvision_hf; assert skinvision_hf.__file__.startswith(sys.argv[1])\n"
        "from skinvision_hf.card import write_card, lint_card\n"
        "write_card(sys.argv[2]); assert lint_card(sys.argv[2]) == []"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path / "site", release], check=True, cwd=tmp_path)
