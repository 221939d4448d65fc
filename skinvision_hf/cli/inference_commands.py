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
from skinvision_hf.errors import ImageError, ModelError, SkinVisionError
from skinvision_hf.labels import CODES, DIAGNOSES, DISCLAIMER, diagnosis

if TYPE_CHECKING:
    from skinvision_hf.models.operating_points import OperatingPoint
    from skinvision_hf.models.prediction import Prediction
    from skinvision_hf.vision import SkinVision

__all__ = ["explain", "predict"]

BAR_WIDTH = 24
UNLIKE = "The image is NOT like the training images: do not rely on these numbers."
TOTAL = "Pre-malignant or malignant in total"
GROUP_WIDTH = max(len(entry.group) for entry in DIAGNOSES)
TASKS = ("malignant", "melanoma")
MIN_SENSITIVITY = 0.95
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
        help=f"of the verdict's threshold, on validation images (default: {MIN_SENSITIVITY})",
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

    from skinvision_hf.vision import SkinVision

    vision = SkinVision.from_pretrained(arguments.model, revision=arguments.revision, device=arguments.device)
    if arguments.coverage and vision.conformal is None:
        raise ModelError("this release has no conformal scores, so it makes no prediction sets; leave --coverage out")
    point = _operating_point(vision, arguments)
    options = {"coverage": arguments.coverage} if arguments.coverage else {}
    code = 0
    with ExitStack() as stack:
        write = stack.enter_context(open_table(arguments.output, total=len(images))) if arguments.output else None
        for path, answer in _answers(vision, images, options):
            if isinstance(answer, ImageError):
                print(f"error: {answer}", file=sys.stderr, flush=True)
                code = 2
            record = _record(path, answer, point)
            if write is not None:
                write(record)
            elif not isinstance(answer, ImageError):
                print(json.dumps(record) if arguments.json else _text(path, answer, point), flush=True)
    if arguments.output:
        print(f"Written to {arguments.output}")
    print(DISCLAIMER, file=sys.stderr if arguments.json else sys.stdout)
    return code


def _operating_point(vision: "SkinVision", arguments: argparse.Namespace) -> "OperatingPoint | None":
    """The threshold of the verdict; None where the release has none and no one was asked for."""
    from skinvision_hf.models.operating_points import load_operating_point, stored_points

    if arguments.min_sensitivity is None and not stored_points(vision.release, arguments.task):
        return None
    level = arguments.min_sensitivity or MIN_SENSITIVITY
    return load_operating_point(vision.release, min_sensitivity=level, task=arguments.task)


def _answers(
    vision: "SkinVision", images: Sequence[str], options: dict[str, Any]
) -> "Iterator[tuple[str, Prediction | ImageError]]":
    for path in images:
        try:
            yield path, vision.predict(sys.stdin.buffer.read() if path == STDIN else path, **options)
        except ImageError as error:
            yield path, error


def _record(path: str, answer: "Prediction | ImageError", point: "OperatingPoint | None") -> dict[str, Any]:
    """All about one image, as JSON can hold it."""
    if isinstance(answer, ImageError):
        return {"path": path, "error": str(answer)}
    record = {"path": path, **answer.to_dict()}
    unlike = answer.in_distribution is False
    if unlike:
        record["warning"] = UNLIKE
    if point is not None:
        record["suspicious"] = None if unlike else point.is_positive(answer.probabilities)
        record["threshold"] = point.to_dict()
    return record


def _text(path: str, prediction: "Prediction", point: "OperatingPoint | None") -> str:
    """The verdict, then the seven diagnoses, the most probable first, with bars, and what follows from them."""
    from skinvision_hf.data.images import printable

    ranked = sorted(prediction.probabilities.items(), key=lambda item: -item[1])
    names = {code: diagnosis(code).name for code in prediction.probabilities}
    width = max(map(len, (*names.values(), TOTAL)))
    lines = ["standard input" if path == STDIN else printable(path)]
    unlike = prediction.in_distribution is False
    if unlike:
        lines.append(f"  {UNLIKE}")
    elif point is not None:
        lines.append(f"  {point.explain(prediction.probabilities)}")
    for code, value in ranked:
        bar = "#" * round(BAR_WIDTH * value)
        lines.append(f"  {names[code]:<{width}}  {diagnosis(code).group:<{GROUP_WIDTH}}  {value:6.1%}  {bar}".rstrip())
    lines.append(f"  {TOTAL:<{width}}  {'':<{GROUP_WIDTH}}  {prediction.malignant_probability:6.1%}")
    if prediction.in_distribution is None:
        lines.append("  Whether the image is like the training images is unknown: the release has no OOD detector.")
    if prediction.prediction_set is not None and not unlike:
        members = ", ".join(names[code] for code in prediction.prediction_set)
        lines.append(f"  {prediction.coverage:.0%} prediction set: {members}")
    return "\n".join(lines) + "\n"


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

    import io

    from skinvision_hf.data.images import printable
    from skinvision_hf.figures.explanation_figure import draw_explanation
    from skinvision_hf.files import atomic_write
    from skinvision_hf.vision import SkinVision

    vision = SkinVision.from_pretrained(arguments.model, revision=arguments.revision, device=arguments.device)
    explanation = vision.explain(arguments.image, target=arguments.target, method=arguments.method)
    picture = io.BytesIO()
    draw_explanation(explanation).save(picture, "PNG")
    atomic_write(arguments.output, picture.getvalue())
    print(f"{printable(arguments.image)}: {explanation.prediction}")
    print(f"What speaks for {diagnosis(explanation.target).name} is shown in {printable(arguments.output)}")
    print(DISCLAIMER)
    return 0
