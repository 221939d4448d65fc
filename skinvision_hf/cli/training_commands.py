"""`skinvision prepare`, `train`, `evaluate`, `compare`, `audit`, `explain-model`: from images to a measured release."""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from skinvision_hf.cli.options import (
    add_data_options,
    add_model_options,
    add_split_scheme,
    epilog,
    is_main_process,
    make_parser,
    positive,
    release,
    require_training,
    source,
)
from skinvision_hf.config import VIEWS, TrainConfig
from skinvision_hf.errors import DataError

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

LABELLED = "HAM10000 as prepared, or other labelled images: a folder for each diagnosis, or a CSV file"
LEAK = 3  # the exit code


def prepare(argv: Sequence[str]) -> int:
    """Get, check, write, count and draw HAM10000."""
    parser = make_parser(
        "prepare",
        "Check every image of HAM10000 and write Parquet files for all other commands, with figures.",
        example="skinvision prepare --source dataverse --output_dir data/ham10000\n"
        "skinvision prepare --source path/to/HAM10000 --output_dir data/ham10000 --masks",
    )
    add = parser.add_argument
    about = "dataverse (downloads about 3 GB, and resumes), a folder, a zip file, a Hub id, or synthetic (drawn)"
    add("--source", required=True, type=_download_or_source, metavar="SOURCE", help=about)
    add("--output_dir", required=True, type=Path, help="folder for the prepared data and its figures")
    add_split_scheme(parser)
    add("--masks", action="store_true", help="keep the lesion masks too, for explain-model")
    add("--max_side", type=positive, help="shrink larger images: pixels of the longest side")
    add("--revision", help="branch, tag or commit of a Hub data set")
    add("--download_dir", type=Path, help="for dataverse: the downloads (default: OUTPUT_DIR-download)")
    add("--server", help="for dataverse: address of a mirror (default: Harvard's)")
    given = parser.parse_args(argv)

    from skinvision_hf import data
    from skinvision_hf.data.dataverse import SERVER
    from skinvision_hf.data.prepared import assert_replaceable
    from skinvision_hf.figures.data_plots import draw_data

    place, folder = given.source, given.output_dir
    assert_replaceable(folder)
    if place == "dataverse":
        target = given.download_dir or folder.with_name(f"{folder.name}-download")
        place = data.download_ham10000(target, masks=given.masks, server=given.server or SERVER)
    scheme = data.resolve_scheme(place, given.split_scheme)
    splits = data.load_ham10000(
        place, split_scheme=scheme, masks=given.masks, dx_type=True, verify=True, revision=given.revision
    )
    if given.max_side:
        splits = data.shrink_images(splits, given.max_side)
    data.save_prepared(splits, folder, split_scheme=scheme)
    print(data.count_table(splits))
    figures = draw_data(splits, folder / "figures")
    print(f"\nWritten to {folder}, with {len(figures)} figures in {folder / 'figures'}")
    return 0


def _download_or_source(text: str) -> str:
    return text if text == "dataverse" else source(text)


def train(argv: Sequence[str]) -> int:
    """Train a network and make it a release."""
    require_training()
    parser = _train_parser()
    arguments = parser.parse_args(list(argv))
    resume = arguments.pop("resume")
    arguments.pop("config", None)
    config = TrainConfig(**vars(parser.instantiate(arguments)))
    source(config.data)

    from skinvision_hf.card.finishing import finish_release
    from skinvision_hf.training.trainer import Trainer, load_training_data

    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    data = load_training_data(config)
    network = Trainer(config, data).train(resume=resume)
    # One process measures and describes what all of them trained.
    if is_main_process():
        folder = Path(config.output_dir)
        try:
            print(finish_release(folder, data, network, split_scheme=config.split_scheme))
        except KeyboardInterrupt:
            raise KeyboardInterrupt("The network is trained; run the same command with --resume to finish.") from None
        print(f"Release written to {folder}")
    return 0


