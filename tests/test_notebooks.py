"""The notebooks: kept without outputs, and run from the first cell to the last on images drawn in code."""

import re
from pathlib import Path

import nbformat
import pytest
from calling import ROOT, environment
from complete_release import LINKS
from nbclient import NotebookClient

from skinvision_hf.card import write_card
from skinvision_hf.models.release import bundled_release

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
TEMPLATE = ROOT / "skinvision_hf" / "templates" / "notebook.ipynb"
REPOSITORY = "OWNER-OF-THIS-REPOSITORY/skinvision"


def read(path: Path) -> nbformat.NotebookNode:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    return notebook


def named(path: Path) -> str:
    return path.stem


def outputs(notebook: nbformat.NotebookNode, folder: Path) -> list[nbformat.NotebookNode]:
    """Run a notebook in a folder, in a process of its own, and return what its cells show."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment().items():
            patch.setenv(name, value)
        done = NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(folder)}}).execute()
    return [output for cell in done.cells for output in cell.get("outputs", [])]


def pictures(shown: list[nbformat.NotebookNode]) -> int:
    return sum("image/png" in output.get("data", {}) for output in shown)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all notebooks run, so that the later ones find what the second one trained."""
    return tmp_path_factory.mktemp("notebooks")


@pytest.mark.parametrize("path", [*NOTEBOOKS, TEMPLATE, bundled_release() / TEMPLATE.name], ids=named)
def test_it_is_short_and_kept_without_outputs(path: Path) -> None:
    notebook, text = read(path), path.read_text(encoding="utf-8")
    assert len(notebook.cells) <= 25
    assert not [cell.id for cell in notebook.cells if cell.get("outputs") or cell.get("execution_count")]
    assert set(notebook.metadata) == {"kernelspec"}, "language_info is about who ran it last"
    assert not re.search(r"[\"' =]/\w|[A-Z]:\\\\", text), "a path of one machine"
    assert re.search("not a medical device|{{ disclaimer }}", notebook.cells[0].source, re.IGNORECASE)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=named)
def test_its_button_opens_it_in_colab_where_it_installs_the_package(path: Path) -> None:
    cells = read(path).cells
    assert f"(https://colab.research.google.com/github/{REPOSITORY}/blob/main/notebooks/{path.name})" in cells[0].source
    [settings] = [cell.source for cell in cells if 'DATA = "synthetic"' in cell.source]
    assert f"git+https://github.com/{REPOSITORY}" in settings
    assert path.stem.startswith("01") or 'Path("outputs/02_training")' in settings
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", "\n".join(cell.source for cell in cells))
    assert links and not [link for link in links if not (path.parent / link).exists()]


@pytest.mark.slow
@pytest.mark.timeout(900)  # on a busy machine
@pytest.mark.parametrize("path", NOTEBOOKS, ids=named)
def test_it_runs_on_drawn_images(path: Path, place: Path) -> None:
    notebook = read(path)
    for cell in notebook.cells:
        cell.source = cell.source.replace('DATA = "synthetic"', 'DATA = "synthetic[:210]"')  # half as many
    shown = outputs(notebook, place)
    assert pictures(shown) >= 3
    assert not [output for output in shown if "Traceback" in output.get("text", "")]
    assert path.stem.startswith("01") or (place / "outputs" / "02_training" / "README.md").is_file()


@pytest.mark.slow
def test_the_notebook_of_a_release_tries_it(release: Path) -> None:
    write_card(release)
    notebook = read(release / TEMPLATE.name)
    notebook.cells = [cell for cell in notebook.cells if "%pip" not in cell.source]  # it is installed
    shown = outputs(notebook, release)
    assert pictures(shown) == 2 and "<Prediction" in str(shown)


def test_the_notebook_of_a_published_release_loads_it_from_the_hub(release: Path) -> None:
    write_card(release, links=LINKS)
    assert f'MODEL_ID = "{LINKS.model_id}"' in str([cell.source for cell in read(release / TEMPLATE.name).cells])
