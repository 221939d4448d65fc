"""`skinvision predict`, `skinvision explain` and `skinvision selftest`."""

import argparse
import csv
import glob
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from skinvision_hf.cli.options import add_model_options, make_parser, output_file, share
from skinvision_hf.config import CAM_METHOD, CAM_METHODS, ONNX_METHODS
from skinvision_hf.errors import ImageError, ModelError, SkinVisionError, first_ten
from skinvision_hf.files import exists
from skinvision_hf.labels import CODES, DIAGNOSES, DISCLAIMER, diagnosis

if TYPE_CHECKING:
    from skinvision_hf.models.prediction import Prediction
    from skinvision_hf.vision import SkinVision

STDIN = "-"
BAR_WIDTH = 24
UNLIKE = "The image is NOT like the training images: do not rely on these numbers."
TOTAL = "Pre-malignant or malignant in total"
NAME_WIDTH = max(len(name) for name in (*(entry.name for entry in DIAGNOSES), TOTAL))
GROUP_WIDTH = max(len(entry.group) for entry in DIAGNOSES)
TABLES = (".csv", ".jsonl", ".parquet")
ROWS = 1000
# Of tables in CSV and Parquet files, with their types. A prediction set is its codes with spaces between them.
COLUMNS = {
    "path": "string",
    "label": "string",
    "confidence": "float64",
    "malignant_probability": "float64",
    "suspicious": "bool",
    "in_distribution": "bool",
    "prediction_set": "string",
    **{f"probability_{code}": "float64" for code in CODES},
    "error": "string",
}


def predict(argv: Sequence[str]) -> int:
    """Classify images; print or write one answer for each."""
    parser = make_parser(
        "predict",
        "Classify images of skin lesions. For each image, print a verdict (suspicious or not), the probability of\n"
        "each diagnosis, and a conformal prediction set. Files that cannot be read are reported on standard error;\n"
        "the others are classified.",
        example='skinvision predict photo.jpg\nskinvision predict photos/ "more/*.png" --output answers.csv\n'
        "curl -s https://example.org/photo.jpg | skinvision predict -",
    )
    add = parser.add_argument
    about = "image file, folder, pattern such as '*.jpg', or - for standard input"
    add("images", nargs="+", metavar="IMAGE", help=about)
    add_model_options(parser, device=True)
    add("--coverage", type=share, help="coverage of the conformal prediction set (default: 0.9)")
    about = "use the threshold with at least this sensitivity on validation images (default: 0.95)"
    add("--min_sensitivity", type=share, help=about)
    about = "what the verdict is about: any malignant diagnosis, or melanoma only (default: malignant)"
    add("--task", choices=("malignant", "melanoma"), default="malignant", help=about)
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true", help="print one JSON object per line instead of tables")
    output.add_argument(
        "--output", type=output_file(*TABLES), metavar="FILE", help="write a table: .csv, .jsonl or .parquet"
    )
    given = parser.parse_args(argv)
    images = _find_images(given.images)
    _check_exists(images)
    there = [path for path in images if path != STDIN and exists(path)]
    if given.output and given.output.exists() and any(given.output.samefile(path) for path in there):
        raise ImageError(f"{given.output} is also one of the images; choose another --output")

    vision = _load(given)
    from tqdm import tqdm

    answers = tqdm(
        _answers(vision, images, given.coverage),
        total=len(images),
        unit="image",
        disable=None if given.output else True,  # None: it is shown on a terminal only
    )
    code = 0
    with open_table(given.output) if given.output else nullcontext() as write:
        for path, answer in answers:
            if isinstance(answer, ImageError):
                print(f"error: {answer}", file=sys.stderr, flush=True)
                code = 2
            if write is not None:
                write(_record(path, answer))
            elif not isinstance(answer, ImageError):
                print(json.dumps(_record(path, answer)) if given.json else _text(path, answer), flush=True)
    if given.output:
        print(f"Written to {given.output}")
    print(DISCLAIMER, file=sys.stderr if given.json else sys.stdout)
    return code


