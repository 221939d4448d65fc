"""Print how large the project is: `python scripts/size.py`. For contributors; not part of the package."""

import argparse
import subprocess
import sys
from collections.abc import Iterable, Sequence
from importlib.metadata import requires
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "skinvision_hf"
# What each command imports before it reads its first image.
IMPORTED = {
    "predict": "import skinvision_hf.cli.main, skinvision_hf.cli.inference_commands, skinvision_hf.vision",
    "train": "import skinvision_hf.cli.main, skinvision_hf.training.trainer, skinvision_hf.workflows.finishing",
}
LIST_FILES = "; import sys; print(*(getattr(m, '__file__', '') or '' for m in list(sys.modules.values())), sep='\\n')"


def lines(paths: Iterable[Path]) -> int:
    """Lines of text in files."""
    return sum(len(path.read_text(encoding="utf-8").splitlines()) for path in paths)


def imported(code: str) -> list[Path]:
    """The package's modules that some code imports."""
    done = subprocess.run([sys.executable, "-c", code + LIST_FILES], capture_output=True, text=True, check=True)
    return [Path(line) for line in done.stdout.splitlines() if line.startswith(str(PACKAGE)) and line.endswith(".py")]


def main(argv: Sequence[str] | None = None) -> int:
    """Print one figure a line."""
    argparse.ArgumentParser(description=__doc__).parse_args(argv)
    modules = sorted(PACKAGE.rglob("*.py"))
    figures = {
        "Python files in the wheel": len(modules),
        "lines of Python in the wheel": lines(modules),
        "modules at the package root": sum(path.name != "__init__.py" for path in PACKAGE.glob("*.py")),
        "lines of tests": lines((ROOT / "tests").rglob("*.py")),
        "lines of README.md": lines([ROOT / "README.md"]),
        "words of README.md": len((ROOT / "README.md").read_text(encoding="utf-8").split()),
        "core dependencies": sum("extra ==" not in need for need in requires("skinvision-hf") or []),
        "lines of the bundled card": lines([PACKAGE / "pretrained" / "README.md"]),
    }
    for package in sorted({path.parent for path in modules} - {PACKAGE}):
        figures[f"lines of {package.relative_to(PACKAGE)}"] = lines(package.rglob("*.py"))
    for command, code in IMPORTED.items():
        paths = imported(code)
        figures[f"modules that {command} imports"] = len(paths)
        figures[f"lines that {command} imports"] = lines(paths)
    for name, value in figures.items():
        print(f"{name:<32} {value:>7,}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
