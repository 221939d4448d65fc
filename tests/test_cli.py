"""The `skinvision` command as a user runs it, with good input and with hostile input."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
from io import BytesIO, TextIOWrapper
from pathlib import Path

import pytest
from calling import run
from drawing import draw_lesion
from PIL import Image
from pyarrow import parquet
from random_predictions import draw_predictions

from skinvision_hf import Prediction, SkinVision, __version__
from skinvision_hf.cli.main import COMMANDS
from skinvision_hf.evaluation.conformal import fit_conformal, save_conformal
from skinvision_hf.evaluation.decisions import measure_decisions
from skinvision_hf.files import write_json
from skinvision_hf.labels import CODES, DIAGNOSES, DISCLAIMER
from skinvision_hf.models.prediction import load_operating_point

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def lesion(tmp_path: Path) -> str:
    path = tmp_path / "lesion.jpg"
    draw_lesion().save(path)
    return str(path)


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
    lesion: str, full_release: Path, capsys: Captured
) -> None:
    options = ["--model", str(full_release), "--device", "cpu", "--coverage", "0.95", "--min_sensitivity", "0.9"]
    assert run("predict", lesion, *options) == 0
    output, errors = capsys.readouterr()
    prediction = SkinVision.from_pretrained(full_release, device="cpu").predict(lesion, coverage=0.95)
    point = load_operating_point(full_release, min_sensitivity=0.9)
    assert point is not None
    lines = output.splitlines()
    assert lines[:2] == [lesion, f"  {point.explain(prediction.probabilities)}"]
    rows = [
        re.fullmatch(r"  (\S.*?)  +(pre-malignant or malignant|malignant|benign)  +([\d.]+)%(  #+)?", line)
        for line in lines[2:9]
    ]
    ranked = sorted(DIAGNOSES, key=lambda diagnosis: -prediction.probabilities[diagnosis.code])
    for row, diagnosis in zip(rows, ranked, strict=True):
        assert row is not None and (row[1], row[2]) == (diagnosis.name, diagnosis.group)
        assert float(row[3]) == pytest.approx(100 * prediction.probabilities[diagnosis.code], abs=0.051)
    assert re.fullmatch(rf"  Pre-malignant or malignant in total +{prediction.malignant_probability:.1%}", lines[9])
    names = ", ".join(DIAGNOSES[CODES.index(code)].name for code in prediction.prediction_set or ())
    assert lines[10] == f"  95% prediction set: {names}"
    assert lines[-1] == DISCLAIMER and errors == ""


def test_the_threshold_of_the_verdict_is_of_the_task_and_sensitivity_asked_for(
    lesion: str, full_release: Path, capsys: Captured
) -> None:
    for options, expected in (
        ([], load_operating_point(full_release)),
        (["--task", "melanoma"], load_operating_point(full_release, task="melanoma")),
        (["--min_sensitivity", "0.8"], load_operating_point(full_release, min_sensitivity=0.8)),
    ):
        assert run("predict", lesion, "--model", full_release, "--json", *options) == 0
        record = json.loads(capsys.readouterr().out)
        assert expected is not None and record["operating_point"] == expected.to_dict()
        assert record["suspicious"] == expected.is_positive(record["probabilities"])


def test_an_image_unlike_the_training_images_gets_a_warning_in_place_of_a_verdict(
    lesion: str, full_release: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    answer = Prediction.from_probabilities(
        [0, 0, 0, 0, 1, 0, 0], operating_point=load_operating_point(full_release), in_distribution=False
    )
    monkeypatch.setattr(SkinVision, "stream", lambda self, images, **options: (answer for _ in images))
    assert run("predict", lesion, "--model", full_release) == 0
    output = capsys.readouterr().out
    assert "NOT like the training images" in output and "suspicious" not in output and "prediction set" not in output
    assert run("predict", lesion, "--model", full_release, "--json") == 0
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
    options: list[str], message: str, lesion: str, tiny_release: Path, capsys: Captured
) -> None:
    assert run("predict", lesion, "--model", tiny_release, *options) == 2
    output, errors = capsys.readouterr()
    assert output == "" and message in errors and len(errors.splitlines()) == 1


def test_hostile_files_get_one_line_each_and_the_good_ones_are_answered(
    lesion: str, tiny_release: Path, tmp_path: Path, capsys: Captured
) -> None:
    (tmp_path / "cut.jpg").write_bytes(Path(lesion).read_bytes()[:1500])
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("Dear doctor,\n" * 40)
    Image.new("1", (10_000, 9_000)).save(tmp_path / "large.png")
    Image.new("RGB", (1, 1)).save(tmp_path / "one.png")
    names = ("missing.jpg", "cut.jpg", "empty.jpg", "text.jpg", "large.png", "one.png", "long" * 1000)
    hostile = [str(tmp_path / name) for name in names]
    assert run("predict", hostile[0], lesion, *hostile[1:], lesion, "--model", tiny_release, "--json") == 2
    output, errors = capsys.readouterr()
    answers = [json.loads(line) for line in output.splitlines()]
    assert [answer["path"] for answer in answers] == [lesion, lesion]
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
    suffix: str, lesion: str, tiny_release: Path, tmp_path: Path, capsys: Captured
) -> None:
    output = tmp_path / f"answers{suffix}"
    output.symlink_to(tmp_path / "nowhere" / "answers")
    assert run("predict", lesion, "--model", tiny_release, "--output", output) == 1
    assert capsys.readouterr().err.startswith(f"error: cannot read or write {output}: No such file or directory; ")


def test_a_name_that_is_not_utf8_loses_no_row(lesion: str, tiny_release: Path, tmp_path: Path) -> None:
    folder, output = tmp_path / "photos", tmp_path / "answers.csv"
    folder.mkdir()
    for name in (b"a.jpg", b"bad\xff.jpg"):
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_bytes(Path(lesion).read_bytes())
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


def test_explain_writes_a_picture_and_spares_the_image(lesion: str, tiny_release: Path, capsys: Captured) -> None:
    picture = Path(lesion).with_name("new") / "why.png"
    assert run("explain", lesion, "--output", picture, "--target", "mel", "--model", tiny_release) == 0
    assert f"What supports Melanoma is shown in {picture}" in capsys.readouterr().out
    before = picture.read_bytes()
    assert run("explain", picture, "--output", picture, "--model", tiny_release) == 2
    assert "--output would overwrite the image" in capsys.readouterr().err and picture.read_bytes() == before
    Path(lesion).with_name("file").touch()
    assert run("explain", lesion, "--output", Path(lesion).with_name("file") / "why.png", "--model", tiny_release) == 1
    error = capsys.readouterr().err
    assert ".tmp" not in error and len(error.splitlines()) == 1


TRAIN = ["train", "--data", "synthetic", "--output_dir", "x"]
PUBLISH = ["publish", "--repo_id", "a/b"]
WRONG = [
    ([], "required: COMMAND"),
    (["diagnose", "x.jpg"], "invalid choice: 'diagnose'"),
    (["predict"], "required: IMAGE"),
    (["predict", "x.jpg", "--fast"], "unrecognized arguments: --fast"),
    (["predict", "x.jpg", "--coverage", "95"], "'95' is not a number between 0 and 1, such as 0.95"),
    (["predict", "x.jpg", "--output", "answers.xls"], "'answers.xls' is not a file name that ends in .csv"),
    (["predict", ""], "the path of an image is empty"),
    (["predict", "x.jpg", "--model", ""], "(empty) is neither a folder nor a Hub id"),
    (["audit", ""], "the path is empty"),
    (["predict", "nowhere.jpg"], "nowhere.jpg does not exist; check the path"),
    (["predict", "nowhere.jpg", "--model", "/nowhere"], "/nowhere is neither a folder nor a Hub id"),
    (["explain", "nowhere.jpg", "--output", "why.png"], "nowhere.jpg does not exist; check the path"),
    (["explain", "x.jpg", "--output", "why.jpg"], "'why.jpg' is not a file name that ends in .png"),
    (["prepare", "--source", "/nowhere", "--output_dir", "x"], "/nowhere is neither a file nor a folder"),
    (["train", "--data", "/nowhere", "--output_dir", "x"], "/nowhere is neither a file nor a folder"),
    ([*TRAIN, "--no_such_flag=1"], "no_such_flag"),
    ([*TRAIN, "--finetune.epochs=many"], "finetune.epochs"),
    ([*TRAIN, "--config=/nowhere.yaml"], "nowhere.yaml"),
    ([*TRAIN, "--batch_size=0"], "batch_size is 0, but must be at least 1"),
    ([*TRAIN, "--loss.label_smoothing=2"], "label_smoothing is 2.0, but must lie between 0 and 1"),
    ([*TRAIN, "--augment.resolution=0.4"], "first_resolution is 0.5, but must lie between 0.1 and resolution (0.4)"),
    ([*TRAIN, "--model.image_size=100"], "image_size is 100, but must be a multiple of 32, such as 128"),
    ([*TRAIN, "--head.epochs=0", "--finetune.epochs=0"], "both phases have 0 epochs"),
    (["evaluate", "--data", "/nowhere", "--output_dir", "x"], "/nowhere is neither a file nor a folder"),
    (["evaluate", "--data", "synthetic", "--output_dir", "x", "--views", "3"], "invalid choice: 3"),
    (["evaluate", "--data", "synthetic", "--output_dir", "x", "--batch_size", "0"], "'0' is not a whole number"),
    (["compare", "/nowhere", "a/b", "--output_dir", "x"], "/nowhere is neither a folder nor a Hub id"),
    (["compare", "a/b", "c/d", "--output_dir", "x"], "--data is missing"),
    (["adapt", "--data", "/nowhere", "--output_dir", "x"], "/nowhere is neither a file nor a folder"),
    (["explain-model", "--data", "/nowhere", "--output_dir", "x"], "/nowhere is neither a file nor a folder"),
    (PUBLISH, "give --release DIR, --dataset SOURCE, --space --model_id ID, or --all"),
    ([*PUBLISH, "--space", "--model_id", "a/c", "--tag", "v1"], "--tag has no effect with --space"),
    ([*PUBLISH, "--release", "/nowhere"], "/nowhere is neither a folder nor a Hub id"),
    ([*PUBLISH, "--all", "--release", "a/c"], "give --release DIR, --dataset SOURCE, --space"),
    ([*PUBLISH, "--release", "a/c", "--dataset", "a/d"], "--dataset has no effect with --release"),
]


@pytest.mark.parametrize(
    ("arguments", "message"), WRONG, ids=lambda value: value[-1] if isinstance(value, list) and value else ""
)
def test_a_wrong_call_is_answered_with_2_before_torch_is_loaded(
    arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    assert run(*arguments) == 2
    assert message in capsys.readouterr().err.rpartition("error: ")[2]


def test_a_configuration_that_is_not_utf8_is_one_line(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "a.yaml").write_text("seed: 1", encoding="utf-16")
    assert run(*TRAIN, "--config", tmp_path / "a.yaml") == 2
    assert capsys.readouterr().err.startswith("error: the file of --config is not text in UTF-8; save it again")


NUMBERS = ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_PORT", "OMP_NUM_THREADS", "HF_HUB_DOWNLOAD_TIMEOUT")


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", ["abc", ""])
def test_a_number_in_the_environment_that_is_none_is_named(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setenv(name, value)
    assert run(*TRAIN) == 2
    problem = f"error: the environment variable {name} is {value!r}, which is not a whole number; correct it, or "
    assert capsys.readouterr().err == f"{problem}run: unset {name}\n"
    assert run("predict", "nowhere.jpg") == 2
    assert (name in capsys.readouterr().err) == name.startswith("HF_"), "it has no launcher"


def test_help_teaches_every_command_with_an_example(capsys: Captured) -> None:
    assert run("--help") == 0
    listed = capsys.readouterr().out
    for name in COMMANDS:
        assert re.search(rf"^  {name} ", listed, re.MULTILINE)
        assert run(name, "--help") == 0
        output = capsys.readouterr().out
        assert f"example:\n  skinvision {name} " in output and DISCLAIMER in " ".join(output.split())
        if name == "train":
            for setting in ("--finetune.learning_rate", "Peak rate of AdamW", "--loss.class_weights", "--resume"):
                assert setting in output
    assert run("--version") == 0 and capsys.readouterr().out == f"skinvision {__version__}\n"


def start(lesion: str, release: Path, *, count: int, **options: object) -> subprocess.Popen[str]:
    """Start a process that classifies an image many times."""
    command = [sys.executable, "-m", "skinvision_hf.cli.main", "predict", *[lesion] * count, "--model", str(release)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "ascii"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    return subprocess.Popen(command, env=environment, text=True, **pipes)


@pytest.mark.slow
def test_ctrl_c_stops_with_130_and_without_a_traceback(lesion: str, tiny_release: Path) -> None:
    process = start(lesion, tiny_release, count=20_000)
    assert process.stdout is not None and process.stdout.readline().strip() == lesion
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors.strip()) == (130, "stopped.")


@pytest.mark.slow
def test_a_reader_that_goes_away_is_not_an_error(lesion: str, tiny_release: Path) -> None:
    process = start(lesion, tiny_release, count=2_000)
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.readline().strip() == lesion
    process.stdout.close()
    assert process.wait(timeout=60) == 141
    assert process.stderr.read() == ""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
def test_a_full_disk_is_one_line_and_exit_code_1(lesion: str, tiny_release: Path) -> None:
    with Path("/dev/full").open("w") as full:
        process = start(lesion, tiny_release, count=1, stdout=full)
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "No space left on device" in errors and len(errors.splitlines()) == 1
