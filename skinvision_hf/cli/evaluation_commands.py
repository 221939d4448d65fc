"""`skinvision evaluate`, `compare` and `explain-model`."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from skinvision_hf.cli.options import (
    add_model_options,
    add_split_scheme,
    check_model,
    check_source,
    is_main_process,
    make_parser,
    positive,
)
from skinvision_hf.config import SPLITS, VIEWS
from skinvision_hf.errors import DataError

__all__ = ["compare", "evaluate", "explain_model"]


def _add_data_options(parser: argparse.ArgumentParser, *, required: bool) -> None:
    parser.add_argument(
        "--data",
        required=required,
        metavar="SOURCE",
        help="HAM10000 as prepared, or other labelled images: a folder for each diagnosis, or a CSV file",
    )
    parser.add_argument("--split", choices=SPLITS, default="test", help="split of HAM10000 (default: %(default)s)")
    add_split_scheme(parser)
    parser.add_argument("--skip_unknown", action="store_true", help="leave out images whose label is none of the seven")
    parser.add_argument("--output_dir", required=True, type=Path, help="folder for the results")
    parser.add_argument("--batch_size", type=positive, default=64, help="images at once (default: %(default)s)")


def evaluate(argv: Sequence[str]) -> int:
    """Measure a model and print the tables."""
    parser = make_parser(
        "evaluate",
        "Measure a model: metrics.json (every number with its 95 % confidence interval over lesions),\n"
        "predictions.csv and figures.",
        example="skinvision evaluate --model outputs/skinvision --data data/ham10000 --output_dir outputs/evaluation",
    )
    add_model_options(parser)
    parser.add_argument(
        "--views", type=int, choices=VIEWS, default=1, help="test-time augmentation: mirrored and turned (default: 1)"
    )
    _add_data_options(parser, required=True)
    options = vars(parser.parse_args(argv))
    model, source, folder = options.pop("model"), options.pop("data"), options.pop("output_dir")
    check_model(model)
    check_source(source)

    from skinvision_hf.card.evaluating import evaluate_model

    report = evaluate_model(model, source, folder, **options)
    if is_main_process():
        print(f"{report}\n\nWritten to {folder}: metrics.json, predictions.csv and figures")
    return 0


def compare(argv: Sequence[str]) -> int:
    """Compare two models on the same images and print the table."""
    parser = make_parser(
        "compare",
        "Tell whether model B is better than model A on the same images, with paired 95 % confidence intervals\n"
        "and an exact test over lesions, in comparison.json.",
        example="skinvision compare outputs/A outputs/B --data data/ham10000 --output_dir outputs/comparison",
    )
    for name in ("first", "second"):
        parser.add_argument(name, metavar=name.upper(), help="release folder, Hub id, or a predictions.csv of evaluate")
    _add_data_options(parser, required=False)
    options = vars(parser.parse_args(argv))
    both, source, folder = [options.pop("first"), options.pop("second")], options.pop("data"), options.pop("output_dir")
    for ref in both:
        check_model(ref)
    if source is not None:
        check_source(source)
    elif not all(ref.endswith(".csv") for ref in both):
        raise DataError("--data is missing; only two predictions.csv are compared without it")

    from skinvision_hf.evaluation.evaluate import compare_models

    print(f"{compare_models(both[0], both[1], source, folder, **options)}\n\nWritten to {folder / 'comparison.json'}")
    return 0


def explain_model(argv: Sequence[str]) -> int:
    """Measure heat maps, draw them, and print the tables."""
    parser = make_parser(
        "explain-model",
        "Measure heat maps against lesion masks, beside baselines: the section `explanations` of metrics.json,\n"
        "figures, and the folder panels. The panels show images of the data set: do not publish them.\n"
        "The whole test split takes about ten minutes on two CPU cores.",
        example="skinvision explain-model --data path/to/HAM10000 --output_dir outputs/explanations --limit 100",
    )
    add_model_options(parser)
    parser.add_argument("--data", required=True, metavar="SOURCE", help="HAM10000 with its lesion masks")
    parser.add_argument("--split", choices=SPLITS, default="test", help="split to measure (default: %(default)s)")
    add_split_scheme(parser)
    parser.add_argument("--output_dir", required=True, type=Path, help="folder for the results, such as the release")
    parser.add_argument("--limit", type=positive, default=0, help="use at most this many images (default: all)")
    parser.add_argument("--road_images", type=positive, default=64, help="images for ROAD (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of what is drawn at random (default: %(default)s)")
    options = vars(parser.parse_args(argv))
    model, source, folder = options.pop("model"), options.pop("data"), options.pop("output_dir")
    check_model(model)
    check_source(source)

    from skinvision_hf.card.evaluating import explain_release

    report = explain_release(model, source, folder, **options)
    print(f"{report}\n\nWritten to {folder}: metrics.json, figures and panels")
    return 0
