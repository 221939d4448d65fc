"""`skinvision audit` finds every lesion that was planted on both sides of a split, in every layout, and no other."""

import csv
import json
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import pytest
from calling import ROOT, Captured, call, run
from drawing import draw_lesion
from PIL import Image

from skinvision_hf.data.image_lists import lesion_groups
from skinvision_hf.data.split_schemes import (
    image_level_split,
    load_manifest,
)
from skinvision_hf.evaluation.audit import AuditReport
from skinvision_hf.evaluation.predictions import Predictions

MANIFESTS = ROOT / "skinvision_hf" / "data" / "manifests"
Splits = dict[str, str]


@pytest.fixture(scope="module")
def members() -> dict[str, list[str]]:
    """The images of each lesion that has more than one."""
    found = defaultdict(list)
    for image, lesion in lesion_groups().items():
        found[lesion].append(image)
    return {lesion: images for lesion, images in found.items() if len(images) > 1}


def clean_splits() -> Splits:
    """The training and test images of our manifest."""
    return {image: split for image, split in load_manifest().items() if split != "validation"}


@pytest.fixture(scope="module")
def planted(members: dict[str, list[str]]) -> tuple[Splits, set[str]]:
    """Training and test images, of which 7 lesions have an image on the wrong side; and these lesions."""
    splits = clean_splits()
    leaking = [lesion for lesion, images in members.items() if images[0] in splits][:70:10]
    for lesion in leaking:
        image = members[lesion][0]
        splits[image] = "test" if splits[image] == "train" else "train"
    return splits, set(leaking)


def write_rows(path: Path, header: str, rows: Iterable[Sequence[str]]) -> Path:
    path.write_text("".join(f"{line}\n" for line in [*filter(None, [header]), *map(",".join, rows)]), encoding="utf-8")
    return path


def audited(folder: Path, *arguments: str | Path) -> tuple[int, AuditReport]:
    code = run("audit", *arguments, "--output_dir", folder / "out")
    return code, AuditReport.from_dict(json.loads((folder / "out" / "audit.json").read_text(encoding="utf-8")))


def as_table(folder: Path, splits: Splits) -> list[Path]:
    return [write_rows(folder / "a.csv", "image_id,split", splits.items())]


def as_foreign_table(folder: Path, splits: Splits) -> list[Path]:
    names = {"train": "Training", "test": "TST"}
    forms = ("C:\\ham\\isic_{}.JPG", "a/b/ISIC_{}_segmentation.png", "x\\Isic-{}.JPEG", "ISIC {}", "isic_{}.jpg")
    paths = [forms[n % 5].format(image.removeprefix("ISIC_")) for n, image in enumerate(splits)]
    rows = [(str(n), path, names[splits[image]]) for n, (path, image) in enumerate(zip(paths, splits, strict=True))]
    path = write_rows(folder / "a.csv", ",filepath,Data_Split", rows)
    path.write_text(path.read_text().replace(",", ";"), encoding="utf-16")
    return [path]


def as_paths(folder: Path, splits: Splits) -> list[Path]:
    return [write_rows(folder / "a.csv", "what", [(f"/train/ham/{s}/nv/{i}.jpeg",) for i, s in splits.items()])]


def as_two_files(folder: Path, splits: Splits) -> list[Path]:
    test, train = ([(i,) for i, split in splits.items() if split == name] for name in ("test", "train"))
    both = [write_rows(folder / "test.txt", "", test), write_rows(folder / "train.csv", "isic_id", train)]
    return [both[0], Path("--train"), both[1]]


def as_two_tables_with_splits(folder: Path, splits: Splits) -> list[Path]:
    tables = [write_rows(folder / name, "image,fold", splits.items()) for name in ("one.csv", "two.csv")]
    return [tables[0], Path("--train"), tables[1]]


LAYOUTS = [as_table, as_foreign_table, as_paths, as_two_files, as_two_tables_with_splits]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_planted_leak_and_no_other_is_found_in_every_layout(
    layout: Callable[[Path, Splits], list[Path]], planted: tuple[Splits, set[str]], tmp_path: Path, capsys: Captured
) -> None:
    assert run("audit", *layout(tmp_path, clean_splits())) == 0
    assert capsys.readouterr().out.endswith("\nNo leak: no lesions are both in train and in test.\n")
    splits, leaking = planted
    code, report = audited(tmp_path, *layout(tmp_path, splits))
    assert code == 3 and set(report.leaks) == leaking and not report.unknown
    for lesion, by_split in report.leaks.items():
        assert {image: split for split, images in by_split.items() for image in images} == {
            image: splits[image] for image, group in lesion_groups().items() if group == lesion
        }
    shared = sum(len(images) for by_split in report.leaks.values() for images in by_split.values())
    assert [counts.images for counts in report.splits.values()] == [
        sum(split == name for split in splits.values()) for name in ("train", "test")
    ]
    assert sum(counts.shared_images for counts in report.splits.values()) == shared
    assert {counts.shared_lesions for counts in report.splits.values()} == {7}
    verdict = f"Leak: 7 lesions with {shared} images are both in train and in test."
    assert verdict in capsys.readouterr().out.splitlines()


