"""The `skinvision` command. Each subcommand loads what it needs only when it runs, so that `--help` is instant."""

import argparse
import json
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from skinvision_hf._version import __version__
from skinvision_hf.errors import ImageError, run_command
from skinvision_hf.labels import DISCLAIMER, diagnosis

if TYPE_CHECKING:
    from skinvision_hf.prediction import Prediction

__all__ = ["COMMANDS", "Command", "add_model_options", "main"]

BAR_WIDTH = 24
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
    parser.add_argument("--json", action="store_true", help="print one JSON object a line instead of tables")


def _predict(arguments: argparse.Namespace) -> int:
    from skinvision_hf.inference import SkinVision

    vision = SkinVision.from_pretrained(arguments.model, revision=arguments.revision, device=arguments.device)
    code = 0
    for path in arguments.images:
        try:
            prediction = vision.predict(path)
        except ImageError as error:
            print(f"error: {error}", file=sys.stderr, flush=True)
            code = 2
            continue
        answer = json.dumps({"path": path, **prediction.to_dict()}) if arguments.json else _table(path, prediction)
        print(answer, flush=True)
    print(DISCLAIMER, file=sys.stderr if arguments.json else sys.stdout)
    return code


def _table(path: str, prediction: "Prediction") -> str:
    """The seven diagnoses of one image, the most probable first, with bars."""
    from skinvision_hf.images import printable

    ranked = sorted(prediction.probabilities.items(), key=lambda item: -item[1])
    names = {code: diagnosis(code).name for code in prediction.probabilities}
    width = max(map(len, names.values()))
    lines = [printable(path)]
    for code, value in ranked:
        kind = "malignant" if diagnosis(code).malignant else "benign"
        bar = "#" * round(BAR_WIDTH * value)
        lines.append(f"  {names[code]:<{width}}  {kind:<9}  {value:6.1%}  {bar}".rstrip())
    lines.append(f"  {'Malignant in total':<{width}}  {'':<9}  {prediction.malignant_probability:6.1%}")
    lines.append(f"  {_typicality(prediction)}")
    return "\n".join(lines) + "\n"


def _typicality(prediction: "Prediction") -> str:
    if prediction.in_distribution is None:
        return "Whether this image is like the training images is unknown: the release carries no guard."
    if prediction.in_distribution:
        return f"The image is like the training images (typicality {prediction.typicality:.2f})."
    return (
        f"The image is NOT like the training images (typicality {prediction.typicality:.2f}): "
        "do not rely on these numbers."
    )


COMMANDS: tuple[Command, ...] = (Command("predict", "classify images of skin lesions", _add_predict_options, _predict),)


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
        return run_command(_run, argv)
    except OSError as error:
        # The interpreter flushes standard output once more on its way out, and must find someone there.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            return READER_GONE
        print(f"error: cannot write: {error.strerror or error}; check the disk and run again", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
