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
        "Find lesions of HAM10000 with images in more than one split. The exit code is 3 if there are any, else 0.\n"
        "Image ids are enough. For a predictions.csv, also print the metrics with and without these images.\n"
        "In two folders without ids, compare the pictures, which finds copies of images.",
        example=EXAMPLE,
    )
    about = "folder, or table of image ids, perhaps with a column `split`; without splits and --train, it is compared"
    parser.add_argument("images", type=Path, metavar="IMAGES", help=f"{about} with the rest of HAM10000")
    parser.add_argument("--train", type=Path, metavar="IMAGES", help="table or folder of the training images")
    parser.add_argument("--output_dir", type=Path, help="folder for audit.json, the list of all leaks")
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
