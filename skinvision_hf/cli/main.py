"""The `skinvision` command. Each subcommand loads what it needs only when it runs, so that `--help` is instant."""

import argparse
import json
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skinvision_hf._version import __version__
from skinvision_hf.config import CAM_METHOD, CAM_METHODS
from skinvision_hf.errors import ImageError, ModelError, SkinVisionError, run_command
from skinvision_hf.labels import CODES, DIAGNOSES, DISCLAIMER, diagnosis

if TYPE_CHECKING:
    from skinvision_hf.evaluation.operating_points import OperatingPoint
    from skinvision_hf.models.prediction import Prediction

__all__ = ["COMMANDS", "Command", "add_model_options", "main"]

BAR_WIDTH = 24
UNLIKE = "The image is NOT like the training images: do not rely on these numbers."
TOTAL = "Pre-malignant or malignant in total"
GROUP_WIDTH = max(len(entry.group) for entry in DIAGNOSES)
SUSPICIONS = ("malignant", "melanoma")
READER_GONE = 141  # what a shell reports for a program whose reader closed the pipe


@dataclass(frozen=True)
class Command:
    """One subcommand.

    Attributes:
        name: What the user types.
        summary: One line for the help.
        add_options: Adds the subcommand's own options to its parser.
        run: Does the work and returns an exit code.
    """

    name: str
    summary: str
    add_options: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which release answers, and where it runs."""
    parser.add_argument("--model", metavar="REF", help="release folder or Hub id; the bundled release by default")
    parser.add_argument("--revision", help="branch, tag or commit of a Hub id")
    parser.add_argument("--device", help="torch device such as cpu or cuda; by default the accelerator, if any")


def _add_predict_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="image file, such as a JPEG or PNG")
    add_model_options(parser)
    parser.add_argument(
        "--coverage",
        type=_share,
        help="how often the set of likely diagnoses aims to hold the truth, such as 0.95; 0.9 by default",
    )
    parser.add_argument(
        "--min_sensitivity",
        type=_share,
        help="say whether to suspect malignancy, with the threshold that found at least this share of the malignant "
        "validation images, such as 0.95; what it found among test images is shown beside it",
    )
    parser.add_argument(
        "--task", choices=SUSPICIONS, help=f"what to suspect, for --min_sensitivity (default: {SUSPICIONS[0]})"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object a line instead of tables")


def _share(text: str) -> float:
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1; give a share such as 0.95")
    return value


def _predict(arguments: argparse.Namespace) -> int:
    if arguments.task and not arguments.min_sensitivity:
        raise SkinVisionError("--task says what to suspect; add the share to find, such as --min_sensitivity 0.95")

    from skinvision_hf.models.skinvision import SkinVision

    vision = SkinVision.from_pretrained(arguments.model, revision=arguments.revision, device=arguments.device)
    if arguments.coverage and vision.conformal is None:
        raise ModelError("this release carries no conformal scores, so it makes no sets; leave --coverage out")
    options = {"coverage": arguments.coverage} if arguments.coverage else {}
    point = None
    if arguments.min_sensitivity:
        from skinvision_hf.evaluation.operating_points import load_operating_point

        task = arguments.task or SUSPICIONS[0]
        point = load_operating_point(vision.release, min_sensitivity=arguments.min_sensitivity, task=task)
    code = 0
    for path in arguments.images:
        try:
            prediction = vision.predict(path, **options)
        except ImageError as error:
            print(f"error: {error}", file=sys.stderr, flush=True)
            code = 2
            continue
        if arguments.json:
            unlike = prediction.in_distribution is False
            beside: dict[str, Any] = {"warning": UNLIKE} if unlike else {}
            if point is not None:
                beside["suspicion"] = None if unlike else point.judge(prediction.probabilities)
            answer = json.dumps({"path": path, **prediction.to_dict(), **beside})
        else:
            answer = _table(path, prediction, point)
        print(answer, flush=True)
    print(DISCLAIMER, file=sys.stderr if arguments.json else sys.stdout)
    return code


def _table(path: str, prediction: "Prediction", point: "OperatingPoint | None") -> str:
    """The seven diagnoses of one image, the most probable first, with bars, and what follows from them."""
    from skinvision_hf.data.images import printable

    ranked = sorted(prediction.probabilities.items(), key=lambda item: -item[1])
    names = {code: diagnosis(code).name for code in prediction.probabilities}
    width = max(map(len, (*names.values(), TOTAL)))
    lines = [printable(path)]
    unlike = prediction.in_distribution is False
    if unlike:
        lines.append(f"  {UNLIKE} (typicality {prediction.typicality:.2f})")
    for code, value in ranked:
        bar = "#" * round(BAR_WIDTH * value)
        lines.append(f"  {names[code]:<{width}}  {diagnosis(code).group:<{GROUP_WIDTH}}  {value:6.1%}  {bar}".rstrip())
    lines.append(f"  {TOTAL:<{width}}  {'':<{GROUP_WIDTH}}  {prediction.malignant_probability:6.1%}")
    if unlike:
        lines.append("  No list of likely diagnoses and no suspicion: they could not be relied on.")
        return "\n".join(lines) + "\n"
    lines.append(f"  {_typicality(prediction)}")
    if prediction.prediction_set is not None:
        members = ", ".join(names[code] for code in prediction.prediction_set)
        lines.append(f"  This list aims at holding the truth {prediction.coverage:.0%} of the time: {members}.")
    if point is not None:
        lines.append(f"  {point.explain(prediction.probabilities)}")
    return "\n".join(lines) + "\n"


def _typicality(prediction: "Prediction") -> str:
    if prediction.in_distribution is None:
        return "Whether this image is like the training images is unknown: the release carries no guard."
    return f"The image is like the training images (typicality {prediction.typicality:.2f})."


def _add_explain_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("image", metavar="IMAGE", help="image file, such as a JPEG or PNG")
    parser.add_argument("--output", required=True, type=_png, metavar="FILE.png", help="where the picture goes")
    parser.add_argument("--target", choices=CODES, help="diagnosis to explain; by default the most probable one")
    parser.add_argument(
        "--method", choices=CAM_METHODS, default=CAM_METHOD, help="how the heat map is computed (default: %(default)s)"
    )
    add_model_options(parser)


def _png(text: str) -> Path:
    path = Path(text)
    if path.suffix.lower() != ".png" or path.is_dir():
        raise argparse.ArgumentTypeError(f"{text} is no name for a picture; give one that ends in .png")
    return path


def _explain(arguments: argparse.Namespace) -> int:
    import io

    from skinvision_hf.data.images import printable
    from skinvision_hf.files import atomic_write
    from skinvision_hf.models.skinvision import SkinVision

    if arguments.output.exists() and Path(arguments.image).exists() and arguments.output.samefile(arguments.image):
        raise ImageError("--output would overwrite the image; give the picture another name")
    vision = SkinVision.from_pretrained(arguments.model, revision=arguments.revision, device=arguments.device)
    explanation = vision.explain(arguments.image, target=arguments.target, method=arguments.method)
    picture = io.BytesIO()
    explanation.figure().save(picture, "PNG")
    atomic_write(arguments.output, picture.getvalue())
    print(f"{printable(arguments.image)}: {explanation.prediction}")
    print(f"What speaks for {diagnosis(explanation.target).name} is shown in {printable(arguments.output)}")
    print(DISCLAIMER)
    return 0


COMMANDS: tuple[Command, ...] = (
    Command("predict", "classify images of skin lesions", _add_predict_options, _predict),
    Command("explain", "show which parts of an image speak for a diagnosis", _add_explain_options, _explain),
)


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="skinvision", description="Classify dermatoscopic images of skin lesions.", epilog=DISCLAIMER
    )
    parser.add_argument("--version", action="version", version=f"skinvision {__version__}")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        subparser = subparsers.add_parser(
            command.name, help=command.summary, description=command.summary.capitalize() + ".", epilog=DISCLAIMER
        )
        command.add_options(subparser)
        subparser.set_defaults(run=command.run)
    return parser


def _run(argv: Sequence[str] | None) -> int:
    arguments = _build_parser().parse_args(argv)
    code = arguments.run(arguments)
    sys.stdout.flush()
    return code


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        0, 2 when an input or an option is wrong, 1 when a run failed, 130 after Ctrl-C, or 141 when the reader of the
        output went away.
    """
    # A terminal that cannot show a character shows a question mark instead of a traceback.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    # Pillow's remarks about metadata are of no use to someone who asked about the pixels.
    warnings.filterwarnings("ignore", module="PIL")
    try:
        code = run_command(_run, argv)
    except BrokenPipeError:
        code = READER_GONE
    try:
        sys.stdout.flush()
    except OSError:
        # The interpreter flushes standard output once more on its way out, and must find someone there.
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


if __name__ == "__main__":
    sys.exit(main())
