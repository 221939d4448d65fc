"""Commands and snippets run in this process, without the seconds that imports take in a new one."""

import runpy
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

from skinvision_hf.cli.main import main


def run(*arguments: str | Path) -> int:
    """Run the `skinvision` command and return its exit code; what it prints goes where this process prints."""
    return _exit_code(main, arguments)


def call(script: Path, *arguments: str | Path) -> int:
    """Run a script's `main` and return its exit code."""
    return _exit_code(runpy.run_path(str(script))["main"], arguments)


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
