"""Measure: `python scripts/benchmark.py WHAT`, where WHAT is inference, space, page, training, ood or near-duplicates.

Prints one JSON object. For education and research only; not a medical device.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from skinvision_hf.cli.options import positive, require_training
from skinvision_hf.errors import ModelError, run_command

SPACE = Path(__file__).resolve().parents[1] / "space" / "app.py"


def inference(arguments: argparse.Namespace) -> object:
    """Time one prediction, the whole command and many files against the bare parts."""
    from benchmarks import measure_inference

    size = (arguments.width, arguments.height)
    return measure_inference(arguments.model, image_size=size, repeats=arguments.repeats, files=arguments.files)


def training(arguments: argparse.Namespace) -> object:
    """Time the training loop against plain training steps on tensors in memory."""
    require_training()
    from benchmarks.training import measure_training

    from skinvision_hf.config import AugmentConfig, LossConfig, ModelConfig, TrainConfig
    from skinvision_hf.data import load_ham10000

    model = ModelConfig(architecture=arguments.architecture, image_size=arguments.image_size, init=arguments.init)
    augment, loss = AugmentConfig(resolution=1.0, first_resolution=0.0), LossConfig(mask_weight=0.0)
    config = TrainConfig(data=arguments.data, output_dir="", model=model, augment=augment, loss=loss)
    return measure_training(config, load_ham10000(arguments.data), steps=arguments.steps)


def space(arguments: argparse.Namespace) -> object:
    """Time the running demo page under visitors."""
    from benchmarks import measure_space

    return measure_space(
        SPACE, arguments.model, visitors=arguments.visitors, requests=arguments.requests, uploads=arguments.uploads
    )


def page(arguments: argparse.Namespace) -> object:
    """Time a static Space in a browser."""
    from benchmarks.page import measure_page

    return measure_page(arguments.url, repeats=arguments.repeats)


def ood(arguments: argparse.Namespace) -> object:
    """Measure which images of other things OOD detection refuses, and add that to the report of the release."""
    from benchmarks.ood import measure_far

    from skinvision_hf.card.model_card import write_card
    from skinvision_hf.data import load_ham10000
    from skinvision_hf.evaluation.report import write_metrics
    from skinvision_hf.figures.release_plots import plot_far
    from skinvision_hf.vision import SkinVision

    vision = SkinVision.from_pretrained(arguments.model, runtime="torch")
    if vision.detector is None:
        raise ModelError(f"{vision.release} has no OOD detector; train a release that has one")
    test = load_ham10000(arguments.data)["test"]
    report = measure_far(vision.model, vision.detector, test, count=arguments.count)
    if arguments.write:
        write_metrics(vision.release, {"ood": report.to_dict()})
        plot_far(report, vision.release / "figures" / "ood_far.png")
        write_card(vision.release)
    return report


def near_duplicates(arguments: argparse.Namespace) -> object:
    """Measure which pairs of images perceptual hashes find."""
    from benchmarks.near_duplicates import measure_near_duplicates

    return measure_near_duplicates(Path(arguments.data), copies=arguments.copies)


def benchmark(argv: Sequence[str] | None) -> int:
    """Parse the command line, measure and print."""
    parser = argparse.ArgumentParser(prog="benchmark.py", description=__doc__)
    subparsers = parser.add_subparsers(required=True, metavar="WHAT")
    command = subparsers.add_parser("inference", help="one prediction, the command, and many files")
    command.add_argument("--model", metavar="REF", help="release folder or Hub id; the bundled release by default")
    command.add_argument("--width", type=positive, default=600, help="image width in pixels (default: %(default)s)")
    command.add_argument("--height", type=positive, default=450, help="image height in pixels (default: %(default)s)")
    command.add_argument("--repeats", type=positive, default=200, help="timed calls (default: %(default)s)")
    command.add_argument("--files", type=positive, default=1000, help="files to classify (default: %(default)s)")
    command.set_defaults(measure=inference)
    command = subparsers.add_parser("space", help="the running demo page under one and more visitors, and bad files")
    command.add_argument("--model", metavar="REF", help="release folder or Hub id; the bundled release by default")
    command.add_argument(
        "--visitors", type=positive, nargs="+", default=[1, 4, 16], help="visitors at a time (default: %(default)s)"
    )
    command.add_argument("--requests", type=positive, default=64, help="answers per visitor (default: %(default)s)")
    command.add_argument("--uploads", type=positive, default=200, help="good and bad files (default: %(default)s)")
    command.set_defaults(measure=space)
    command = subparsers.add_parser("page", help="a static Space in a headless Chromium")
    command.add_argument("--url", required=True, help="page address, such as https://user-skinvision.static.hf.space")
    command.add_argument("--repeats", type=positive, default=20, help="timed answers (default: %(default)s)")
    command.set_defaults(measure=page)
    command = subparsers.add_parser("training", help="the training loop against plain steps on tensors in memory")
    command.add_argument("--data", required=True, help="HAM10000, as for scripts/train.py")
    command.add_argument("--image_size", type=positive, default=128, help="input size in pixels (default: %(default)s)")
    command.add_argument("--architecture", default="efficientnet_b0", help="timm name (default: %(default)s)")
    command.add_argument("--init", default="lite0", help="initial weights (default: %(default)s)")
    command.add_argument("--steps", type=positive, default=20, help="batches per measurement (default: %(default)s)")
    command.set_defaults(measure=training)
    command = subparsers.add_parser("ood", help="which images of other things OOD detection refuses")
    command.add_argument("--model", metavar="REF", help="release folder or Hub id; the bundled release by default")
    command.add_argument("--data", required=True, help="HAM10000, as for scripts/train.py")
    command.add_argument("--count", type=positive, default=100, help="images of each kind (default: %(default)s)")
    command.add_argument("--write", action="store_true", help="add the numbers to the report of the release")
    command.set_defaults(measure=ood)
    command = subparsers.add_parser("near-duplicates", help="which pairs of images `skinvision audit` finds")
    command.add_argument("--data", required=True, help="folder with the images of HAM10000")
    command.add_argument("--copies", type=positive, default=500, help="changed copies (default: %(default)s)")
    command.set_defaults(measure=near_duplicates)
    arguments = parser.parse_args(argv)
    print(json.dumps(asdict(arguments.measure(arguments)), indent=2))
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see `skinvision_hf.errors.run_command` for the exit codes."""
    return run_command(benchmark, argv)


if __name__ == "__main__":
    sys.exit(main())
