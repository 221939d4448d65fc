"""`skinvision prepare`, `train`, `evaluate`, `compare`, `audit`, `adapt`, `explain-model`: from images to releases."""

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
    images,
    is_main_process,
    make_parser,
    positive,
    release,
    require_training,
    source,
)
from skinvision_hf.config import EVALUATION_BATCH, INITS, ROAD_IMAGES, VIEWS, TrainConfig
from skinvision_hf.errors import DataError

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

LABELLED = "HAM10000 (from prepare), or other labelled images: one folder per diagnosis, or a CSV file"
LEAK = 3  # the exit code


def prepare(argv: Sequence[str]) -> int:
    """Get, check, write, count and draw HAM10000."""
    parser = make_parser(
        "prepare",
        "Check every image of HAM10000; write Parquet files, which all other commands read, and figures.",
        example="skinvision prepare --source dataverse --masks --output_dir data/ham10000\n"
        "skinvision prepare --source path/to/HAM10000 --masks --output_dir data/ham10000",
    )
    add = parser.add_argument
    about = "dataverse (downloads 3 GB), a folder, a zip file, a Hub id, or synthetic (images drawn in code)"
    add("--source", required=True, type=_download_or_source, metavar="SOURCE", help=about)
    add("--output_dir", required=True, type=Path, help="folder for the prepared data and its figures")
    add_split_scheme(parser)
    add("--masks", action="store_true", help="keep the lesion masks, which train and explain-model need")
    add("--max_side", type=positive, help="shrink images whose longest side has more pixels")
    add("--revision", help="branch, tag or commit of a Hub data set")
    add("--download_dir", type=Path, help="folder for the downloads from dataverse (default: OUTPUT_DIR-download)")
    add("--server", help="address of the Dataverse server (default: Harvard's)")
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
    parser = train_parser(
        "skinvision train",
        "Train the classifier, then all layers. Then calibrate and evaluate it, and write a release.",
        example="skinvision train --data data/ham10000 --output_dir outputs/skinvision\n"
        "skinvision train --data synthetic --finetune.epochs 3 --output_dir outputs/trial",
    )
    config, resume = read_config(parser, parse_training(parser, argv))

    from skinvision_hf.training.trainer import Trainer, load_training_data
    from skinvision_hf.workflows.finishing import finish_release

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


def train_parser(prog: str, description: str, *, example: str) -> "ArgumentParser":
    """Derive the command line of a training from the configuration classes."""
    require_training()
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(
        prog=prog,
        description=description,
        epilog=epilog(example),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        env_prefix=False,
    )
    parser.add_argument("--config", action="config", help="YAML file with settings; flags after it override them")
    parser.add_argument("--resume", action="store_true", help="continue from the last checkpoint, same settings")
    parser.add_class_arguments(TrainConfig, as_group=False)
    return parser


def parse_training(parser: "ArgumentParser", argv: Sequence[str] | None) -> "Namespace":
    """Parse the command line of a training; a --config that is not text in UTF-8 raises DataError."""
    try:
        return parser.parse_args(None if argv is None else list(argv))
    except UnicodeDecodeError as error:
        raise DataError("the file of --config is not text in UTF-8; save it again in that encoding") from error


def read_config(parser: "ArgumentParser", arguments: "Namespace") -> tuple[TrainConfig, bool]:
    """The settings of a training that a command line asks for, and whether to resume it; checks what they name."""
    from skinvision_hf.card.training_record import read_training
    from skinvision_hf.models.release import TRAINING_FILE

    resume = arguments.pop("resume")
    arguments.pop("config", None)
    config = TrainConfig(**vars(parser.instantiate(arguments)))
    source(config.data)
    if config.model.init not in INITS and not Path(config.model.init).exists():
        raise DataError(f"there is no {config.model.init!r}; --model.init takes {', '.join(INITS)} or a release folder")
    if Path(config.model.init, TRAINING_FILE).is_file():
        read_training(Path(config.model.init))  # The card of the new release tells of it.
    return config, resume


def evaluate(argv: Sequence[str]) -> int:
    """Measure a model and print the tables."""
    parser = make_parser(
        "evaluate",
        "Evaluate a model on labelled images. Writes metrics.json (with 95 % confidence intervals over lesions),\n"
        "predictions.csv and figures.",
        example="skinvision evaluate --model outputs/skinvision --data data/ham10000 --output_dir outputs/evaluation",
    )
    add_model_options(parser)
    about = "test-time augmentation: average over this many mirrored and turned views (default: %(default)s)"
    parser.add_argument("--views", type=int, choices=VIEWS, default=1, help=about)
    add_data_options(parser, LABELLED)
    _add_batch_options(parser)
    given = parser.parse_args(argv)

    from skinvision_hf.workflows.evaluating import evaluate_model

    report = evaluate_model(**vars(given))
    if is_main_process():
        print(f"{report}\n\nWritten to {given.output_dir}: metrics.json, predictions.csv and figures")
    return 0