def _find_images(names: Sequence[str]) -> list[str]:
    """List the images of files, folders (and folders in them) and patterns. A path that exists is not a pattern."""
    images: list[str] = []
    for name in names:
        if not name:
            raise ImageError("the path of an image is empty; name an image file or a folder")
        path, found = Path(name), [name]
        if exists(name) and path.is_dir():
            from skinvision_hf.data.folders import list_files
            from skinvision_hf.data.images import IMAGE_SUFFIXES

            found = [str(picture) for picture in list_files(path, IMAGE_SUFFIXES)]
        elif glob.has_magic(name) and not exists(name):
            found = sorted(match for match in glob.iglob(name, recursive=True) if Path(match).is_file())  # noqa: PTH207 - of any root
        if not found:
            raise ImageError(f"there are no images in {name}; check the path")
        images += found
    return images


def _check_exists(images: Sequence[str]) -> None:
    """Check that there is at least one of the images, before seconds go into loading a model."""
    if not any(path == STDIN or exists(path) for path in images):
        raise ImageError(f"{first_ten(images)} does not exist; check the path")


def _load(given: argparse.Namespace) -> "SkinVision":
    """Load the release, and check that it has what the options ask for."""
    from skinvision_hf.vision import SkinVision

    vision = SkinVision.from_pretrained(given.ref, revision=given.revision, device=given.device)
    from skinvision_hf.models.prediction import MIN_SENSITIVITY, load_operating_point

    if given.coverage and vision.conformal is None:
        raise ModelError("this release has no conformal scores, so it makes no prediction sets; leave --coverage out")
    vision.operating_point = load_operating_point(
        vision.release, min_sensitivity=given.min_sensitivity or MIN_SENSITIVITY, task=given.task
    )
    if given.min_sensitivity and vision.operating_point is None:
        raise ModelError("this release has no operating points, so it gives no verdict; leave --min_sensitivity out")
    return vision


def _answers(
    vision: "SkinVision", images: Sequence[str], coverage: float | None
) -> "Iterator[tuple[str, Prediction | ImageError]]":
    """Answer each image, as slowly as the answers are taken."""
    from skinvision_hf.models.prediction import COVERAGE

    sources = (sys.stdin.buffer.read() if path == STDIN else path for path in images)
    answers = vision.stream(sources, coverage=coverage or COVERAGE, on_error="return")
    for number, (path, answer) in enumerate(zip(images, answers, strict=True)):
        if path == STDIN and isinstance(answer, ImageError):
            answer = ImageError(str(answer).replace(f"image {number}", "standard input"))
        yield path, answer


def _record(path: str, answer: "Prediction | ImageError") -> dict[str, Any]:
    """All about one image, as JSON can hold it; bytes of the path that are not UTF-8 are escaped."""
    path = os.fsencode(path).decode("utf-8", "backslashreplace")
    if isinstance(answer, ImageError):
        return {"path": path, "error": str(answer)}
    warning = {"warning": UNLIKE} if answer.in_distribution is False else {}
    return {"path": path, **answer.to_dict(), **warning}


