"""The shape of the package: quick to import, rooms in order, and nothing done where it must not be done."""

import ast
import runpy
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import skinvision_hf

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "skinvision_hf"

# Each room imports only rooms before it, when it is loaded.
ORDER = """
_version errors commands labels files images devices allocator folding config splits data releases initialisation
evaluation_mode transforms augmentation loading losses modeling ensembles metrics calibration operating_points
decision_rules gaps subgroups evaluation checkpoints distillation runs phases training averaging guard prediction
inference explain figures card reporting measuring hub benchmarking demo cli
"""
ROOMS = ORDER.split()

# The few doors that open the other way, inside a function and only when it is called.
DOORS = {("inference", "explain"), ("inference", "hub"), ("explain", "figures")}

SOURCES = sorted([*PACKAGE.rglob("*.py"), *(ROOT / "scripts").rglob("*.py"), *(ROOT / "space").rglob("*.py")])


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).splits[0].removesuffix(".py")


def imports(tree: ast.AST) -> Iterator[tuple[str, bool]]:
    """Each imported module or name as a dotted path, and whether the import runs as soon as the module is loaded."""
    lazy = {
        id(inner)
        for outer in ast.walk(tree)
        if isinstance(outer, (ast.FunctionDef, ast.AsyncFunctionDef))
        or (isinstance(outer, ast.If) and isinstance(outer.test, ast.Name) and outer.test.id == "TYPE_CHECKING")
        for inner in ast.walk(outer)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, id(node) not in lazy) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from ((f"{node.module}.{alias.name}", id(node) not in lazy) for alias in node.names)


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def rooms_imported(path: Path) -> Iterator[tuple[str, bool]]:
    for module, eager in imports(parse(path)):
        first, _, rest = module.partition(".")
        room = rest.partition(".")[0]
        if first == "skinvision_hf" and room != "__version__":
            yield room, eager


MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_room_imports_only_rooms_before_it(path: Path) -> None:
    room = room_of(path)
    assert room in ROOMS, f"{room} is a new room: give it its place in ROOMS"
    for other, eager in rooms_imported(path):
        before = ROOMS.index(other) <= ROOMS.index(room)
        assert before or (not eager and (room, other) in DOORS), f"{room} must not import {other}"


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_only_figures_imports_matplotlib(path: Path) -> None:
    users = {module.partition(".")[0] for module, _ in imports(parse(path))}
    assert not users & {"matplotlib", "seaborn"} or name_of(path).startswith("skinvision_hf/figures")


WRITERS = {
    "HfApi",
    "create_commit",
    "create_repo",
    "create_tag",
    "delete_file",
    "delete_repo",
    "push_to_hub",
    "upload_file",
    "upload_folder",
    "add_space_variable",
}


@pytest.mark.parametrize(
    "path", [path for path in SOURCES if not name_of(path).startswith("skinvision_hf/hub")], ids=name_of
)
def test_only_hub_writes_to_the_hub(path: Path) -> None:
    tree = parse(path)
    called = {
        node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
    }
    imported = {module.rpartition(".")[2] for module, _ in imports(tree) if module.startswith("huggingface_hub")}
    assert not (called | imported) & WRITERS


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_no_foreign_code_is_ever_loaded(path: Path) -> None:
    tree = parse(path)
    modules = {module.partition(".")[0] for module, _ in imports(tree)}
    assert not modules & {"pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword):
            assert node.arg not in {"trust_remote_code", "allow_pickle"}
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in {"eval", "exec", "yaml.load"}
            if called == "torch.load":
                assert any(k.arg == "weights_only" and ast.unparse(k.value) == "True" for k in node.keywords)


def best_seconds(code: str) -> tuple[float, str]:
    """The fastest of three runs of a new interpreter, without the interpreter's own start, and its output."""
    seconds, output = [], ""
    for _ in range(3):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", "pass"], check=True)
        middle = time.perf_counter()
        output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
        seconds.append(time.perf_counter() - middle - (middle - start))
    return min(seconds), output.strip()


def test_every_library_that_is_imported_is_declared() -> None:
    tomllib = pytest.importorskip("tomllib")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    declared = {
        canonicalize_name(Requirement(r).name) for r in project["dependencies"] + extras["train"] + extras["space"]
    }
    owners = packages_distributions()
    for path in SOURCES:
        for module, _ in imports(parse(path)):
            first = module.partition(".")[0]
            if first not in {*sys.stdlib_module_names, "skinvision_hf"}:
                names = {canonicalize_name(name) for name in owners.get(first, [first])}
                assert names & declared, f"{name_of(path)} imports {first}, which pyproject.toml does not declare"


@pytest.mark.parametrize("path", sorted((ROOT / "scripts").glob("*.py")), ids=lambda path: path.stem)
def test_a_script_ends_the_process_with_its_exit_code(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("skinvision_hf.errors.run_command", lambda *_: 7)
    with pytest.raises(SystemExit) as stopped:
        runpy.run_path(str(path), run_name="__main__")
    assert stopped.value.code == 7


def test_importing_the_package_and_its_command_is_quick_and_loads_no_library() -> None:
    code = "import sys, skinvision_hf, skinvision_hf.cli.main; print(' '.join(sorted(sys.modules)))"
    seconds, output = best_seconds(code)
    assert seconds < 0.2
    loaded = {name.partition(".")[0] for name in output.split()}
    assert not loaded & {"torch", "transformers", "timm", "datasets", "numpy", "PIL", "matplotlib", "sklearn", "gradio"}


def test_all_public_names_are_there_and_others_are_not() -> None:
    for name in skinvision_hf.__all__:
        assert getattr(skinvision_hf, name) is not None
    assert dir(skinvision_hf) == sorted(skinvision_hf.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = skinvision_hf.nothing


def test_the_labels_and_errors_rooms_need_the_standard_library_only() -> None:
    for room in ("_version", "errors", "labels", "files", "config", "prediction", "commands", "cli"):
        for module, eager in imports(parse(PACKAGE / f"{room}.py")):
            first = module.partition(".")[0]
            assert not eager or first == "skinvision_hf" or first in sys.stdlib_module_names, f"{room}: {module}"
