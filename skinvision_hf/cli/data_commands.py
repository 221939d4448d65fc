"""`skinvision prepare`."""

from collections.abc import Sequence
from pathlib import Path

from skinvision_hf.cli.options import add_split_scheme, check_source, make_parser, positive

__all__ = ["prepare"]

EXAMPLE = """skinvision prepare --source dataverse --output_dir data/ham10000
skinvision prepare --source path/to/HAM10000 --output_dir data/ham10000 --masks"""


def prepare(argv: Sequence[str]) -> int:
    """Get, check, write, count and draw HAM10000."""
    parser = make_parser(
        "prepare",
        "Check every image of HAM10000 and write Parquet files for all other commands, with figures.",
        example=EXAMPLE,
    )
    parser.add_argument(
        "--source",
        required=True,
        metavar="SOURCE",
        help="dataverse (downloads about 3 GB, and resumes), a folder, a zip file, a Hub id, or synthetic (drawn)",
    )
    parser.add_argument("--output_dir", required=True, type=Path, help="folder for the prepared data and its figures")
    add_split_scheme(parser)
    parser.add_argument("--masks", action="store_true", help="keep the lesion masks too, for explain-model")
    parser.add_argument("--max_side", type=positive, help="shrink larger images: pixels of the longest side")
    parser.add_argument("--revision", help="branch, tag or commit of a Hub data set")
    parser.add_argument("--download_dir", type=Path, help="for dataverse: the downloads (default: OUTPUT_DIR-download)")
    parser.add_argument("--server", help="for dataverse: address of a mirror (default: Harvard's)")
    arguments = parser.parse_args(argv)
    source, folder = arguments.source, arguments.output_dir
    if source != "dataverse":
        check_source(source)

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
    from skinvision_hf.figures.data_plots import draw_data

    assert_replaceable(folder)
    if source == "dataverse":
        target = arguments.download_dir or folder.with_name(f"{folder.name}-download")
        source = download_ham10000(target, masks=arguments.masks, server=arguments.server or SERVER)
    scheme = resolve_scheme(source, arguments.split_scheme)
    data = load_ham10000(
        source, split_scheme=scheme, masks=arguments.masks, dx_type=True, verify=True, revision=arguments.revision
    )
    if arguments.max_side:
        data = shrink_images(data, arguments.max_side)
    save_prepared(data, folder, split_scheme=scheme)
    print(count_table(data))
    figures = draw_data(data, folder / "figures")
    print(f"\nWritten to {folder}, with {len(figures)} figures in {folder / 'figures'}")
    return 0
