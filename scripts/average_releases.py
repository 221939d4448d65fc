"""Average the weights of releases: `python scripts/average_releases.py --releases A B --data DATA --output_dir DIR`.

For networks that were trained on from the same weights, with other seeds or settings (a model soup, Wortsman et al.
2022). Their mean is calibrated, measured and described like a network that was trained. For education and research
only; not a medical device.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from skinvision_hf.commands import require_training
from skinvision_hf.errors import run_command


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog="average_releases.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--releases", nargs="+", required=True, metavar="DIR", help="two or more release folders")
    parser.add_argument(
        "--data", required=True, help="HAM10000 as for scripts/train.py, in the split that all learned from"
    )
    parser.add_argument("--output_dir", required=True, help="folder for the new release")
    return parser


def average(argv: Sequence[str] | None) -> int:
    """Average, then calibrate the network, measure it on test and describe it."""
    arguments = build_parser().parse_args(argv)
    require_training()

    from skinvision_hf.averaging import average_releases
    from skinvision_hf.data import load_ham10000
    from skinvision_hf.reporting import finish_release
    from skinvision_hf.training import read_record

    split = read_record(Path(arguments.releases[0]))["split"]
    data = load_ham10000(arguments.data, split=split, dx_type=True)
    release = average_releases(arguments.releases, arguments.output_dir)
    print(finish_release(release, data, split=split))
    print(f"Release written to {release}")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see `skinvision_hf.errors.run_command` for the exit codes."""
    return run_command(average, argv)


if __name__ == "__main__":
    sys.exit(main())
