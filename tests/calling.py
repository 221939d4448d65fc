"""Commands called in this process, without the seconds that imports take in a new one."""

import runpy
from pathlib import Path


def call(script: Path, *arguments: str | Path) -> int:
    """Run a script's `main` and return its exit code; what it prints goes where this process prints."""
    try:
        return runpy.run_path(str(script))["main"]([*map(str, arguments)])
    except SystemExit as ended:
        # How parsers of arguments end: 0 after --help, 2 after an error.
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
