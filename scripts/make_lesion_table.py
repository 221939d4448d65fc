"""Write the lesion of each image of HAM10000: `python scripts/make_lesion_table.py path/to/HAM10000_metadata.csv`."""

import csv
import sys
from pathlib import Path

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


if __name__ == "__main__":
    TABLE.write_text(lesion_table(Path(sys.argv[1])), encoding="utf-8")
