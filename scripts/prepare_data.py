"""Prepare HAM10000: `python scripts/prepare_data.py --source SOURCE --output_dir DIR`.

SOURCE is `dataverse`, which downloads the official files (a broken download goes on in the next run), or what you have:
a folder in the layout of the Dataverse or Kaggle downloads, its zip files, a data set on the Hub, or `synthetic` for
images drawn in code. Every image is checked; then DIR gets Parquet files for all other commands, and figures. For
education and research only; not a medical device.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from skinvision_hf.cli.commands import positive
from skinvision_hf.data.split_schemes import DEFAULT_SCHEME, SPLIT_SCHEMES
from skinvision_hf.errors import run_command


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog="prepare_data.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--source", required=True, help="dataverse, a folder, a zip file, a Hub id, or synthetic")
    parser.add_argument("--output_dir", required=True, type=Path, help="folder for the prepared data and its figures")
    parser.add_argument("--split_name", choices=SPLIT_SCHEMES, help=f"default: that of prepared data, else {DEFAULT_SCHEME}")
    parser.add_argument("--masks", action="store_true", help="keep the lesion masks too, for scripts/explain_model.py")
    parser.add_argument("--max_side", type=positive, help="make larger images smaller: pixels of the longest side")
    parser.add_argument("--revision", help="branch, tag or commit of a Hub data set")
    parser.add_argument("--download_dir", type=Path, help="for dataverse: the downloads (default: OUTPUT_DIR-download)")
    parser.add_argument("--server", help="for dataverse: address of a mirror (default: Harvard's)")
    return parser


def prepare(argv: Sequence[str] | None) -> int:
    """Get, check, write, count and draw."""
    arguments = build_parser().parse_args(argv)
    folder: Path = arguments.output_dir

    from skinvision_hf.data import (
        count_table,
        download_ham10000,
        load_ham10000,
        resolve_scheme,
        save_prepared,
        shrink_images,
    )
    from skinvision_hf.data.dataverse import SERVER
    from skinvision_hf.data.prepared import assert_replaceable
    from skinvision_hf.figures.data import draw_data

    assert_replaceable(folder)
    source = arguments.source
    if source == "dataverse":
        target = arguments.download_dir or folder.with_name(f"{folder.name}-download")
        source = download_ham10000(target, masks=arguments.masks, server=arguments.server or SERVER)
    split_scheme = resolve_scheme(source, arguments.split_name)
    options = {"masks": arguments.masks, "revision": arguments.revision}
    data = load_ham10000(source, split_scheme=split_scheme, dx_type=True, verify=True, **options)
    if arguments.max_side:
        data = shrink_images(data, arguments.max_side)
    save_prepared(data, folder, split_scheme=split_scheme)
    print(count_table(data))
    figures = draw_data(data, folder / "figures")
    print(f"\nWritten to {folder}, with {len(figures)} figures in {folder / 'figures'}")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see `skinvision_hf.errors.run_command` for the exit codes."""
    return run_command(prepare, argv)


if __name__ == "__main__":
    sys.exit(main())
