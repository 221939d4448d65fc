"""The `skinvision` command as a user runs it, with good input and with hostile input."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from drawing import draw_lesion
from PIL import Image
from random_predictions import draw_predictions

from skinvision_hf import __version__
from skinvision_hf.cli.main import main
from skinvision_hf.evaluation.conformal import ConformalPredictor
from skinvision_hf.evaluation.operating_points import load_operating_point
from skinvision_hf.evaluation.operating_report import measure_operating_points
from skinvision_hf.files import write_json
from skinvision_hf.labels import CODES, DIAGNOSES, DISCLAIMER
from skinvision_hf.models.skinvision import Prediction, SkinVision

COMMAND = [sys.executable, "-m", "skinvision_hf.cli.main"]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


@pytest.fixture
def lesion(tmp_path: Path) -> str:
    path = tmp_path / "lesion.jpg"
    draw_lesion().save(path)
    return str(path)


@pytest.fixture
def hostile(tmp_path: Path) -> list[str]:
    """Every bad input of the design in one folder, in the order in which the command gets them."""
    content = (tmp_path / "whole.jpg", tmp_path / "cut.jpg")
    draw_lesion().save(content[0])
    content[1].write_bytes(content[0].read_bytes()[:1500])
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("Dear doctor,\n" * 40)
    (tmp_path / "folder.jpg").mkdir()
    Image.new("1", (10_000, 9_000)).save(tmp_path / "large.png")
    Image.new("1", (20_000, 20_000)).save(tmp_path / "bomb.png")
    Image.new("RGB", (1, 1)).save(tmp_path / "one.png")
    names = ["missing.jpg", "cut.jpg", "empty.jpg", "text.jpg", "folder.jpg", "large.png", "bomb.png", "one.png"]
    return [str(tmp_path / name) for name in names]


def test_predict_prints_a_ranked_table_with_the_numbers_of_the_library(
    lesion: str, tiny_release: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", lesion, "--model", str(tiny_release), "--device", "cpu"]) == 0
    output, errors = capsys.readouterr()
    prediction = SkinVision.from_pretrained(tiny_release, device="cpu").predict(lesion)
    lines = output.splitlines()
    assert lines[0] == lesion
    rows = [
        re.fullmatch(r"  (\S.*?)  +(pre-malignant or malignant|malignant|benign)  +([\d.]+)%(  #+)?", line)
        for line in lines[1:8]
    ]
    ranked = sorted(DIAGNOSES, key=lambda diagnosis: -prediction.probabilities[diagnosis.code])
    for row, diagnosis in zip(rows, ranked, strict=True):
        assert row is not None
        assert row[1] == diagnosis.name
        assert row[2] == diagnosis.group
        assert float(row[3]) == pytest.approx(100 * prediction.probabilities[diagnosis.code], abs=0.051)
    assert re.fullmatch(rf"  Pre-malignant or malignant in total +{prediction.malignant_probability:.1%}", lines[8])
    assert "unknown: the release carries no guard" in lines[9]
    assert lines[-1] == DISCLAIMER
    assert errors == ""


@pytest.mark.parametrize(
    ("typical", "text"),
    [(True, "The image is like the training images (typicality 0.40)."), (False, "NOT like the training images")],
)
def test_the_table_says_what_the_guard_found(
    typical: bool,
    text: str,
    lesion: str,
    tiny_release: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    answer = Prediction.from_probabilities([0, 0, 0, 0, 1, 0, 0], in_distribution=typical, typicality=0.4)
    monkeypatch.setattr(SkinVision, "predict", lambda self, image, **options: answer)
    assert main(["predict", lesion, "--model", str(tiny_release)]) == 0
    output = capsys.readouterr().out
    assert text in output
    assert ("No list of likely diagnoses and no suspicion" in output) == (not typical)


@pytest.fixture
def full_release(tiny_release: Path, tmp_path: Path) -> Path:
    """The tiny release with conformal scores and operating points."""
    folder = SkinVision.from_pretrained(tiny_release, device="cpu").save_pretrained(tmp_path / "full")
    ConformalPredictor.fit(draw_predictions(400)).save(folder)
    report = measure_operating_points(draw_predictions(400), draw_predictions(300, seed=1))
    write_json(folder / "metrics.json", {"operating_points": report.to_dict()})
    return folder


def test_a_set_and_a_suspicion_follow_the_table(
    lesion: str, full_release: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--model", str(full_release), "--coverage", "0.95", "--min_sensitivity", "0.9"]
    assert main(["predict", lesion, *options]) == 0
    output = capsys.readouterr().out
    prediction = SkinVision.from_pretrained(full_release, device="cpu").predict(lesion, coverage=0.95)
    point = load_operating_point(full_release, min_sensitivity=0.9)
    names = ", ".join(DIAGNOSES[CODES.index(code)].name for code in prediction.prediction_set or ())
    assert f"  This list aims at holding the truth 95% of the time: {names}.\n" in output
    word = "SUSPECTED" if prediction.malignant_probability >= point.threshold else "not suspected"
    assert f"  Malignant: {word}, by a threshold of {point.threshold:.1%}" in output
    assert f"found {point.sensitivity.percent()} of such test images" in output


def test_melanoma_is_suspected_by_its_own_threshold(
    lesion: str, full_release: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--model", str(full_release), "--min_sensitivity", "0.9"]
    assert main(["predict", lesion, *options, "--task", "melanoma"]) == 0
    point = load_operating_point(full_release, min_sensitivity=0.9, task="melanoma")
    assert point.threshold != load_operating_point(full_release, min_sensitivity=0.9).threshold
    prediction = SkinVision.from_pretrained(full_release, device="cpu").predict(lesion)
    word = "SUSPECTED" if prediction.probabilities["mel"] >= point.threshold else "not suspected"
    assert f"  Melanoma: {word}, by a threshold of {point.threshold:.1%}" in capsys.readouterr().out


def test_what_to_suspect_needs_a_share_to_find(lesion: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", lesion, "--task", "melanoma"]) == 2
    assert capsys.readouterr().err.startswith("error: --task says what to suspect; add the share to find, such as")


def test_the_warning_stands_in_json_in_place_of_a_suspicion(
    lesion: str, full_release: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = Prediction.from_probabilities([0, 0, 0, 0, 1, 0, 0], in_distribution=False, typicality=0.0)
    monkeypatch.setattr(SkinVision, "predict", lambda self, image, **options: answer)
    assert main(["predict", lesion, "--model", str(full_release), "--min_sensitivity", "0.8", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["warning"].startswith("The image is NOT like the training images")
    assert record["suspicion"] is None


def test_json_holds_the_set_and_the_suspicion(
    lesion: str, full_release: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", lesion, "--model", str(full_release), "--min_sensitivity", "0.8", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    point = load_operating_point(full_release, min_sensitivity=0.8)
    assert answer["coverage"] == 0.9
    assert answer["label"] in answer["prediction_set"]
    assert answer["suspicion"]["positive"] == (answer["malignant_probability"] >= point.threshold)
    assert answer["suspicion"]["sensitivity"] == point.sensitivity.to_dict()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--coverage", "0.9"], "carries no conformal scores, so it makes no sets; leave --coverage out"),
        (["--min_sensitivity", "0.9"], "holds no operating points; take a release that scripts/train.py finished"),
    ],
)
def test_a_release_that_cannot_say_more_says_so(
    options: list[str], message: str, lesion: str, tiny_release: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", lesion, "--model", str(tiny_release), *options]) == 2
    output, errors = capsys.readouterr()
    assert output == ""
    assert message in errors
    assert len(errors.splitlines()) == 1


@pytest.mark.parametrize("value", ["95", "0", "1", "much", "nan"])
def test_a_share_outside_of_0_to_1_is_a_wrong_call(value: str, lesion: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["predict", lesion, "--coverage", value])
    assert stopped.value.code == 2
    assert "argument --coverage" in capsys.readouterr().err


def test_json_lines_hold_path_and_all_numbers_and_nothing_else_is_on_stdout(
    lesion: str, tiny_release: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = f"{lesion}.gone"
    assert main(["predict", lesion, missing, lesion, "--model", str(tiny_release), "--json", "--device", "cpu"]) == 2
    output, errors = capsys.readouterr()
    answers = [json.loads(line) for line in output.splitlines()]
    prediction = SkinVision.from_pretrained(tiny_release, device="cpu").predict(lesion)
    assert answers == [{"path": lesion, **prediction.to_dict()}] * 2
    assert list(answers[0]["probabilities"]) == list(CODES)
    assert errors.splitlines() == [f"error: there is no file {missing}; check the path", DISCLAIMER]


def test_hostile_files_get_one_line_each_and_the_good_ones_are_answered(
    lesion: str, hostile: list[str], tiny_release: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [hostile[0], lesion, *hostile[1:], lesion]
    assert main(["predict", *files, "--model", str(tiny_release), "--json"]) == 2
    output, errors = capsys.readouterr()
    assert [json.loads(line)["path"] for line in output.splitlines()] == [lesion, lesion]
    lines = errors.splitlines()
    remedies = [
        "check the path",
        "download or export it again",
        "download or export it again",
        "save it as JPEG or PNG",
        "name the image files in it",
        "crop it to the lesion or scale it down",
        "crop it to the lesion or scale it down",
        "give an image with sides of at least 32 pixels",
    ]
    assert lines.pop() == DISCLAIMER
    for line, path, remedy in zip(lines, hostile, remedies, strict=True):
        assert line.startswith("error: ")
        assert path in line
        assert line.endswith(remedy)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--model", "/no/such/release"], "/no/such/release is neither a folder nor a Hub id"),
        (["--model", "TINY", "--device", "warp-drive"], "no device 'warp-drive'"),
    ],
)
def test_a_bad_model_or_device_is_one_line_and_exit_code_2(
    options: list[str], expected: str, lesion: str, tiny_release: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", lesion, *(str(tiny_release) if o == "TINY" else o for o in options)]) == 2
    output, errors = capsys.readouterr()
    assert output == ""
    assert len(errors.splitlines()) == 1
    assert errors.startswith("error: ")
    assert expected in errors


def test_ctrl_c_stops_with_130_and_without_a_traceback(lesion: str, tiny_release: Path) -> None:
    process = subprocess.Popen(
        [*COMMAND, "predict", *[lesion] * 20_000, "--json", "--model", str(tiny_release)],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["path"] == lesion
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.strip() == "stopped."


def test_a_reader_that_goes_away_is_no_error(lesion: str, tiny_release: Path) -> None:
    process = subprocess.Popen(
        [*COMMAND, "predict", *[lesion] * 2_000, "--model", str(tiny_release)],
        env={**ENVIRONMENT, "PYTHONIOENCODING": "ascii"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline().strip() == lesion
    process.stdout.close()
    assert process.wait(timeout=60) == 141
    assert process.stderr is not None
    assert process.stderr.read() == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
def test_a_full_disk_is_one_line_and_exit_code_1(lesion: str, tiny_release: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*COMMAND, "predict", lesion, "--model", str(tiny_release)],
            env=ENVIRONMENT,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
        )
    assert done.returncode == 1
    assert done.stderr == "error: cannot read or write: No space left on device; check the disk and run again\n"


@pytest.mark.parametrize("arguments", [["--help"], ["predict", "--help"]])
def test_help_answers_in_half_a_second_and_carries_the_disclaimer(arguments: list[str]) -> None:
    script = Path(sys.executable).with_name("skinvision")
    command = [str(script)] if script.exists() else COMMAND
    seconds, output = [], ""
    for _ in range(3):
        start = time.perf_counter()
        output = subprocess.run([*command, *arguments], capture_output=True, text=True, check=True).stdout
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.5
    assert DISCLAIMER in " ".join(output.split())


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out == f"skinvision {__version__}\n"


@pytest.mark.parametrize("arguments", [[], ["predict"], ["diagnose", "x.jpg"], ["predict", "x.jpg", "--fast"]])
def test_a_wrong_call_shows_the_usage_and_exits_with_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert capsys.readouterr().err.startswith("usage: skinvision")
