"""`python scripts/publish.py` is `skinvision publish`, as a script; `--help` lists its options.

For education and research only; not a medical device.
"""

import sys
from collections.abc import Sequence

from skinvision_hf.cli.main import main as run


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return run(["publish", *(sys.argv[1:] if argv is None else argv)])


if __name__ == "__main__":
    sys.exit(main())
