"""README and docs keep their word: commands exist, snippets run, links lead somewhere, numbers are the release's."""

import json
import re
import shlex
from contextlib import redirect_stdout
from functools import cache
from io import StringIO
from pathlib import Path

import pytest
from calling import ROOT, call, printed, run
from drawing import draw_lesion

from skinvision_hf.evaluation.report import SHOWN, metric_title
from skinvision_hf.records import Estimate

BUNDLED = ROOT / "skinvision_hf" / "pretrained"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
README = PAGES[0].read_text(encoding="utf-8")
COMPARED = ("accuracy", "balanced_accuracy", "macro_f1", "mean_auc")


def blocks(kind: str, pages: list[Path] = PAGES) -> list[str]:
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    return re.findall(rf"^```{kind}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


LINES = [line for block in blocks("bash") for line in block.replace("\\\n", " ").splitlines()]
COMMANDS = sorted({line for line in LINES if re.search(r"\bscripts/[\w/]+\.py|\bskinvision [a-z]", line)})


@cache
def help_of(*command: str) -> str:
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()) as output:
        patch.setenv("COLUMNS", "200")
        asked = [*command[1:], "--help"]
        assert (run(*asked) if command[0] == "skinvision" else call(ROOT / command[0], *asked)) == 0
    return output.getvalue()


@pytest.mark.parametrize("line", [line for line in COMMANDS if "size.py" not in line])
def test_every_flag_of_a_command_exists(line: str) -> None:
    words = shlex.split(line.replace("...", ""), comments=True)
    place = next(n for n, word in enumerate(words) if word == "skinvision" or word.startswith("scripts/"))
    named = 2 if words[place] in ("skinvision", "scripts/benchmark.py") else 1
    text = help_of(*words[place : place + named])
    for flag in (word.partition("=")[0] for word in words[place:] if word.startswith("--")):
        assert re.search(rf"(?<![\w-]){re.escape(flag)}(?![\w-])", text), f"{flag} is not an option of {line}"


@pytest.mark.parametrize("snippet", [code for code in blocks("python") if "gradio_client" not in code])
def test_every_snippet_runs_on_the_bundled_release(snippet: str, tmp_path: Path) -> None:
    draw_lesion().save(tmp_path / "photo.jpg")
    printed(snippet.replace("path/to/release", str(BUNDLED)), tmp_path)


def test_the_links_lead_to_files() -> None:
    for page in PAGES:
        targets = re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8"))
        assert not [t for t in targets if "://" not in t and not (page.parent / t).exists()], page


def test_readme_is_short_and_begins_with_the_disclaimer() -> None:
    assert len(README.splitlines()) <= 200
    assert "Not a medical device" in "\n".join(README.splitlines()[:15])
    notice = README.split("\n> ", 1)[1].split("\n\n")[0]
    assert "Not a medical device" in notice and "see a dermatologist" in notice


def test_the_table_of_places_names_what_is_there() -> None:
    places = re.findall(r"\]\((skinvision_hf/\S+\.py)\), .*?`(\w+)`", README)
    assert len(places) >= 4
    for path, name in places:
        assert re.search(rf"^(def |class )?{name}\b", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE)


def test_the_test_command_is_that_of_the_gate() -> None:
    command = 'python -m pytest -m "" -n 2 --dist loadfile'
    assert command in README and command in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_the_results_are_those_of_the_bundled_release() -> None:
    overall = json.loads((BUNDLED / "metrics.json").read_text())["overall"]
    rows = [f"| {metric_title(name)} | {Estimate.from_dict(overall[name])} |" for name in SHOWN]
    assert not [row for row in rows if row not in README.splitlines()]


def test_the_rows_about_the_leaking_split_are_what_was_measured() -> None:
    text = (ROOT / "docs" / "leakage.md").read_text(encoding="utf-8")
    leaking = json.loads((ROOT / "docs" / "image-level-leaky.json").read_text())
    bundled = json.loads((BUNDLED / "metrics.json").read_text())
    for name, metrics in (
        ("older recipe, trained on `image-level-leaky` | `image-level-leaky`", leaking),
        ("the bundled release | `ham10000-v1`", bundled),
    ):
        numbers = [str(Estimate.from_dict(metrics["overall"][metric])) for metric in COMPARED]
        assert f"| {name} | {' | '.join(numbers)} |" in text.splitlines()
