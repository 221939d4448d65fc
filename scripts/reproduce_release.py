"""Repeat the training of the bundled release: three runs, each from the weights of the one before.

`scripts/configs/` has their settings. On two CPU cores the last two took 1.8 and 1.2 hours; the first was not timed.
The first two of the bundled release saw images of 200 x 150 pixels; here, all see the images that they are given.

For education and research only; not a medical device.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from skinvision_hf.errors import run_command

SCRIPTS = Path(__file__).resolve().parent
STEPS = ("baseline-144", "longer-176", "continued-224")


def main(argv: Sequence[str] | None = None) -> int:
    """Train what is not trained yet, and return the exit code of the last run."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="Run the same command again to continue. All other options go to each run; see scripts/train.py --help.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", required=True, help="HAM10000, with masks, from `skinvision prepare`")
    parser.add_argument("--output_dir", required=True, type=Path, help="gets one release folder for each run")
    given, options = parser.parse_known_args(argv)
    init: list[str] = []
    for step in STEPS:
        folder = given.output_dir / step
        if not (folder / "README.md").is_file():  # the card, which is written last
            config = SCRIPTS / "configs" / f"{step}.yaml"
            train = [sys.executable, str(SCRIPTS / "train.py"), f"--config={config}", f"--data={given.data}"]
            train += [*options, *init, f"--output_dir={folder}", "--resume"]
            code = subprocess.run(train, check=False).returncode
            if code:
                return code
        init = [f"--model.init={folder}"]
    print(f"The release is {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
