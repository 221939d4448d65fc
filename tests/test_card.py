"""The pages of a release: every number comes from its own files, and nothing that was not measured is claimed."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from calling import ROOT, printed, python
from complete_release import LINKS, change_json, draw_figure, estimate
from drawing import draw_lesion

from skinvision_hf.card import (
    CAPTIONS,
    MAIN_METRICS,
    ReleaseReport,
    render_card,
    render_dataset_card,
    render_page,
    write_card,
)
from skinvision_hf.data import load_ham10000
from skinvision_hf.errors import ModelError
from skinvision_hf.labels import CODES, DISCLAIMER
from skinvision_hf.models.release import bundled_release
from skinvision_hf.vision import SkinVision


def card(release: Path) -> str:
    return render_card(ReleaseReport.read(release)).text


def evaluation(release: Path) -> str:
    return render_page("evaluation.md", ReleaseReport.read(release))


def about(release: Path) -> str:
    return render_page("about.md", ReleaseReport.read(release))


@pytest.fixture
def measured(release: Path) -> Path:
    """A release with every section, those of the bundled one, and every figure."""
    change = {name: estimate(0.6) for name in ("accuracy", "balanced_accuracy", "ece", "relabelled", "refused")}
    rows = {"robustness": {"rows": [{"change": "none", **change}, {"change": "JPEG 75", **change}]}}
    bundled = json.loads((bundled_release() / "metrics.json").read_text())
    change_json(release / "metrics.json", lambda metrics: metrics.update(rows | bundled | metrics))
    for name in CAPTIONS:
        draw_figure(release / "figures" / f"{name}.png")
    return release


def test_a_complete_release_has_every_section_and_figure(measured: Path) -> None:
    path = write_card(measured)
    pages = [path.read_text(), (measured / "EVALUATION.md").read_text(), about(measured)]
    for page in pages:
        assert "Not measured for this release" not in page
        assert DISCLAIMER in page
        assert "\n\n\n" not in page
        # A Markdown table is one block: a header, a line of dashes, and rows of as many cells.
        for block in re.findall(r"(?:^\|.*\n)+", page, re.MULTILINE):
            rows = block.splitlines()
            assert len(rows) > 2 and re.fullmatch(r"\|( --- \|)+", rows[1]), block
            assert len({row.count("|") for row in rows}) == 1, block
    assert pages[0].count("\n") <= 260
    assert all(f"(figures/{name}.png)" in pages[1] for name in CAPTIONS)
    for name in ("the temperature", "the conformal thresholds", "the operating points", "OOD detection", "recipe"):
        assert re.search(rf"chosen on the validation split: [^.]*{name}", pages[1])
    for page in pages[:2]:
        # What a perfectly calibrated model shows by chance stands beside.
        row = next(line for line in page.splitlines() if line.startswith("| Expected calibration error | 0."))
        assert re.search(r" \| 0\.\d{3} \(0\.\d{3}\) \|$", row)
    assert re.findall(r"^## (.*)$", pages[0], re.MULTILINE) == [
        *("Intended use", "How to use", "Data", "Training", "Results by diagnosis", "Calibration", "Operating point"),
        *("What it misses", "When OOD detection refuses", "Quality of the heat maps", "Limits", "Licence", "Citation"),
    ]


def test_what_was_not_measured_says_so(release: Path) -> None:
    pages = card(release), evaluation(release)
    for page, sections in zip(pages, ("Calibration", "Robustness"), strict=True):
        body = re.search(rf"^## {sections}\n\n(.*?)^## ", page, re.DOTALL | re.MULTILINE)
        assert body[1].strip() == "Not measured for this release."
    assert pages[1].count("Not measured for this release.") >= 7


def test_the_metadata_and_links_say_what_the_hub_needs_to_know(release: Path) -> None:
    draw_figure(release / "examples" / "lesion-mel.png")
    report = ReleaseReport.read(release)
    page = render_card(report, links=LINKS)
    data = page.data
    assert data.license == "cc-by-nc-4.0"
    assert (data.library_name, data.pipeline_tag) == ("timm", "image-classification")
    assert (data.base_model, data.base_model_relation) == ("timm/tf_efficientnet_lite0.in1k", "finetune")
    assert data.datasets == ["ann/ham10000-leak-free"]
    assert "ham10000" in data.tags
    headline = {metric.title: metric for metric in MAIN_METRICS if metric.hub}
    assert {result.metric_name for result in data.eval_results} == set(headline)
    for result in data.eval_results:
        measured = report.evaluation.overall[headline[result.metric_name].name]
        assert result.metric_value == round(measured.value, 4)
        assert result.metric_args == {"interval_95": f"{measured.low:.4f} to {measured.high:.4f}"}
        assert (result.dataset_split, result.metric_type) == ("test", headline[result.metric_name].hub)
    assert data.widget[0]["src"].endswith("/ann/skinvision-b0/resolve/main/examples/lesion-mel.png")
    assert "/spaces/ann/skinvision)" in page.text and "/datasets/ann/ham10000-leak-free)" in page.text
    assert 'timm.create_model("hf-hub:ann/skinvision-b0"' in page.text


def test_the_numbers_of_the_pages_follow_the_release(measured: Path) -> None:
    def change(metrics: dict) -> None:
        metrics["overall"]["balanced_accuracy"] = {"value": 0.8125, "low": 0.7531, "high": 0.8642, "n": 4321}
        metrics["per_class"]["df"]["auc"] = {"value": 0.9375, "low": 0.9, "high": 0.95, "n": 4321}
        metrics["split"] |= {"images": 4321, "lesions": 3210}
        metrics["confusion_matrix"][CODES.index("mel")] = [1, 2, 3, 4, 50, 60, 7]
        metrics["ood"]["kept"] = estimate(0.123)
        [centre] = [scores for scores in metrics["explanations"]["maps"] if scores["map"] == "centre"]
        centre["pointing_game"] = estimate(0.4)

    change_json(measured / "metrics.json", change)
    for page in (card(measured), about(measured)):
        assert "| Balanced accuracy | 0.812 (0.753 to 0.864) |" in page
        assert "4,321 images\nof 3,210 lesions" in page or "4,321 images of 3,210 lesions" in page
        assert "| Melanoma | 127 | 50 | 74 | Melanocytic nevus |" in page
        assert "| test split | 12% (7% to 16%) |" in page
        assert "| centre-bias baseline | 40% (35% to 44%) |" in page
    row = next(line for line in card(measured).splitlines() if line.startswith("| Dermatofibroma "))
    assert "0.94 (0.90 to 0.95)" in row


def test_a_leaking_split_scheme_is_named_as_such(release: Path) -> None:
    change_json(release / "metrics.json", lambda m: m["split"].update(scheme="image-level-leaky"))
    text = card(release)
    assert "numbers below are too high" in text and "none of which is in the training data" not in text
    assert "drawn at random by image" in text
    assert "too high" in about(release) and "by image, which leaks" in evaluation(release)


def test_synthetic_lesions_are_never_called_ham10000(release: Path) -> None:
    change_json(release / "metrics.json", lambda m: m["split"].update(scheme="synthetic, ham10000-v1"))
    page = render_card(ReleaseReport.read(release))
    assert "It knows nothing about skin" in page.text and "It knows nothing about skin" in about(release)
    assert "Vienna, Austria" not in page.text + about(release)
    assert page.data.datasets == ["synthetic"] and "ham10000" not in page.data.tags


def test_every_item_of_the_reporting_guidelines_is_answered(release: Path) -> None:
    page = evaluation(release)
    rows = re.findall(r"^\| [^|]+ \| ([^|]*) \| ?([^|]*) ?\| [^|]+ \|$", page, re.MULTILINE)
    tripod = {int(number) for items, _ in rows for number in re.findall(r"\b(\d+)[a-g]?\b", items)}
    claim = {int(number) for _, items in rows for number in re.findall(r"\b(\d+)\b", items)}
    assert set(range(1, 28)) <= tripod
    assert set(range(1, 45)) <= claim
    for topic in ("Funding and interests", "Protocol and registration", "Patients and the public"):
        assert re.search(rf"^\| {topic} \|.*\| Not stated by the publisher \|$", page, re.MULTILINE)


def test_a_training_of_one_step_is_told_as_one(release: Path) -> None:
    text, page = card(release), evaluation(release)
    assert "| setting | value |" in text
    assert "| initial weights | ImageNet (EfficientNet-Lite0) |" in text
    assert "| epoch kept | last |" in text
    assert "| loss | cross-entropy, class weights `sqrt`, label smoothing 0.05, mixup 0.1 |" in text
    assert "| duration | 1.5 hours on 2 x86_64 cores, cpu |" in text
    assert "Step 1" not in page
    assert page.count("```bash") == 1
    assert re.search(r"^\| Updating \|.*\| Not done \|$", page, re.MULTILINE)


def test_a_training_of_two_steps_tells_both(release: Path) -> None:
    def two_steps(record: dict) -> None:
        """Put a step before, as an older version recorded it."""
        first = json.loads(json.dumps(record)) | {"command": "accelerate launch scripts/train.py --output_dir first"}
        del first["seconds"], first["hardware"]
        first["config"]["monitor"] = "balanced_accuracy"
        first["config"]["forgotten_setting"] = 3
        record["previous"] = [first]
        record["config"]["model"]["init"] = "first"
        record["config"]["head"] = record["config"]["head"] | {"epochs": 0}
        record["best"] = {"phase": "finetune", "epoch": 17, "metric": "balanced_accuracy", "value": 0.7}

    change_json(release / "training.json", two_steps)
    report = ReleaseReport.read(release)
    page = render_card(report)
    assert "| setting | step 1 | step 2 |" in page.text
    assert "| initial weights | ImageNet (EfficientNet-Lite0) | result of step 1 |" in page.text
    assert "| epoch kept | not recorded | epoch 17, best validation balanced accuracy |" in page.text
    assert "| duration | not recorded | 1.5 hours" in page.text
    assert page.data.base_model == "timm/tf_efficientnet_lite0.in1k"
    assert "--output_dir first\n" in evaluation(release) and "--output_dir main\n" in evaluation(release)
    assert "The weights went through 2 trainings" in evaluation(release)
    change_json(
        release / "training.json", lambda record: record["previous"][0].update(split_scheme="image-level-leaky")
    )
    assert "numbers below are too high" in card(release)


def test_a_release_that_started_from_another_names_its_base_model(release: Path) -> None:
    change_json(release / "training.json", lambda record: record["config"]["model"].update(init="first"))
    change_json(release / "config.json", lambda c: c.update(initial_weights={"source": "first", "origin": "lite0"}))
    assert render_card(ReleaseReport.read(release)).data.base_model == "timm/tf_efficientnet_lite0.in1k"
    assert "| initial weights | `first` |" in card(release)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda r: (r / "metrics.json").unlink(), "has no metrics.json; train and evaluate"),
        (lambda r: (r / "metrics.json").write_text("{"), "metrics.json is not valid JSON"),
        (lambda r: change_json(r / "metrics.json", lambda m: m.pop("split")), "split is missing"),
        (lambda r: change_json(r / "metrics.json", lambda m: m["per_class"].pop("mel")), "needs a value .*'mel'"),
        (lambda r: change_json(r / "metrics.json", lambda m: m.update(overall=3)), "overall is not valid"),
        (lambda r: change_json(r / "training.json", lambda t: t.pop("images")), "training.json: images is missing"),
        (lambda r: change_json(r / "config.json", lambda c: c.pop("architecture")), "has no 'architecture'"),
    ],
)
def test_a_damaged_release_is_refused_in_one_line(
    release: Path, damage: Callable[[Path], object], message: str
) -> None:
    damage(release)
    with pytest.raises(ModelError, match=message) as raised:
        write_card(release)
    assert "\n" not in str(raised.value)


def test_the_number_of_parameters_leaves_out_statistics(release: Path) -> None:
    network = SkinVision.from_pretrained(release).model.timm_model
    assert ReleaseReport.read(release).parameters == sum(parameter.numel() for parameter in network.parameters())


def test_each_snippet_of_a_local_card_runs_and_gives_the_same_probabilities(release: Path) -> None:
    draw_lesion(3).save(release / "lesion.jpg", quality=95)
    snippets = re.findall(r"```python\n(.*?)```", card(release), re.DOTALL)
    answers = [dict(line.split() for line in printed(snippet, release).splitlines()) for snippet in snippets]
    assert len(answers) == 3
    assert set(answers[0]) == set(CODES)
    assert answers[0] == answers[1] == answers[2]


def test_the_card_of_a_data_set_counts_what_is_in_it() -> None:
    data = load_ham10000("synthetic[:210]", split_scheme="ham10000-v1")
    page = render_dataset_card(data, repo_id="ann/lesions", links=LINKS)
    assert page.data.license == "cc-by-nc-4.0"
    assert [entry["split"] for entry in page.data.configs[0]["data_files"]] == list(data)
    assert 'load_dataset("ann/lesions")' in page.text and DISCLAIMER in page.text
    assert "drawn in code" in page.text and "/ann/skinvision-b0)" in page.text
    for name, split in data.items():
        assert f"| {name} | {len(split):,} | {len(set(split['lesion_id'])):,} |" in page.text


@pytest.mark.slow
def test_an_installed_wheel_renders_a_card(release: Path, tmp_path: Path) -> None:
    left = {".git", ".venv", "outputs", "data", *(path.name for path in ROOT.glob(".*_cache"))}
    source = shutil.copytree(ROOT, tmp_path / "source", ignore=lambda at, _: left if Path(at) == ROOT else set())
    install = ("-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index")
    python(*install, "--target", tmp_path / "site", source, check=True)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import skinvision_hf; assert skinvision_hf.__file__.startswith(sys.argv[1])\n"
        "from skinvision_hf.card import write_card\n"
        "write_card(sys.argv[2])"
    )
    python("-c", code, tmp_path / "site", release, check=True, cwd=tmp_path)
