"""Split schemes put no lesion into two splits, and `skinvision audit` finds every one that was planted there."""

import csv
import json
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import pytest
from calling import ROOT, call, run
from drawing import draw_lesion
from make_lesion_table import lesion_table
from PIL import Image

from skinvision_hf.config import SPLITS
from skinvision_hf.data.image_lists import lesion_groups
from skinvision_hf.data.split_schemes import (
    assert_leak_free,
    duplicate_pairs,
    grouped_split,
    image_level_split,
    load_manifest,
    merge_duplicates,
)
from skinvision_hf.errors import DataError
from skinvision_hf.evaluation.audit import AuditReport
from skinvision_hf.evaluation.predictions import Predictions
from skinvision_hf.labels import CODES

MANIFESTS = ROOT / "skinvision_hf" / "data" / "manifests"
Captured = pytest.CaptureFixture[str]
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


def test_the_lesions_are_whole_credited_small_and_agree_with_the_splits() -> None:
    groups, manifest, pairs = lesion_groups(), load_manifest(), duplicate_pairs()
    assert Counter(manifest.values()) == {"train": 7_014, "validation": 1_500, "test": 1_501}
    assert len(pairs) == len(set(pairs)) == 18
    assert list(groups) == sorted(manifest)
    assert len(groups) == 10_015 and len(set(groups.values())) == 7_452
    assert all(groups[one] == groups[other] for one, other in pairs)
    assert_leak_free(list(groups), list(groups.values()), [manifest[image] for image in groups])
    content = (MANIFESTS / "ham10000-lesions.csv").read_text(encoding="utf-8")
    assert len(content) < 300_000 and "ViDIR Group" in content[:200] and "CC BY-NC 4.0" in content[:200]


def test_the_script_that_writes_the_lesions_explains_itself(capsys: Captured) -> None:
    assert call(ROOT / "scripts" / "make_lesion_table.py", "--help") == 0
    assert "HAM10000_metadata.csv" in capsys.readouterr().out


@pytest.mark.real_data
def test_the_lesions_are_those_of_the_metadata(ham10000_dir: Path) -> None:
    content = lesion_table(ham10000_dir / "HAM10000_metadata.csv")
    assert (MANIFESTS / "ham10000-lesions.csv").read_text(encoding="utf-8") == content


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
    assert code == 3 and metrics is not None and set(report.leaks) == {lesion_groups()[pair[0]] for pair in leaked}
    accuracy = metrics["accuracy"]
    before, after, change = accuracy.on_all, accuracy.on_clean, accuracy.difference
    assert (before.n, after.n) == (len(images), is_clean.sum())
    assert before.value == pytest.approx(right.mean()) and after.value == pytest.approx(right[is_clean].mean())
    assert change.value == pytest.approx(right[is_clean].mean() - right.mean())
    assert change.low is not None and change.high is not None and change.low < change.value < change.high < 0
    for name, metric in metrics.items():
        assert metric.on_all.value is not None and metric.on_clean.value is not None
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
    "no ids": ("age,sex\n3,male\n", "no column of image ids (found: age, sex)"),
    "unknown ids": ("image_id,split\nISIC_0024306,train\nb,test\n", "no image in test has an id of HAM10000"),
    "no split": ("image_id,split\nISIC_0024306,train\nISIC_0024307,\n", "some images have no split: ISIC_0024307;"),
    "no id": ("image_id,split\nISIC_0024306,train\n,test\n", "rows without an image id"),
    "label": (f"{PROBABILITIES}\nISIC_0024306,,wart,1,0,0,0,0,0,0\n", "is not a table of predictions"),
}


@pytest.mark.parametrize(("content", "message"), WRONG.values(), ids=list(WRONG))
def test_a_bad_file_is_answered_in_one_line(
    content: str | None, message: str, tmp_path: Path, capsys: Captured
) -> None:
    path = tmp_path / "a.csv"
    if content is not None:
        path.write_text(content)
    assert run("audit", path) == 2
    output, errors = capsys.readouterr()
    assert errors.startswith("error: ") and errors.count("\n") == 1 and message in errors and not output


def test_a_zip_file_is_to_be_unpacked(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "a.zip").write_bytes(b"PK")
    assert run("audit", tmp_path / "a.zip") == 2
    assert "a.zip is a zip file; unpack it, and give the folder" in capsys.readouterr().err