def compare(argv: Sequence[str]) -> int:
    """Compare two models on the same images and print the table."""
    parser = make_parser(
        "compare",
        "Find out whether model B is better than model A on the same images. Writes comparison.json, with paired\n"
        "95 % confidence intervals and an exact test over lesions.",
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
    _add_skip_unknown(parser)
    about = "images per batch (default: %(default)s)"
    parser.add_argument("--batch_size", type=positive, default=EVALUATION_BATCH, help=about)


def _add_skip_unknown(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--skip_unknown", action="store_true", help="leave out images with other diagnoses")


def audit(argv: Sequence[str]) -> int:
    """Look for lesions in more than one split, and print the counts and the verdict."""
    parser = make_parser(
        "audit",
        "Find lesions of HAM10000 with images in more than one split. The exit code is 3 if there are any, else 0.\n"
        "Image ids are enough. For a predictions.csv, also print the metrics with and without these images.\n"
        "In two folders without ids, compare the pictures, which finds copies of images.",
        example="skinvision audit splits.csv\n"
        "skinvision audit test.csv --train train.csv\n"
        "skinvision audit outputs/evaluation/predictions.csv --output_dir outputs/audit",
    )
    about = "folder, or table of image ids, perhaps with a column `split`; without splits and --train, it is compared"
    parser.add_argument("images", type=images, metavar="IMAGES", help=f"{about} with the rest of HAM10000")
    parser.add_argument("--train", type=images, metavar="IMAGES", help="table or folder of the training images")
    parser.add_argument("--output_dir", type=Path, help="folder for audit.json, the list of all leaks")
    given = parser.parse_args(argv)

    from skinvision_hf.evaluation.audit import audit_files
    from skinvision_hf.files import make_folder, write_json

    folder = make_folder(given.output_dir) if given.output_dir else None
    report = audit_files(given.images, given.train)
    print(report)
    if folder:
        print(f"\nWritten to {write_json(folder / 'audit.json', report.to_dict())}")
    return LEAK if report.leaks else 0


def adapt(argv: Sequence[str]) -> int:
    """Adapt a model to other images and print what that changed."""
    parser = make_parser(
        "adapt",
        "Adapt a model to your own labelled images, on which it may be overconfident.\n"
        "On half of the images, refit temperature, class priors, thresholds and prediction sets. On the other half,\n"
        "measure the model before and after. The halves share no lesion and no patient, if your CSV file has the\n"
        "columns lesion_id and patient_id. Writes a new release, whose card says so; OOD detection stays as it is.\n"
        "Each half needs 96 lesions (or patients), of which 10 are melanomas and 10 are benign.",
        example="skinvision adapt --data mine.csv --output_dir outputs/adapted\n"
        "skinvision predict photo.jpg --model outputs/adapted",
    )
    add_model_options(parser)
    about = "your images: a CSV file with the columns image and label, or one folder per diagnosis"
    parser.add_argument("--data", dest="source", type=source, required=True, metavar="SOURCE", help=about)
    parser.add_argument("--output_dir", required=True, type=Path, help="folder for the new release")
    _add_skip_unknown(parser)
    given = parser.parse_args(argv)
    require_training()

    from skinvision_hf.workflows.adapting import adapt_model

    print(f"{adapt_model(**vars(given))}\n\nRelease written to {given.output_dir}")
    return 0


def explain_model(argv: Sequence[str]) -> int:
    """Measure heat maps, draw them, and print the tables."""
    parser = make_parser(
        "explain-model",
        "Compare heat maps with lesion masks and with baselines. Writes the section `explanations` of metrics.json,\n"
        "figures, and the folder panels. The panels show images of the data set: do not publish them.\n"
        "If --output_dir is the release folder, its README.md and EVALUATION.md are updated, too.\n"
        "The whole test split takes about ten minutes on two CPU cores.",
        example="skinvision explain-model --data path/to/HAM10000 --output_dir outputs/explanations --limit 100",
    )
    add_model_options(parser)
    add_data_options(parser, "HAM10000 with its lesion masks")
    add = parser.add_argument
    add("--limit", type=positive, default=0, help="use at most this many images (default: all)")
    about = "images for the metric ROAD (default: %(default)s)"
    add("--road_images", type=positive, default=ROAD_IMAGES, help=about)
    add("--seed", type=int, default=0, help="random seed (default: %(default)s)")
    given = parser.parse_args(argv)

    from skinvision_hf.workflows.evaluating import explain_release

    report = explain_release(**vars(given))
    print(f"{report}\n\nWritten to {given.output_dir}: metrics.json, figures and panels")
    return 0
