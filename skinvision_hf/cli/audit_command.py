"""`skinvision audit`."""

from collections.abc import Sequence
from pathlib import Path

from skinvision_hf.cli.options import make_parser

LEAK = 3  # the exit code

EXAMPLE = """skinvision audit splits.csv
skinvision audit test.csv --train train.csv
skinvision audit outputs/evaluation/predictions.csv --output_dir outputs/audit"""


def audit(argv: Sequence[str]) -> int:
    """Look for lesions in more than one split, and print the counts and the verdict."""
    parser = make_parser(
        "audit",
        "Tell whether lesions of HAM10000 have images in more than one split: exit code 3 if so, 0 if not.\n"
        "Image ids are enough. For a predictions.csv, also the metrics with and without these images.\n"
        "Of two folders without ids, the pictures are compared: this finds copies of images.",
        example=EXAMPLE,
    )
    about = "table of image ids, with or without a column `split`, or folder; without splits or --train, it is checked"
    parser.add_argument("images", type=Path, metavar="IMAGES", help=f"{about} against the rest of HAM10000")
    parser.add_argument("--train", type=Path, metavar="IMAGES", help="table or folder of the training images")
    parser.add_argument("--output_dir", type=Path, help="folder for audit.json, which names all shared images")
    arguments = parser.parse_args(argv)
    path, train, folder = arguments.images, arguments.train, arguments.output_dir

    from skinvision_hf.data.image_lists import is_known, read_list
    from skinvision_hf.data.near_duplicates import near_duplicates
    from skinvision_hf.evaluation.audit import audit_splits, find_predictions
    from skinvision_hf.files import make_folder, write_json

    if folder:
        make_folder(folder)
    images = read_list(path, only="test") + read_list(train, only="train") if train else read_list(path)
    splits = {image.split for image in images}
    by_id = splits == {image.split for image in images if is_known(image.name)} or len(splits) == 1
    if by_id or not path.is_dir() or (train and not train.is_dir()):
        report = audit_splits(images, predictions=find_predictions(path))
    else:
        report = audit_splits(images, groups=near_duplicates([image.name for image in images]))
    print(report)
    if folder:
        print(f"\nWritten to {write_json(folder / 'audit.json', report.to_dict())}")
    return LEAK if report.leaks else 0
