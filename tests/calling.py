"""Commands, scripts and snippets run in this process, without the seconds that imports take, or in a new one."""

import os
import runpy
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from skinvision_hf.cli.main import main

ROOT = Path(__file__).resolve().parents[1]
Captured = pytest.CaptureFixture[str]


def run(*arguments: str | Path) -> int:
    """Run the `skinvision` command and return its exit code; what it prints goes where this process prints."""
    return _exit_code(main, arguments)


def call(script: Path, *arguments: str | Path) -> int:
    """Run a script's `main` and return its exit code."""
    return _exit_code(runpy.run_path(str(script))["main"], arguments)


def as_program(script: Path, *arguments: str | Path) -> object:
    """Run a script as `python` does, in this process, and return what it exits with."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as ended:
        patch.setattr(sys, "argv", [str(script), *map(str, arguments)])
        runpy.run_path(str(script), run_name="__main__")
    return ended.value.code


def environment() -> dict[str, str]:
    """That of a process which uses this checkout and one thread, and draws no progress bars."""
    return os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}


def python(*arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run Python in a process of its own and return what it printed."""
    defaults = {"env": environment(), "capture_output": True, "text": True, "timeout": 280}
    return subprocess.run([sys.executable, *map(str, arguments)], **(defaults | options))


def _exit_code(function: Callable[[Sequence[str]], int], arguments: Sequence[str | Path]) -> int:
    try:
        return function([*map(str, arguments)])
    except SystemExit as ended:
        # How parsers of arguments end: 0 after --help, 2 after an error.
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)


def printed(snippet: str, folder: Path) -> str:
    """Run a snippet of a page in a folder and return what it prints."""
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()) as output:
        patch.chdir(folder)
        exec(compile(snippet, "snippet", "exec"), {"__name__": "__main__"})
    return output.getvalue()
