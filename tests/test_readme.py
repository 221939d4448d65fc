"""The README keeps its word: commands exist, snippets run, links lead somewhere, numbers are the release's."""

import json
import re
import shlex
from contextlib import redirect_stdout
from functools import cache
from io import StringIO
from pathlib import Path

import pytest
from calling import call, printed
from drawing import draw_lesion

from skinvision_hf.evaluation.bootstrap import Estimate
from skinvision_hf.evaluation.report import CLASS_METRICS, SHOWN, metric_title
from skinvision_hf.labels import DISCLAIMER

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
LINES = [line for kind, block in BLOCKS if kind == "bash" for line in block.replace("\\\n", " ").splitlines()]
COMMANDS = [line for line in LINES if re.search(r"\bscripts/\w+\.py|^skinvision\b", line)]
SNIPPETS = [block for kind, block in BLOCKS if kind == "python"]
BUNDLED = ROOT / "skinvision_hf" / "pretrained"
COMPARED = ("accuracy", "balanced_accuracy", "macro_f1", "mean_auc")


@cache
def help_of(*command: str) -> str:
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()) as output:
        patch.setenv("COLUMNS", "200")
        assert call(ROOT / command[0], *command[1:], "--help") == 0
    return output.getvalue()


@pytest.mark.parametrize("line", COMMANDS)
def test_every_flag_of_a_command_exists(line: str) -> None:
    words = shlex.split(line, comments=True)
    script = next((word for word in words if word.startswith("scripts/")), None)
    if script is None:
        text, words = help_of("skinvision_hf/cli.py", words[1]), words[2:]
    else:
        subcommand = [words[words.index(script) + 1]] if script == "scripts/benchmark.py" else []
        text, words = help_of(script, *subcommand), words[words.index(script) + 1 :]
    for flag in (word.partition("=")[0] for word in words if word.startswith("--")):
        assert re.search(rf"(?<![\w-]){re.escape(flag)}(?![\w-])", text), f"{flag} is no option of {line}"


@pytest.mark.parametrize("snippet", [code for code in SNIPPETS if "gradio_client" not in code])
def test_every_snippet_runs_on_the_bundled_release(snippet: str, tmp_path: Path) -> None:
    draw_lesion().save(tmp_path / "photo.jpg")
    printed(snippet.replace("path/to/release", str(BUNDLED)), tmp_path)


def test_the_links_lead_to_files() -> None:
    targets = [target for target in re.findall(r"\]\(([^)#]+)\)", TEXT) if "://" not in target]
    assert targets
    assert not [target for target in targets if not (ROOT / target).exists()]


def test_the_disclaimer_is_on_the_first_screen_and_at_the_end() -> None:
    assert "Not a medical device" in "\n".join(TEXT.splitlines()[:15])
    assert " ".join(TEXT.split("## Disclaimer")[1].split()) == DISCLAIMER


def test_the_results_are_those_of_the_bundled_release() -> None:
    metrics = json.loads((BUNDLED / "metrics.json").read_text())
    overall, per_class = metrics["overall"], metrics["per_class"]
    rows = [f"| {metric_title(name)} | {Estimate(**overall[name])} |" for name in SHOWN]
    rows += [
        f"| {code} | {entry['sensitivity']['n']} | "
        + " | ".join(str(Estimate(**entry[name])) for name in CLASS_METRICS)
        + " |"
        for code, entry in per_class.items()
    ]
    lines = TEXT.splitlines()
    assert len(rows) == len(SHOWN) + 7
    assert not [row for row in rows if row not in lines]


def test_the_row_of_the_leaking_split_is_what_was_measured_there() -> None:
    leaking = json.loads((ROOT / "docs" / "image-level-leaky.json").read_text())
    assert leaking["split"] == {"name": "image-level-leaky", "part": "test", "images": 1503, "lesions": 1444}
    bundled = json.loads((BUNDLED / "metrics.json").read_text())
    rows = (("`image-level-leaky`, older recipe", leaking), ("`ham10000-v1`, the bundled release", bundled))
    for name, metrics in rows:
        numbers = [str(Estimate(**metrics["overall"][metric])) for metric in COMPARED]
        assert f"| {name} | {' | '.join(numbers)} |" in TEXT.splitlines()


def test_the_sentence_about_four_views_is_what_was_measured() -> None:
    views = json.loads((ROOT / "docs" / "four-views.json").read_text())
    assert views["split"] == {"name": "ham10000-v1", "part": "test", "images": 1501, "lesions": 1121}
    balanced, f1, auc, accuracy = (
        str(Estimate(**views["overall"][name])) for name in ("balanced_accuracy", "macro_f1", "mean_auc", "accuracy")
    )
    stated = f"network has balanced accuracy {balanced}, macro F1 {f1}, mean AUC {auc} and accuracy {accuracy}"
    assert stated in " ".join(TEXT.split())
