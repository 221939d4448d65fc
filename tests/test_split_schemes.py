"""Split schemes: the manifest that is shipped, how it was made, and that no lesion is in two splits."""

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from calling import ROOT, Captured, call
from make_lesion_table import lesion_table

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
from skinvision_hf.labels import CODES

MANIFESTS = ROOT / "skinvision_hf" / "data" / "manifests"


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
