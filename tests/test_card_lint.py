"""The lint finds what a reader of a card would stumble over, and nothing else."""

import shutil
from pathlib import Path

import pytest
from complete_release import LINKS, complete_release
from huggingface_hub import ModelCard

from skinvision_hf.card import Links, lint_card, render_dataset_card, write_card
from skinvision_hf.data import load_ham10000

ROOT = Path(__file__).resolve().parents[1]


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
    card = render_dataset_card(
        load_ham10000("synthetic[:210]"), split_scheme="ham10000-v1", repo_id="ann/ham", links=LINKS
    )
    card.save(folder / "README.md")
    return folder


def test_the_card_of_a_data_set_has_no_fault_and_calls_drawings_drawings(dataset_card: Path) -> None:
    assert lint_card(dataset_card, repo_type="dataset") == []
    text = (dataset_card / "README.md").read_text()
    assert "# Lesions drawn in code" in text and "They show no patient." in text and "Vienna, Austria" not in text


def test_the_card_of_a_leaking_split_says_so() -> None:
    data = load_ham10000("synthetic[:210]", split_scheme="image-level-leaky")
    text = render_dataset_card(data, split_scheme="image-level-leaky", repo_id="ann/ham").text
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
