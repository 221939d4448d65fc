"""Measure heat maps: `python scripts/explain_model.py --data DATA --output_dir DIR [--model REF]`.

Writes the section `explanations` of metrics.json (do heat maps lie on the lesion, beside controls; every number with a
95 % interval over lesions), figures, and the folder panels, which shows images of the data set: keep that to yourself.
For education and research only; not a medical device.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from skinvision_hf.cli.commands import positive
from skinvision_hf.config import CAM_METHOD
from skinvision_hf.data.split_schemes import DEFAULT_SCHEME, SPLIT_SCHEMES
from skinvision_hf.errors import run_command


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog="explain_model.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", metavar="REF", help="release folder or Hub id; the bundled release by default")
    parser.add_argument("--revision", help="branch, tag or commit of a Hub id")
    parser.add_argument("--data", required=True, help="HAM10000 with its masks, as for scripts/train.py")
    parser.add_argument("--split_name", choices=SPLIT_SCHEMES, help=f"default: that of prepared data, else {DEFAULT_SCHEME}")
    parser.add_argument("--output_dir", required=True, type=Path, help="folder for the results, such as the release")
    parser.add_argument("--limit", type=positive, help="use at most this many images of each part (default: all)")
    parser.add_argument(
        "--road_images", type=positive, default=64, help="images of each part for ROAD (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of all that is drawn by lot (default: %(default)s)")
    return parser


def explain(argv: Sequence[str] | None) -> int:
    """Measure, draw, and print the tables."""
    arguments = build_parser().parse_args(argv)
    folder, seed = arguments.output_dir, arguments.seed

    from skinvision_hf.card import write_card
    from skinvision_hf.data import load_ham10000, resolve_scheme, scheme_name
    from skinvision_hf.evaluation.logits import assert_same_subject, measured_weights, write_metrics
    from skinvision_hf.explain.evaluation import draw_parts, evaluate_explanations
    from skinvision_hf.figures.explain_panels import draw_panels
    from skinvision_hf.figures.explain_scores import draw_scores
    from skinvision_hf.files import make_folder
    from skinvision_hf.models.release import TRAINING_FILE
    from skinvision_hf.models.skinvision import SkinVision

    vision = SkinVision.from_pretrained(arguments.model, revision=arguments.revision)
    about = {"model": measured_weights(vision.release)}
    assert_same_subject(folder, about)
    split_scheme = resolve_scheme(arguments.data, arguments.split_name)
    data = load_ham10000(arguments.data, split_scheme=split_scheme, masks=True)
    name = scheme_name(data, split_scheme)
    data = draw_parts(data, arguments.limit, seed=seed) if arguments.limit else data
    make_folder(folder)
    report, collected = evaluate_explanations(
        vision.model, data, split_scheme=name, road_images=arguments.road_images, seed=seed
    )
    write_metrics(folder, about | {"explanations": report.to_dict()})
    draw_scores(report, folder / "figures")
    draw_panels(vision, data["test"], collected, folder / "panels", seed=seed)
    if folder.resolve() == vision.release.resolve() and (folder / TRAINING_FILE).is_file():
        write_card(folder)
    print(report)
    print(f"\nValidation favours {report.favourite}; the default method is {CAM_METHOD}.")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see `skinvision_hf.errors.run_command` for the exit codes."""
    return run_command(explain, argv)


if __name__ == "__main__":
    sys.exit(main())
