"""Measure a model: `python scripts/evaluate_model.py --data DATA --output_dir DIR [--model REF]`.

Writes metrics.json (every number with a 95 % interval over lesions), predictions.csv and figures. With --compare A B,
two models or two predictions.csv, it tells whether B is better than A on the same images. With --ensemble A B ... it
measures the mean answer of several models, and with --views that to several views of each image (test-time
augmentation). For education and research only; not a medical device.
"""

import argparse
import sys
from collections.abc import Sequence

from skinvision_hf.cli.commands import positive
from skinvision_hf.config import VIEWS
from skinvision_hf.data.split_schemes import DEFAULT_SCHEME, SPLIT_NAMES, SPLIT_SCHEMES
from skinvision_hf.errors import run_command


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog="evaluate_model.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--model", metavar="REF", help="release folder or Hub id; the bundled release by default")
    what.add_argument("--compare", nargs=2, metavar=("A", "B"), help="two models or two predictions.csv")
    what.add_argument("--ensemble", nargs="+", metavar="REF", help="models whose mean answer is measured")
    parser.add_argument("--revision", help="branch, tag or commit of a Hub id; for --model")
    parser.add_argument(
        "--views", type=int, choices=VIEWS, help="of each image, mirrored and turned; for --ensemble (default: 1)"
    )
    parser.add_argument(
        "--data", help="HAM10000 as for scripts/train.py, or labelled images: a folder for each class, or a CSV file"
    )
    parser.add_argument("--split", choices=SPLIT_NAMES, default="test", help="part to measure (default: %(default)s)")
    parser.add_argument("--split_name", choices=SPLIT_SCHEMES, help=f"default: that of prepared data, else {DEFAULT_SCHEME}")
    parser.add_argument("--output_dir", required=True, help="folder for the results")
    parser.add_argument("--batch_size", type=positive, default=64, help="images at once (default: %(default)s)")
    return parser


def evaluate(argv: Sequence[str] | None) -> int:
    """Measure or compare, and print the tables."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    if arguments.revision and (arguments.compare or arguments.ensemble):
        parser.error("--revision is for --model; give folders or Hub ids alone to --compare and --ensemble")
    if arguments.views and not arguments.ensemble:
        parser.error("--views is for --ensemble; give the model, or several, as --ensemble REF")

    from skinvision_hf.evaluation.evaluate import compare_models, evaluate_ensemble, evaluate_model

    options = {"part": arguments.split_scheme, "split": arguments.split_name, "batch_size": arguments.batch_size}
    if arguments.compare:
        first, second = arguments.compare
        print(compare_models(first, second, arguments.data, arguments.output_dir, **options))
    elif arguments.ensemble:
        views = arguments.views or 1
        print(evaluate_ensemble(arguments.ensemble, arguments.data, arguments.output_dir, views=views, **options))
    else:
        report = evaluate_model(
            arguments.model, arguments.data, arguments.output_dir, revision=arguments.revision, **options
        )
        print(report)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see `skinvision_hf.errors.run_command` for the exit codes."""
    return run_command(evaluate, argv)


if __name__ == "__main__":
    sys.exit(main())
