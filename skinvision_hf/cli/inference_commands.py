"""`skinvision predict` and `skinvision explain`."""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from skinvision_hf.cli.inputs import STDIN, check_images, find_images
from skinvision_hf.cli.options import add_model_options, check_model, make_parser, png, share
from skinvision_hf.cli.tables import open_table, table_path
from skinvision_hf.config import CAM_METHOD, CAM_METHODS
from skinvision_hf.errors import ModelError, SkinVisionError
from skinvision_hf.labels import CODES, DIAGNOSES, DISCLAIMER, diagnosis

if TYPE_CHECKING:
    from skinvision_hf.errors import ImageError
    from skinvision_hf.models.prediction import Prediction
    from skinvision_hf.vision import SkinVision

__all__ = ["explain", "predict"]

BAR_WIDTH = 24
UNLIKE = "The image is NOT like the training images: do not rely on these numbers."
TOTAL = "Pre-malignant or malignant in total"
GROUP_WIDTH = max(len(entry.group) for entry in DIAGNOSES)
TASKS = ("malignant", "melanoma")
BATCH = 32
EXAMPLE = """skinvision predict photo.jpg
skinvision predict photos/ "more/*.png" --output answers.csv
curl -s https://example.org/photo.jpg | skinvision predict -"""


def _parse_predict(argv: Sequence[str]) -> argparse.Namespace:
    parser = make_parser(
        "predict",
        "Classify images of skin lesions: a verdict by the threshold of --min_sensitivity, then the probability of\n"
        "each diagnosis. A file that cannot be used is named on standard error, and the others are answered.",
        example=EXAMPLE,
    )
    parser.add_argument(
        "images",
        nargs="+",
        metavar="IMAGE",
        help="image file, folder, pattern such as '*.jpg', or - for standard input",
    )
    add_model_options(parser, device=True)
    parser.add_argument("--coverage", type=share, help="of the conformal prediction set (default: 0.9)")
    parser.add_argument(
        "--min_sensitivity",
        type=share,
        help="of the verdict's threshold, on validation images (default: 0.95)",
    )
    parser.add_argument("--task", choices=TASKS, default=TASKS[0], help="what to suspect (default: %(default)s)")
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true", help="print one JSON object a line instead of tables")
    output.add_argument("--output", type=table_path, metavar="FILE", help="write a table: .csv, .jsonl or .parquet")
    return parser.parse_args(argv)


def predict(argv: Sequence[str]) -> int:
    """Classify images; print or write one answer for each."""
    arguments = _parse_predict(argv)
    check_model(arguments.model)
    images = find_images(arguments.images)
    if not check_images(images):
        return 2

    vision = _load(arguments)
    code = 0
    with ExitStack() as stack:
        write = stack.enter_context(open_table(arguments.output, total=len(images))) if arguments.output else None
        for path, answer in _answers(vision, images, arguments.coverage):
            if isinstance(answer, Exception):
                print(f"error: {answer}", file=sys.stderr, flush=True)
                code = 2
            if write is not None:
                write(_record(path, answer))
            elif not isinstance(answer, Exception):
                print(json.dumps(_record(path, answer)) if arguments.json else _text(path, answer), flush=True)
    if arguments.output:
        print(f"Written to {arguments.output}")
    print(DISCLAIMER, file=sys.stderr if arguments.json else sys.stdout)
    return code


def _load_release(arguments: argparse.Namespace) -> "SkinVision":
    """Find the release before torch is imported, so that a wrong name is answered at once; then load it."""
    from skinvision_hf.models.release import resolve_release

    release = resolve_release(arguments.model, revision=arguments.revision)
    from skinvision_hf.vision import SkinVision

    return SkinVision.from_pretrained(release, device=arguments.device)


def _load(arguments: argparse.Namespace) -> "SkinVision":
    """Load the release, and check that it has what the options ask for."""
    vision = _load_release(arguments)
    from skinvision_hf.models.operating_points import MIN_SENSITIVITY, load_operating_point

    if arguments.coverage and vision.conformal is None:
        raise ModelError("this release has no conformal scores, so it makes no prediction sets; leave --coverage out")
    vision.operating_point = load_operating_point(
        vision.release, min_sensitivity=arguments.min_sensitivity or MIN_SENSITIVITY, task=arguments.task
    )
    if arguments.min_sensitivity and vision.operating_point is None:
        raise ModelError("this release has no operating points, so it gives no verdict; leave --min_sensitivity out")
    return vision


