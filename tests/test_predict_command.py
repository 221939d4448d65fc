"""`skinvision predict` and `skinvision explain`: what they print and write for good and for hostile images."""

import csv
import json
import os
import re
from io import BytesIO, TextIOWrapper
from pathlib import Path

import pytest
from calling import Captured, run
from drawing import draw_lesion
from PIL import Image
from pyarrow import parquet
from random_predictions import draw_predictions

from skinvision_hf import Prediction, SkinVision
from skinvision_hf.evaluation.conformal import fit_conformal, save_conformal
from skinvision_hf.evaluation.decisions import measure_decisions
from skinvision_hf.files import write_json
from skinvision_hf.labels import CODES, DIAGNOSES, DISCLAIMER
from skinvision_hf.models.prediction import load_operating_point


@pytest.fixture(scope="module")
def full_release(tiny_release: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny release with conformal scores and operating points."""
    folder = SkinVision.from_pretrained(tiny_release, device="cpu").save_pretrained(tmp_path_factory.mktemp("a") / "b")
    drawn = draw_predictions(400)
    save_conformal(fit_conformal(drawn), folder)
    write_json(
        folder / "metrics.json", {"operating_points": measure_decisions(drawn, draw_predictions(300, seed=1)).to_dict()}
    )
    return folder


def test_predict_prints_the_verdict_a_ranked_table_and_the_set(
    photo: str, full_release: Path, capsys: Captured
) -> None:
    options = ["--model", str(full_release), "--device", "cpu", "--coverage", "0.95", "--min_sensitivity", "0.9"]
    assert run("predict", photo, *options) == 0
    output, errors = capsys.readouterr()
    prediction = SkinVision.from_pretrained(full_release, device="cpu").predict(photo, coverage=0.95)
    point = load_operating_point(full_release, min_sensitivity=0.9)
    lines = output.splitlines()
    assert lines[:2] == [photo, f"  {point.explain(prediction.probabilities)}"]
    rows = [
        re.fullmatch(r"  (\S.*?)  +(pre-malignant or malignant|malignant|benign)  +([\d.]+)%(  #+)?", line)
        for line in lines[2:9]
    ]
    ranked = sorted(DIAGNOSES, key=lambda diagnosis: -prediction.probabilities[diagnosis.code])
    for row, diagnosis in zip(rows, ranked, strict=True):
        assert (row[1], row[2]) == (diagnosis.name, diagnosis.group)
        assert float(row[3]) == pytest.approx(100 * prediction.probabilities[diagnosis.code], abs=0.051)
    assert re.fullmatch(rf"  Pre-malignant or malignant in total +{prediction.malignant_probability:.1%}", lines[9])
    names = ", ".join(DIAGNOSES[CODES.index(code)].name for code in prediction.prediction_set or ())
    assert lines[10] == f"  95% prediction set: {names}"
    assert lines[-1] == DISCLAIMER and errors == ""


def test_the_threshold_of_the_verdict_is_of_the_task_and_sensitivity_asked_for(
    photo: str, full_release: Path, capsys: Captured
) -> None:
    for options, expected in (
        ([], load_operating_point(full_release)),
        (["--task", "melanoma"], load_operating_point(full_release, task="melanoma")),
        (["--min_sensitivity", "0.8"], load_operating_point(full_release, min_sensitivity=0.8)),
    ):
        assert run("predict", photo, "--model", full_release, "--json", *options) == 0
        record = json.loads(capsys.readouterr().out)
        assert record["operating_point"] == expected.to_dict()
        assert record["suspicious"] == expected.is_positive(record["probabilities"])


def test_an_image_unlike_the_training_images_gets_a_warning_in_place_of_a_verdict(
    photo: str, full_release: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    answer = Prediction.from_probabilities(
        [0, 0, 0, 0, 1, 0, 0], operating_point=load_operating_point(full_release), in_distribution=False
    )
    monkeypatch.setattr(SkinVision, "stream", lambda self, images, **options: (answer for _ in images))
    assert run("predict", photo, "--model", full_release) == 0
    output = capsys.readouterr().out
    assert "NOT like the training images" in output and "suspicious" not in output and "prediction set" not in output
    assert run("predict", photo, "--model", full_release, "--json") == 0
    assert json.loads(capsys.readouterr().out)["warning"].startswith("The image is NOT like the training images")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--coverage", "0.9"], "has no conformal scores, so it makes no prediction sets; leave --coverage out"),
        (["--min_sensitivity", "0.9"], "has no operating points, so it gives no verdict; leave --min_sensitivity out"),
        (["--device", "warp-drive"], "no device 'warp-drive'"),
    ],
)
def test_a_release_or_machine_that_cannot_do_more_says_so(
    options: list[str], message: str, photo: str, tiny_release: Path, capsys: Captured
) -> None:
    assert run("predict", photo, "--model", tiny_release, *options) == 2
    output, errors = capsys.readouterr()
    assert output == "" and message in errors and len(errors.splitlines()) == 1


def test_hostile_files_get_one_line_each_and_the_good_ones_are_answered(
    photo: str, tiny_release: Path, tmp_path: Path, capsys: Captured
) -> None:
    (tmp_path / "cut.jpg").write_bytes(Path(photo).read_bytes()[:1500])
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("Dear doctor,\n" * 40)
    Image.new("1", (10_000, 9_000)).save(tmp_path / "large.png")
    Image.new("RGB", (1, 1)).save(tmp_path / "one.png")
    names = ("missing.jpg", "cut.jpg", "empty.jpg", "text.jpg", "large.png", "one.png", "long" * 1000)
    hostile = [str(tmp_path / name) for name in names]
    assert run("predict", hostile[0], photo, *hostile[1:], photo, "--model", tiny_release, "--json") == 2
    output, errors = capsys.readouterr()
    answers = [json.loads(line) for line in output.splitlines()]
    assert [answer["path"] for answer in answers] == [photo, photo]
    assert list(answers[0]["probabilities"]) == list(CODES)
    *lines, last = errors.splitlines()
    assert last == DISCLAIMER
    for line, path in zip(lines, hostile, strict=True):
        assert line.startswith("error: ") and path in line and "; " in line


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Pictures in folders, one of them broken, and what systems leave beside them."""
    folder = tmp_path / "photos"
    (folder / "b [1]" / ".hidden").mkdir(parents=True)
    for name in ("a.png", "b [1]/c.JPG", "b [1]/.hidden/d.jpg", "b [1]/._c.jpg"):
        draw_lesion().save(folder / name, "PNG")
    (folder / "broken.jpg").write_text("not an image")
    (folder / "notes.txt").write_text("not an image by its name")
    return folder


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_folder_becomes_a_table_with_a_row_for_each_file(
    suffix: str, photos: Path, tiny_release: Path, tmp_path: Path, capsys: Captured
) -> None:
    output = tmp_path / "new" / f"answers{suffix}"
    assert run("predict", photos, "--model", tiny_release, "--output", output) == 2
    assert capsys.readouterr().err.splitlines() == [
        f"error: {photos / 'broken.jpg'} cannot be read as an image; save it as JPEG or PNG"
    ]
    if suffix == ".parquet":
        rows = parquet.read_table(output).to_pylist()
    elif suffix == ".jsonl":
        rows = [json.loads(line) for line in output.read_text().splitlines()]
    else:
        rows = list(csv.DictReader(output.read_text().splitlines()))
    before = output.read_bytes()
    assert run("predict", photos / "a.png", output, "--model", tiny_release, "--output", output) == 2
    assert output.read_bytes() == before and "is also one of the images" in capsys.readouterr().err
    by_path = {Path(row["path"]).relative_to(photos).as_posix(): row for row in rows}
    assert set(by_path) == {"a.png", "broken.jpg", "b [1]/c.JPG"}
    assert "cannot be read" in by_path["broken.jpg"]["error"]
    expected = SkinVision.from_pretrained(tiny_release, device="cpu").predict(photos / "a.png")
    assert by_path["a.png"]["label"] == expected.label
    assert float(by_path["a.png"]["confidence"]) == pytest.approx(expected.confidence, abs=1e-5)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_table_that_cannot_be_written_is_named(
    suffix: str, photo: str, tiny_release: Path, tmp_path: Path, capsys: Captured
) -> None:
    output = tmp_path / f"answers{suffix}"
    output.symlink_to(tmp_path / "nowhere" / "answers")
    assert run("predict", photo, "--model", tiny_release, "--output", output) == 1
    assert capsys.readouterr().err.startswith(f"error: cannot read or write {output}: No such file or directory; ")


def test_a_name_that_is_not_utf8_loses_no_row(photo: str, tiny_release: Path, tmp_path: Path) -> None:
    folder, output = tmp_path / "photos", tmp_path / "answers.csv"
    folder.mkdir()
    for name in (b"a.jpg", b"bad\xff.jpg"):
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_bytes(Path(photo).read_bytes())
    assert run("predict", folder, "--model", tiny_release, "--output", output) == 0
    rows = list(csv.DictReader(output.read_text(encoding="utf-8").splitlines()))
    assert [Path(row["path"]).name for row in rows] == ["a.jpg", "bad\\xff.jpg"]


def test_patterns_and_standard_input_are_images_and_a_path_that_exists_is_not_a_pattern(
    photos: Path, tiny_release: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    exact = photos / "b [1]" / "c.JPG"
    assert run("predict", f"{photos}/*.png", exact, "--json", "--model", tiny_release) == 0
    assert [json.loads(line)["path"] for line in capsys.readouterr().out.splitlines()] == [
        str(photos / "a.png"),
        str(exact),
    ]
    monkeypatch.setattr("sys.stdin", TextIOWrapper(BytesIO(exact.read_bytes())))
    assert run("predict", "-", "--json", "--model", tiny_release) == 0
    assert json.loads(capsys.readouterr().out)["path"] == "-"
    monkeypatch.setattr("sys.stdin", TextIOWrapper(BytesIO()))
    assert run("predict", "-", "--model", tiny_release) == 2
    assert capsys.readouterr().err == "error: standard input is empty; download or export it again\n"
    (photos / "empty").mkdir()
    for nothing in (f"{photos}/*.gif", photos / "empty"):
        assert run("predict", nothing) == 2
        assert capsys.readouterr().err == f"error: there are no images in {nothing}; check the path\n"


def test_explain_writes_a_picture_and_spares_the_image(photo: str, tiny_release: Path, capsys: Captured) -> None:
    picture = Path(photo).with_name("new") / "why.png"
    assert run("explain", photo, "--output", picture, "--target", "mel", "--model", tiny_release) == 0
    assert f"What supports Melanoma is shown in {picture}" in capsys.readouterr().out
    before = picture.read_bytes()
    assert run("explain", picture, "--output", picture, "--model", tiny_release) == 2
    assert "--output would overwrite the image" in capsys.readouterr().err and picture.read_bytes() == before
    Path(photo).with_name("file").touch()
    assert run("explain", photo, "--output", Path(photo).with_name("file") / "why.png", "--model", tiny_release) == 1
    error = capsys.readouterr().err
    assert ".tmp" not in error and len(error.splitlines()) == 1
