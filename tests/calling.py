"""Commands and snippets run in this process, without the seconds that imports take in a new one."""

import runpy
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest


def call(script: Path, *arguments: str | Path) -> int:
    """Run a script's `main` and return its exit code; what it prints goes where this process prints."""
    try:
        return runpy.run_path(str(script))["main"]([*map(str, arguments)])
    except SystemExit as ended:
        # How parsers of arguments end: 0 after --help, 2 after an error.
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)


def printed(snippet: str, folder: Path) -> str:
    """Run a snippet of a page in a folder and return what it prints."""
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()) as output:
        patch.chdir(folder)
        exec(compile(snippet, "snippet", "exec"), {"__name__": "__main__"})
    return output.getvalue()
