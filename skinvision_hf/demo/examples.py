"""Example images for visitors: what a release carries, or images of a data set at hand."""

from collections.abc import Iterator
from pathlib import Path

from skinvision_hf.labels import CODES, diagnosis
from skinvision_hf.vision import SkinVision

NUMBER = 6
# How many images of a data set are tried.
TRIES = 35
PICTURES = (".png", ".jpg", ".jpeg", ".webp")


def choose_examples(vision: SkinVision, source: str | None, folder: Path) -> list[tuple[str, str]]:
    """Choose images that OOD detection accepts, in turn from each diagnosis, with one wrong answer among them.

    Args:
        vision: Answers decide which images are shown.
        source: A data set, see `skinvision_hf.data.load_ham10000`, whose test images are offered; None for the examples
            of the release.
        folder: Where images of a data set are written.

    Returns:
        Path and caption of each example: the ground truth, and whether the model is wrong.
    """
    right: list[tuple[str, str]] = []
    wrong: list[tuple[str, str]] = []
    for path, code in _from_data(source, folder) if source else _from_release(vision.release):
        prediction = vision.predict(path)
        if prediction.in_distribution is not False:
            chosen, note = (right, "") if prediction.label == code else (wrong, " (the model is wrong)")
            chosen.append((str(path), f"{diagnosis(code).name}{note}"))
        if len(right) >= NUMBER - 1 and wrong:
            break
    return right[: NUMBER - 1] + wrong[:1] if wrong else right[:NUMBER]


def _from_release(release: Path) -> Iterator[tuple[Path, str]]:
    """The images that a release carries; their names end with the code of the ground truth."""
    for path in sorted((release / "examples").glob("*")):
        code = path.stem.rpartition("-")[2]
        if path.suffix.lower() in PICTURES and code in CODES:
            yield path, code


def _from_data(source: str, folder: Path) -> Iterator[tuple[Path, str]]:
    from skinvision_hf.data import load_ham10000
    from skinvision_hf.data.summary import rows_in_turn

    test = load_ham10000(source)["test"]
    folder.mkdir(parents=True, exist_ok=True)
    for item in test.select(rows_in_turn(test)[:TRIES]):
        path = folder / f"{item['image_id']}.jpg"
        item["image"].convert("RGB").save(path, quality=95)
        yield path, CODES[item["label"]]
