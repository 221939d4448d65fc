"""The `skinvision` command: its subcommands, and how a process ends."""

import importlib
import os
import sys
import warnings
from collections.abc import Sequence
from contextlib import suppress

from skinvision_hf._version import __version__
from skinvision_hf.cli.options import check_environment, make_parser
from skinvision_hf.errors import extras, run_command

# The module of each command, whose function has the command's name; it is imported when it is asked for.
COMMANDS = {
    "predict": ("inference_commands", "classify images of skin lesions"),
    "explain": ("inference_commands", "show which parts of an image support a diagnosis"),
    "selftest": ("inference_commands", "check that a model answers here as where it was trained"),
    "prepare": ("training_commands", "download, check and prepare HAM10000"),
    "train": ("training_commands", "train a model and write its release folder"),
    "evaluate": ("training_commands", "evaluate a model on labelled images"),
    "compare": ("training_commands", "find out whether one model is better than another"),
    "audit": ("training_commands", "find lesions with images in more than one split"),
    "adapt": ("training_commands", "adapt a model to your own labelled images"),
    "explain-model": ("training_commands", "compare the heat maps of a model with lesion masks"),
    "publish": ("hub_commands", "publish a model, a data set or a Space on the Hub"),
}
# The extra that brings all that a command needs; the others need more only for some options.
EXTRAS = {
    **dict.fromkeys(("prepare", "train", "evaluate", "compare", "adapt", "explain-model"), "train"),
    **{"audit": "audit", "publish": "publish"},
}
READER_GONE = 141  # what a shell reports for a program whose reader closed the pipe


def _run(argv: Sequence[str] | None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    if argv and argv[0] in COMMANDS:
        check_environment(launched=EXTRAS.get(argv[0]) == "train")
        module = importlib.import_module(f"skinvision_hf.cli.{COMMANDS[argv[0]][0]}")
        with extras(EXTRAS.get(argv[0])):
            code: int = getattr(module, argv[0].replace("-", "_"))(argv[1:])
        sys.stdout.flush()
        return code
    listed = "\n".join(f"  {name:<14} {summary}" for name, (_, summary) in COMMANDS.items())
    parser = make_parser(
        "",
        f"Classify dermatoscopic images of skin lesions.\n\ncommands (COMMAND --help explains each):\n{listed}",
        example="skinvision predict photo.jpg",
    )
    parser.add_argument("--version", action="version", version=f"skinvision {__version__}")
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND")
    parser.parse_args(argv)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with these arguments, or those of the process.

    Returns:
        0, 2 when an input or an option is wrong, 1 when a run failed, 3 when `audit` finds a leak, 130 after Ctrl-C, or
        141 when the reader of the output went away.
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
        # The interpreter flushes standard output once more at its end, which must not fail.
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


if __name__ == "__main__":
    sys.exit(main())