def test_our_own_manifest_does_not_leak_and_three_splits_or_folds_may(tmp_path: Path, capsys: Captured) -> None:
    code, report = audited(tmp_path, MANIFESTS / "ham10000-v1.csv")
    assert code == 0
    shown_in_docs(report)
    table = write_rows(tmp_path / "a.csv", "image_id,fold", ((i, str(n % 5)) for n, i in enumerate(lesion_groups())))
    code, report = audited(tmp_path, table)
    assert code == 3 and list(report.splits) == ["0", "1", "2", "3", "4"]
    assert "in more than one split." in capsys.readouterr().out


def shown_in_docs(report: AuditReport) -> None:
    page = (ROOT / "docs" / "leakage.md").read_text(encoding="utf-8")
    for split, counts in report.splits.items():
        assert f"| {split} | {' | '.join(f'{n:,}' for n in counts.to_dict().values())} |" in page


@pytest.mark.real_data
def test_the_counts_of_the_leaking_scheme_are_those_of_the_page(ham10000_dir: Path, tmp_path: Path) -> None:
    with (ham10000_dir / "HAM10000_metadata.csv").open(newline="") as file:
        rows = sorted((row["image_id"], row["dx"]) for row in csv.DictReader(file))
    splits = image_level_split([dx for _, dx in rows])
    table = write_rows(tmp_path / "a.csv", "image_id,split", zip([i for i, _ in rows], splits, strict=True))
    code, report = audited(tmp_path, table)
    assert code == 3 and len(report.leaks) == 1_029
    shown_in_docs(report)


def test_a_list_alone_is_checked_against_the_rest(members: dict[str, list[str]], tmp_path: Path) -> None:
    lesion, images = next(iter(members.items()))
    whole, part = ([(image,) for image in chosen] for chosen in (images, images[1:]))
    code, report = audited(tmp_path, write_rows(tmp_path / "whole.csv", "image", whole))
    assert (code, report.leaks) == (0, {})
    code, report = audited(tmp_path, write_rows(tmp_path / "part.csv", "image", part))
    assert code == 3 and report.leaks[lesion]["the rest of HAM10000"] == (images[0],)
    assert sum(counts.images for counts in report.splits.values()) == 10_015
    assert report.verdict.startswith("Leak if the rest of HAM10000 was used for training: 1 lesions")
    assert run("audit", tmp_path / "part.csv", "--train", tmp_path / "part.csv") == 3, "the same images on both sides"


def test_a_folder_of_pictures_is_a_list_of_its_names(members: dict[str, list[str]], tmp_path: Path) -> None:
    lesion, (one, other, *_) = next(iter(members.items()))
    for name in (f"train/nv/{one}.jpg", f"val/nv/{other.lower()}.PNG", "train/.hidden.jpg"):
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / name).touch()  # not even opened
    code, report = audited(tmp_path, tmp_path / "data")
    assert code == 3 and report.leaks == {lesion: {"train": (one,), "validation": (other,)}}
    assert run("audit", tmp_path / "data" / "train", "--train", tmp_path / "data" / "val") == 3


def test_unknown_ids_are_reported_and_the_others_checked(tmp_path: Path, capsys: Captured) -> None:
    rows = [(i, s) for i, s in load_manifest().items()] + [("ISIC_0000001", "test"), ("PH2_7", "train")]
    code, report = audited(tmp_path, write_rows(tmp_path / "a.csv", "image_id,split", rows))
    assert code == 0 and report.unknown == ("PH2_7", "ISIC_0000001")
    expected = "Not in HAM10000 and not checked: 2 images: PH2_7, ISIC_0000001"
    assert expected in capsys.readouterr().out


def with_answers(images: Sequence[str], right: np.ndarray) -> Predictions:
    """Of all diagnoses; an image is classified correctly where `right` (n,) says so."""
    labels = np.arange(len(images)) % 7
    logits = 3.0 * np.eye(7)[np.where(right, labels, (labels + 1) % 7)]
    return Predictions(tuple(images), tuple(images), labels, logits)