def test_a_training_list_without_training_images_is_refused(tmp_path: Path, capsys: Captured) -> None:
    table = write_rows(tmp_path / "a.csv", "image_id,split", [("ISIC_0024306", "val"), ("ISIC_0024307", "test")])
    assert run("audit", table, "--train", table) == 2
    assert "has splits, but none is train; give the train images alone" in capsys.readouterr().err


def draw_folder(folder: Path, seeds: Iterable[int]) -> Path:
    folder.mkdir(parents=True)
    for seed in seeds:
        draw_lesion(seed).save(folder / f"{seed}.png")
    return folder


def test_pictures_without_ids_are_compared_in_all_orientations(tmp_path: Path, capsys: Captured) -> None:
    pytest.importorskip("imagehash")
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
    pytest.importorskip("imagehash")
    one, other, *_ = next(iter(members.values()))
    for name, seed in ((one, 0), (other, 0), ("ISIC_0024306", 1)):
        draw_lesion(seed).save(tmp_path / f"{name}.jpg")
    assert call(ROOT / "scripts" / "benchmark.py", "near-duplicates", "--data", tmp_path, "--copies", "2") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["images"] == 3 and report["by_distance"]["40"]["precision"] == 1
    assert report["by_distance"]["40"]["recall"] == report["copies_found"]["half the size"] == 1


@pytest.fixture(scope="module")
def drawn() -> tuple[list[str], list[str]]:
    """Labels and groups of 3,000 images: groups of one to four, classes as unequal as HAM10000's."""
    generator = np.random.default_rng(0)
    labels, groups = [], []
    for group in range(1_600):
        label = str(generator.choice(CODES, p=[0.03, 0.05, 0.11, 0.015, 0.11, 0.67, 0.015]))
        for _ in range(generator.integers(1, 5)):
            labels.append(label)
            groups.append(f"G{group:04d}")
    return labels[:3_000], groups[:3_000]


def test_a_grouped_split_keeps_groups_whole_and_gives_every_split_its_share(drawn: tuple[list[str], list[str]]) -> None:
    labels, groups = drawn
    splits = grouped_split(labels, groups)
    assert_leak_free([str(n) for n in range(len(labels))], groups, splits)
    sizes = Counter(splits)
    for name, share in zip(SPLITS, (0.7, 0.15, 0.15), strict=True):
        assert sizes[name] / len(splits) == pytest.approx(share, abs=0.01)
        inside = Counter(label for label, s in zip(labels, splits, strict=True) if s == name)
        for code, count in Counter(labels).items():
            assert inside[code] / count == pytest.approx(share, abs=0.12), (name, code)
    few = labels[:600], groups[:600]
    first, again, other = (grouped_split(*few, seed=seed) for seed in (0, 0, 1))
    assert first == again != other


def test_duplicates_share_a_group_even_through_a_third() -> None:
    images, lesions = ["a", "b", "c", "d", "e"], ["L1", "L2", "L3", "L4", "L1"]
    assert merge_duplicates(images, lesions, [("b", "c"), ("a", "c"), ("d", "elsewhere")]) == [
        "L1", "L1", "L1", "L4", "L1",
    ]  # fmt: skip
    assert merge_duplicates(images, lesions, []) == lesions


def test_offenders_are_counted_and_named_with_their_splits() -> None:
    with pytest.raises(DataError, match=r"1 lesions are in more than one split: L1 \(test and train\)"):
        assert_leak_free(["a", "b", "c"], ["L1", "L1", "L2"], ["train", "test", "test"])
    with pytest.raises(DataError, match=r"1 images are in more than one split: a \(test and validation\)"):
        assert_leak_free(["a", "a"], ["L1", "L2"], ["validation", "test"])


def test_the_image_level_split_has_the_shares_of_older_work(drawn: tuple[list[str], list[str]]) -> None:
    splits = image_level_split(drawn[0])
    assert Counter(splits) == {"train": 2101, "validation": 449, "test": 450}
    assert splits == image_level_split(drawn[0])


@pytest.mark.real_data
def test_the_manifest_is_what_the_code_makes_of_the_real_data(ham10000_dir: Path) -> None:
    with (ham10000_dir / "HAM10000_metadata.csv").open(newline="") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: row["image_id"])
    images, lesions = [row["image_id"] for row in rows], [row["lesion_id"] for row in rows]
    groups = merge_duplicates(images, lesions, duplicate_pairs())
    assert len(set(lesions)) == 7_470 and len(set(groups)) < len(set(lesions))
    splits = grouped_split([row["dx"] for row in rows], groups)
    manifest = load_manifest()
    assert_leak_free(images, groups, [manifest[image] for image in images])
    assert dict(zip(images, splits, strict=True)) == manifest