def _answers(
    vision: "SkinVision", images: Sequence[str], coverage: float | None
) -> "Iterator[tuple[str, Prediction | ImageError]]":
    """Answer in batches, as slowly as the answers are taken."""
    from skinvision_hf.models.prediction_sets import COVERAGE

    for start in range(0, len(images), BATCH):
        paths = images[start : start + BATCH]
        sources = [sys.stdin.buffer.read() if path == STDIN else path for path in paths]
        yield from zip(paths, vision.predict(sources, coverage=coverage or COVERAGE, on_error="return"), strict=True)


def _record(path: str, answer: "Prediction | ImageError") -> dict[str, Any]:
    """All about one image, as JSON can hold it."""
    if isinstance(answer, Exception):
        return {"path": path, "error": str(answer)}
    warning = {"warning": UNLIKE} if answer.in_distribution is False else {}
    return {"path": path, **answer.to_dict(), **warning}


def _text(path: str, prediction: "Prediction") -> str:
    """The verdict, then the seven diagnoses, the most probable first, with bars, and the prediction set."""
    from skinvision_hf.data.images import printable

    names = {code: diagnosis(code).name for code in prediction.probabilities}
    width = max(map(len, (*names.values(), TOTAL)))
    lines = ["standard input" if path == STDIN else printable(path), f"  {_verdict(prediction)}"]
    for code, value in sorted(prediction.probabilities.items(), key=lambda item: -item[1]):
        bar = "#" * round(BAR_WIDTH * value)
        lines.append(f"  {names[code]:<{width}}  {diagnosis(code).group:<{GROUP_WIDTH}}  {value:6.1%}  {bar}".rstrip())
    lines.append(f"  {TOTAL:<{width}}  {'':<{GROUP_WIDTH}}  {prediction.malignant_probability:6.1%}")
    if prediction.in_distribution is not False and prediction.prediction_set is not None:
        members = ", ".join(names[code] for code in prediction.prediction_set)
        lines.append(f"  {prediction.coverage:.0%} prediction set: {members}")
    if prediction.in_distribution is None:
        lines.append("  Whether the image is like the training images is unknown: the release has no OOD detector.")
    return "\n".join(lines) + "\n"


def _verdict(prediction: "Prediction") -> str:
    if prediction.in_distribution is False:
        return UNLIKE
    point = prediction.operating_point
    verdict = point.explain(prediction.probabilities) if point else "No verdict: the release has no operating points."
    return f"{verdict} The image is unusual: trust this less." if prediction.unusual else verdict


def explain(argv: Sequence[str]) -> int:
    """Draw the heat map of one image beside it."""
    parser = make_parser(
        "explain",
        "Show which parts of an image speak for a diagnosis.",
        example="skinvision explain photo.jpg --output why.png --target mel",
    )
    parser.add_argument("image", metavar="IMAGE", help="image file")
    parser.add_argument("--output", required=True, type=png, metavar="FILE.png", help="where the picture goes")
    parser.add_argument("--target", choices=CODES, help="diagnosis to explain (default: the most probable one)")
    parser.add_argument("--method", choices=CAM_METHODS, default=CAM_METHOD, help="default: %(default)s")
    add_model_options(parser, device=True)
    arguments = parser.parse_args(argv)
    check_model(arguments.model)
    if not check_images([arguments.image]):
        return 2
    if arguments.output.exists() and arguments.output.samefile(arguments.image):
        raise SkinVisionError("--output would overwrite the image; give the picture another name")

    vision = _load_release(arguments)
    import io

    from skinvision_hf.data.images import printable
    from skinvision_hf.figures.explanation_figure import draw_explanation
    from skinvision_hf.files import atomic_write

    explanation = vision.explain(arguments.image, target=arguments.target, method=arguments.method, max_side=800)
    picture = io.BytesIO()
    draw_explanation(explanation).save(picture, "PNG")
    atomic_write(arguments.output, picture.getvalue())
    print(f"{printable(arguments.image)}: {explanation.prediction}")
    print(f"What speaks for {diagnosis(explanation.target).name} is shown in {printable(arguments.output)}")
    print(DISCLAIMER)
    return 0