def _train_parser() -> "ArgumentParser":
    """Derive the command line from the configuration classes."""
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(
        prog="skinvision train",
        description="Train the classifier, then all layers; then calibrate, measure and describe the release.",
        epilog=epilog(
            "skinvision train --data data/ham10000 --output_dir outputs/skinvision\n"
            "skinvision train --data synthetic --finetune.epochs 3 --output_dir outputs/trial"
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        env_prefix=False,
    )
    parser.add_argument("--config", action="config", help="YAML file with settings; later flags win over it")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint, with the same settings")
    parser.add_class_arguments(TrainConfig, as_group=False)
    return parser


def evaluate(argv: Sequence[str]) -> int:
    """Measure a model and print the tables."""
    parser = make_parser(
        "evaluate",
        "Measure a model: metrics.json (every number with its 95 % confidence interval over lesions),\n"
        "predictions.csv and figures.",
        example="skinvision evaluate --model outputs/skinvision --data data/ham10000 --output_dir outputs/evaluation",
    )
    add_model_options(parser)
    about = "test-time augmentation: mirrored and turned (default: %(default)s)"
    parser.add_argument("--views", type=int, choices=VIEWS, default=1, help=about)
    add_data_options(parser, LABELLED)
    _add_batch_options(parser)
    given = parser.parse_args(argv)

    from skinvision_hf.card.evaluating import evaluate_model

    report = evaluate_model(**vars(given))
    if is_main_process():
        print(f"{report}\n\nWritten to {given.output_dir}: metrics.json, predictions.csv and figures")
    return 0


def compare(argv: Sequence[str]) -> int:
    """Compare two models on the same images and print the table."""
    parser = make_parser(
        "compare",
        "Tell whether model B is better than model A on the same images, with paired 95 % confidence intervals\n"
        "and an exact test over lesions, in comparison.json.",
        example="skinvision compare outputs/A outputs/B --data data/ham10000 --output_dir outputs/comparison",
    )
    about = "release folder, Hub id, or a predictions.csv of evaluate"
    parser.add_argument("first", type=release, metavar="A", help=about)
    parser.add_argument("second", type=release, metavar="B", help=about)
    add_data_options(parser, LABELLED, required=False)
    _add_batch_options(parser)
    given = parser.parse_args(argv)
    if not given.source and not (given.first.endswith(".csv") and given.second.endswith(".csv")):
        raise DataError("--data is missing; only two predictions.csv are compared without it")

    from skinvision_hf.evaluation.evaluate import compare_models

    print(f"{compare_models(**vars(given))}\n\nWritten to {given.output_dir / 'comparison.json'}")
    return 0


def _add_batch_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--skip_unknown", action="store_true", help="leave out images whose label is none of the seven")
    parser.add_argument("--batch_size", type=positive, default=64, help="images at once (default: %(default)s)")


def audit(argv: Sequence[str]) -> int:
    """Look for lesions in more than one split, and print the counts and the verdict."""
    parser = make_parser(
        "audit",
        "Tell whether lesions of HAM10000 have images in more than one split: exit code 3 if so, 0 if not.\n"
        "Image ids are enough. For a predictions.csv, also the metrics with and without these images.\n"
        "Of two folders without ids, the pictures are compared: this finds copies of images.",
        example="skinvision audit splits.csv\n"
        "skinvision audit test.csv --train train.csv\n"
        "skinvision audit outputs/evaluation/predictions.csv --output_dir outputs/audit",
    )
    about = "table of image ids, with or without a column `split`, or folder; without splits or --train, it is checked"
    parser.add_argument("images", type=Path, metavar="IMAGES", help=f"{about} against the rest of HAM10000")
    parser.add_argument("--train", type=Path, metavar="IMAGES", help="table or folder of the training images")
    parser.add_argument("--output_dir", type=Path, help="folder for audit.json, which names all shared images")
    given = parser.parse_args(argv)

    from skinvision_hf.evaluation.audit import audit_files
    from skinvision_hf.files import make_folder, write_json

    folder = make_folder(given.output_dir) if given.output_dir else None
    report = audit_files(given.images, given.train)
    print(report)
    if folder:
        print(f"\nWritten to {write_json(folder / 'audit.json', report.to_dict())}")
    return LEAK if report.leaks else 0


def explain_model(argv: Sequence[str]) -> int:
    """Measure heat maps, draw them, and print the tables."""
    parser = make_parser(
        "explain-model",
        "Measure heat maps against lesion masks, beside baselines: the section `explanations` of metrics.json,\n"
        "figures, and the folder panels. The panels show images of the data set: do not publish them.\n"
        "Where --output_dir is the release itself, its pages are written again.\n"
        "The whole test split takes about ten minutes on two CPU cores.",
        example="skinvision explain-model --data path/to/HAM10000 --output_dir outputs/explanations --limit 100",
    )
    add_model_options(parser)
    add_data_options(parser, "HAM10000 with its lesion masks")
    add = parser.add_argument
    add("--limit", type=positive, default=0, help="use at most this many images (default: all)")
    add("--road_images", type=positive, default=64, help="images for ROAD (default: %(default)s)")
    add("--seed", type=int, default=0, help="seed of what is drawn at random (default: %(default)s)")
    given = parser.parse_args(argv)

    from skinvision_hf.card.evaluating import explain_release

    report = explain_release(**vars(given))
    print(f"{report}\n\nWritten to {given.output_dir}: metrics.json, figures and panels")
    return 0
