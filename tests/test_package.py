"""The package as a whole: quick imports, declared libraries, no code from strangers, short scripts."""

import ast
import re
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import tomllib
from calling import ROOT, Captured, as_program, python
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import skinvision_hf
from skinvision_hf.cli.main import COMMANDS
from skinvision_hf.cli.main import EXTRAS as COMMAND_EXTRAS
from skinvision_hf.errors import EXTRAS as LIBRARIES

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
SOURCES = [path for folder in ("skinvision_hf", "scripts", "space") for path in sorted((ROOT / folder).rglob("*.py"))]
SCRIPTS = sorted((ROOT / "scripts").glob("*.py"))
FOREIGN_CODE = re.compile(r"trust_remote_code|allow_pickle|weights_only=False|\b(?:joblib|cloudpickle|marshal)\b")


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def test_no_foreign_code_is_ever_loaded() -> None:
    """Beyond what ruff's rules about eval, exec, pickle and YAML find."""
    for path in SOURCES:
        assert not FOREIGN_CODE.findall(path.read_text(encoding="utf-8")), path


def test_every_library_that_is_imported_is_declared() -> None:
    needs = sum((EXTRAS[name] for name in EXTRAS if name not in ("test", "all")), PROJECT["dependencies"])
    declared, tools = ({canonicalize_name(Requirement(need).name) for need in part} for part in (needs, EXTRAS["test"]))
    owners = packages_distributions()
    for path in SOURCES:
        script = path.is_relative_to(ROOT / "scripts")
        own = {"skinvision_hf", "benchmarks"} if script else {"skinvision_hf"}
        allowed = declared | tools if script else declared
        for first in {name.partition(".")[0] for name in imports(path)} - sys.stdlib_module_names - own:
            names = {canonicalize_name(name) for name in owners.get(first, [first])}
            assert names & allowed, f"{path} imports {first}, which pyproject.toml does not declare"


def test_an_extra_that_a_message_names_brings_the_library() -> None:
    def brought(extra: str) -> set[str]:
        needs = list(map(Requirement, EXTRAS[extra]))
        own = {canonicalize_name(need.name) for need in needs}
        return own.union(*(brought(more) for need in needs if need.name == "skinvision-hf" for more in need.extras))

    owners = packages_distributions()
    for library, extra in LIBRARIES.items():
        assert {canonicalize_name(name) for name in owners[library]} & brought(extra), f"[{extra}] lacks {library}"
    assert COMMAND_EXTRAS.keys() <= COMMANDS.keys() and set(COMMAND_EXTRAS.values()) <= EXTRAS.keys()


def test_importing_the_package_and_its_command_is_quick_and_loads_no_library() -> None:
    commands = ", ".join({f"skinvision_hf.cli.{module}" for module, _ in COMMANDS.values()})
    code = f"import time, sys; begin = time.process_time(); import skinvision_hf, skinvision_hf.cli.main, {commands}; "
    code += "print(time.process_time() - begin, *sys.modules)"
    runs = [python("-c", code, check=True) for _ in range(3)]
    assert min(float(run.stdout.split()[0]) for run in runs) < 0.2
    foreign = {name.partition(".")[0] for name in runs[0].stdout.split()[1:]} - sys.stdlib_module_names
    assert "skinvision_hf" in foreign
    assert not foreign & {"torch", "transformers", "timm", "datasets", "numpy", "PIL", "matplotlib", "sklearn"}


def test_all_public_names_are_there_and_others_are_not() -> None:
    for name in skinvision_hf.__all__:
        assert getattr(skinvision_hf, name) is not None
    assert dir(skinvision_hf) == sorted(skinvision_hf.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = skinvision_hf.nothing


def test_scripts_are_short_and_end_with_the_exit_code_of_their_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("skinvision_hf.cli.main.main", lambda argv: argv)
    for path in SCRIPTS:
        if "skinvision_hf.cli.main" in imports(path):
            assert len(path.read_text(encoding="utf-8").splitlines()) <= 30
            command, flag = as_program(path, "--flag")
            assert f"skinvision {command}" in path.read_text(encoding="utf-8") and flag == "--flag"


def test_the_help_of_the_static_page_starts_no_server(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    monkeypatch.setattr("http.server.ThreadingHTTPServer", None)
    assert as_program(ROOT / "scripts" / "try_static_space.py", "--help") == 0
    assert "Nothing is published" in capsys.readouterr().out
