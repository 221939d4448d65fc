"""The cards: every number comes from the release's own files."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from calling import printed
from complete_release import LINKS, change_json, draw_figure, estimate, explanations
from drawing import draw_lesion

from skinvision_hf.card import read_facts, render_card, write_card
from skinvision_hf.card.model import MAIN_METRICS
from skinvision_hf.card.templating import render_template
from skinvision_hf.demo.about import describe_release
from skinvision_hf.errors import ModelError
from skinvision_hf.labels import CODES, DISCLAIMER
from skinvision_hf.models.skinvision import SkinVision

ROOT = Path(__file__).resolve().parents[1]


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
    answers = [dict(line.split() for line in printed(snippet, release).splitlines()) for snippet in snippets]
    assert len(answers) == 3
    assert set(answers[0]) == set(CODES)
    assert answers[0] == answers[1] == answers[2]


def test_there_is_one_template_and_it_is_at_the_top_of_the_checkout() -> None:
    top, packaged = ROOT / "model_card.md", ROOT / "skinvision_hf" / "templates" / "model_card.md"
    assert "{{ metadata }}" in top.read_text(encoding="utf-8") and not top.is_symlink()
    assert not packaged.exists()


@pytest.mark.slow
def test_an_installed_wheel_renders_a_card(release: Path, tmp_path: Path) -> None:
    left = {".git", ".venv", "outputs", "data", *(path.name for path in ROOT.glob(".*_cache"))}
    source = shutil.copytree(ROOT, tmp_path / "source", ignore=lambda at, _: left if Path(at) == ROOT else set())
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--target", tmp_path / "site", source], check=True)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import skinvision_hf; assert skinvision_hf.__file__.startswith(sys.argv[1])\n"
        "from skinvision_hf.card import write_card, lint_card\n"
        "write_card(sys.argv[2]); assert lint_card(sys.argv[2]) == []"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path / "site", release], check=True, cwd=tmp_path)