def test_metrics_are_measured_with_and_without_the_siblings(
    members: dict[str, list[str]], tmp_path: Path, capsys: Captured
) -> None:
    """The model knows every lesion that was trained on, and half of the others."""
    leaked, clean = list(members.values())[:60], list(members.values())[60:120]
    images = [image for pair in leaked for image in pair[1:]] + [image for pair in clean for image in pair]
    is_clean = np.array([image in {i for pair in clean for i in pair} for image in images])
    right = ~is_clean | (np.arange(len(images)) % 14 < 7)
    train = write_rows(tmp_path / "train.csv", "image_id", [(pair[0],) for pair in leaked])
    path = with_answers(images, right).to_csv(tmp_path / "predictions.csv")
    code, report = audited(tmp_path, path, "--train", train)
    metrics = report.metrics
    assert code == 3 and set(report.leaks) == {lesion_groups()[pair[0]] for pair in leaked}
    accuracy = metrics["accuracy"]
    before, after, change = accuracy.on_all, accuracy.on_clean, accuracy.difference
    assert (before.n, after.n) == (len(images), is_clean.sum())
    assert before.value == pytest.approx(right.mean()) and after.value == pytest.approx(right[is_clean].mean())
    assert change.value == pytest.approx(right[is_clean].mean() - right.mean())
    assert change.low < change.value < change.high < 0
    for name, metric in metrics.items():
        assert metric.difference.value == pytest.approx(metric.on_clean.value - metric.on_all.value), name
    # Where all images have siblings, nothing is left to measure.
    images = [images[0] for images in members.values()][:70]
    path = with_answers(images, np.ones(70, dtype=bool)).to_csv(tmp_path / "a.csv")
    capsys.readouterr()
    assert run("audit", path) == 3
    assert "| accuracy | 1.000 (0.949 to 1.000) | n/a | n/a |" in capsys.readouterr().out


PROBABILITIES = "image_id,lesion_id,label,akiec,bcc,bkl,df,mel,nv,vasc"
WRONG = {
    "nowhere": (None, "cannot read"),
    "zip": ("PK", "a.zip is a zip file; unpack it, and give the folder"),
    "no ids": ("age,sex\n3,male\n", "no column of image ids (found: age, sex)"),
    "unknown ids": ("image_id,split\nISIC_0024306,train\nb,test\n", "no image in test has an id of HAM10000"),
    "no split": ("image_id,split\nISIC_0024306,train\nISIC_0024307,\n", "some images have no split: ISIC_0024307;"),
    "no id": ("image_id,split\nISIC_0024306,train\n,test\n", "rows without an image id"),
    "no train": ("image_id,split\nISIC_0024306,val\nISIC_0024307,test\n", "has splits, but none is train"),
    "label": (f"{PROBABILITIES}\nISIC_0024306,,wart,1,0,0,0,0,0,0\n", "is not a table of predictions"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_bad_file_is_answered_in_one_line(kind: str, tmp_path: Path, capsys: Captured) -> None:
    content, message = WRONG[kind]
    path = tmp_path / ("a.zip" if kind == "zip" else "a.csv")
    if content is not None:
        path.write_text(content)
    assert run("audit", path, *(["--train", path] if kind == "no train" else [])) == 2
    output, errors = capsys.readouterr()
    assert errors.startswith("error: ") and errors.count("\n") == 1 and message in errors and not output


def draw_folder(folder: Path, seeds: Iterable[int]) -> Path:
    folder.mkdir(parents=True)
    for seed in seeds:
        draw_lesion(seed).save(folder / f"{seed}.png")
    return folder


def test_pictures_without_ids_are_compared_in_all_orientations(tmp_path: Path, capsys: Captured) -> None:
    train, test = draw_folder(tmp_path / "train", range(20)), draw_folder(tmp_path / "test", range(20, 30))
    assert run("audit", test, "--train", train) == 0
    assert "No leak: no groups of near-duplicates are both in train and in test." in capsys.readouterr().out
    for seed, method in enumerate((None, *Image.Transpose)):
        copy = draw_lesion(seed) if method is None else draw_lesion(seed).transpose(method)
        copy.resize((copy.width * 2, copy.height * 2)).save(test / f"copy{seed}.jpg", quality=70)
    code, report = audited(tmp_path, test, "--train", train)
    assert code == 3 and list(report.leaks.values()) == [
        {"train": (str(train / f"{seed}.png"),), "test": (str(test / f"copy{seed}.jpg"),)} for seed in range(8)
    ]
    capsys.readouterr()
    assert run("audit", tmp_path) == 3, "one folder that holds both"
    assert capsys.readouterr().err == ""
    assert run("audit", train) == 2
    assert "give ids, or two folders" in capsys.readouterr().err
    (test / "broken.jpg").write_bytes(b"\xff\xd8broken")
    assert run("audit", tmp_path) == 2
    assert re.fullmatch("error: .*broken.jpg .*\n", capsys.readouterr().err)


def test_comparing_pictures_says_what_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setitem(sys.modules, "imagehash", None)
    assert run("audit", draw_folder(tmp_path / "a", [0]), "--train", draw_folder(tmp_path / "b", [1])) == 2
    assert 'needs imagehash: pip install "skinvision-hf[audit]"' in capsys.readouterr().err


@pytest.mark.slow
def test_the_benchmark_counts_pairs_by_lesion_and_finds_copies(
    members: dict[str, list[str]], tmp_path: Path, capsys: Captured
) -> None:
    one, other, *_ = next(iter(members.values()))
    for name, seed in ((one, 0), (other, 0), ("ISIC_0024306", 1)):
        draw_lesion(seed).save(tmp_path / f"{name}.jpg")
    assert call(ROOT / "scripts" / "benchmark.py", "near-duplicates", "--data", tmp_path, "--copies", "2") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["images"] == 3 and report["by_distance"]["40"]["precision"] == 1
    assert report["by_distance"]["40"]["recall"] == report["copies_found"]["half the size"] == 1
