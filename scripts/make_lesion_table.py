"""Write the lesion of each image of HAM10000: `python scripts/make_lesion_table.py path/to/HAM10000_metadata.csv`."""

import argparse
import csv
import sys
from collections.abc import Sequence
from pathlib import Path

from skinvision_hf.errors import run_command

TABLE = Path(__file__).resolve().parents[1] / "skinvision_hf" / "data" / "manifests" / "ham10000-lesions.csv"
CREDIT = (
    "# HAM10000: (c) ViDIR Group, Department of Dermatology, Medical University of Vienna; CC BY-NC 4.0, "
    "https://creativecommons.org/licenses/by-nc/4.0/; Tschandl et al. 2018, doi:10.1038/sdata.2018.161. "
    "Two columns of its metadata, sorted by image; the values were not changed."
)


def lesion_table(metadata: Path) -> str:
    """The content of `TABLE`, made from HAM10000's own metadata."""
    with metadata.open(newline="", encoding="utf-8") as file:
        lines = sorted(f"{row['image_id']},{row['lesion_id']}" for row in csv.DictReader(file))
    return "\n".join([CREDIT, "image_id,lesion_id", *lines, ""])


def main(argv: Sequence[str] | None) -> int:
    """Write `TABLE`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("metadata", type=Path, help="HAM10000_metadata.csv, as downloaded")
    TABLE.write_text(lesion_table(parser.parse_args(argv).metadata), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