@contextmanager
def open_table(path: Path) -> Iterator[Callable[[dict[str, Any]], object]]:
    """Open a table and yield what adds an answer to it. A command that is stopped keeps its rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix.lower() == ".parquet":
        with _open_parquet(path) as add:
            yield add
        return
    with path.open("w", encoding="utf-8", newline="") as file:
        if path.suffix.lower() == ".jsonl":
            yield lambda record: file.write(json.dumps(record) + "\n")
            return
        writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore")
        writer.writeheader()
        yield lambda record: writer.writerow(_flat(record))


@contextmanager
def _open_parquet(path: Path) -> Iterator[Callable[[dict[str, Any]], object]]:
    import pyarrow
    from pyarrow.parquet import ParquetWriter

    schema = pyarrow.schema([(name, pyarrow.type_for_alias(kind)) for name, kind in COLUMNS.items()])
    rows: list[dict[str, Any]] = []
    # Opened here, since pyarrow's errors do not name the file.
    with path.open("wb") as file, ParquetWriter(file, schema) as writer:

        def write_rows() -> None:
            writer.write_table(pyarrow.Table.from_pylist(rows, schema))
            rows.clear()

        def add(record: dict[str, Any]) -> None:
            rows.append(_flat(record))
            if len(rows) == ROWS:
                write_rows()

        try:
            yield add
        finally:
            write_rows()


def _flat(record: dict[str, Any]) -> dict[str, Any]:
    flat = {f"probability_{code}": value for code, value in record.get("probabilities", {}).items()}
    if record.get("in_distribution") is False:
        flat["suspicious"] = None  # a refused image gets no verdict
    return record | flat | {"prediction_set": " ".join(record.get("prediction_set") or ()) or None}


def _text(path: str, prediction: "Prediction") -> str:
    """The verdict, then the seven diagnoses, the most probable first, with bars, and the prediction set."""
    from skinvision_hf.data.images import printable

    lines = ["standard input" if path == STDIN else printable(path), f"  {_verdict(prediction)}"]
    for code, value in sorted(prediction.probabilities.items(), key=lambda item: -item[1]):
        entry, bar = diagnosis(code), "#" * round(BAR_WIDTH * value)
        lines.append(f"  {entry.name:<{NAME_WIDTH}}  {entry.group:<{GROUP_WIDTH}}  {value:6.1%}  {bar}".rstrip())
    lines.append(f"  {TOTAL:<{NAME_WIDTH}}  {'':<{GROUP_WIDTH}}  {prediction.malignant_probability:6.1%}")
    if prediction.in_distribution is not False and prediction.prediction_set is not None:
        members = ", ".join(diagnosis(code).name for code in prediction.prediction_set)
        lines.append(f"  {prediction.coverage:.0%} prediction set: {members}")
    if prediction.in_distribution is None:
        lines.append("  Whether the image is like the training images is unknown: the release has no OOD detector.")
    return "\n".join(lines) + "\n"


def _verdict(prediction: "Prediction") -> str:
    if prediction.in_distribution is False:
        return UNLIKE
    point = prediction.operating_point
    verdict = point.explain(prediction.probabilities) if point else "No verdict: the release has no operating points."
    return f"{verdict} The image is unusual: this verdict is less reliable." if prediction.unusual else verdict


def explain(argv: Sequence[str]) -> int:
    """Draw one image and its heat map."""
    parser = make_parser(
        "explain",
        "Show in a heat map which parts of an image support a diagnosis.",
        example="skinvision explain photo.jpg --output why.png --target mel",
    )
    add = parser.add_argument
    add("image", metavar="IMAGE", help="image file")
    add("--output", required=True, type=output_file(".png"), metavar="FILE.png", help="PNG file to write")
    add("--target", choices=CODES, help="code of the diagnosis to explain (default: the most probable one)")
    add("--method", choices=CAM_METHODS, default=CAM_METHOD, help="how to compute the heat map (default: %(default)s)")
    add_model_options(parser, device=True)
    given = parser.parse_args(argv)
    _check_exists([given.image])
    if given.output.exists() and given.output.samefile(given.image):
        raise SkinVisionError("--output would overwrite the image; give the picture another name")

    from skinvision_hf.vision import SkinVision

    runtime: Literal["torch"] | None = None if given.method in ONNX_METHODS else "torch"
    vision = SkinVision.from_pretrained(given.ref, revision=given.revision, runtime=runtime, device=given.device)
    from skinvision_hf.data.images import encode, printable
    from skinvision_hf.figures.explanation_figure import draw_explanation
    from skinvision_hf.files import atomic_write

    explanation = vision.explain(given.image, target=given.target, method=given.method, max_side=800)
    atomic_write(given.output, encode(draw_explanation(explanation), "PNG"))
    print(f"{printable(given.image)}: {explanation.prediction}")
    print(f"What supports {diagnosis(explanation.target).name} is shown in {printable(given.output)}")
    print(DISCLAIMER)
    return 0


def selftest(argv: Sequence[str]) -> int:
    """Compare the answers of all loaders with those that a release expects."""
    parser = make_parser(
        "selftest",
        "Classify the drawn images of a release with each loader that is installed, and compare the probabilities\n"
        "with those of the machine that made the release. The exit code is 1 if a loader gives other answers.",
        example="skinvision selftest --model user/name",
    )
    add_model_options(parser)
    given = parser.parse_args(argv)
    from skinvision_hf.models.release import resolve_release

    release = resolve_release(given.ref, revision=given.revision)
    from skinvision_hf.models.selftest import TOLERANCE, run_selftest

    results = run_selftest(release)
    print(f"{'loader':<28}{'version':<14}{'difference':<12}result")
    for result in results:
        difference, outcome = "-", "not tried"
        if result.difference is not None:
            difference, outcome = f"{result.difference:.6f}", "as expected" if result.passed else "OTHER ANSWERS"
        print(f"{result.loader:<28}{result.version or 'missing':<14}{difference:<12}{outcome}")
    print(f"Difference: the largest one of a probability; below {TOLERANCE:g} counts as equal.")
    return 0 if all(result.passed for result in results) else 1
