"""Every source of HAM10000 ends in the same splits, and what is wrong with a source is said in one line."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset, Image
from ham10000_folder import fingerprints, some_rows, write_metadata

from skinvision_hf.data import FEATURES, fingerprint, load_ham10000, load_split, scheme_name
from skinvision_hf.data.schema import unify
from skinvision_hf.data.synthetic import draw_image
from skinvision_hf.errors import DataError
from skinvision_hf.labels import CODES

pytestmark = pytest.mark.usefixtures("own_cache")


# In the order of CODES.
LONG_NAMES = ["actinic_keratoses", "basal_cell_carcinoma", "benign_keratosis-like_lesions", "dermatofibroma"]
LONG_NAMES += ["melanoma", "melanocytic_Nevi", "vascular_lesions"]


def test_a_folder_becomes_three_splits_with_the_promised_columns(layout: Path) -> None:
    data = load_ham10000(layout)
    assert {name: len(split) for name, split in data.items()} == {"train": 7, "validation": 7, "test": 7}
    for split in data.values():
        assert split.features == FEATURES
        assert split["image_id"][:] == sorted(split["image_id"][:])
    first = data["train"][0]
    row = next(r for r in some_rows() if r["image_id"] == first["image_id"])
    assert CODES[first["label"]] == row["dx"]
    assert first["image"].size == (200, 150)
    assert {age for split in data.values() for age in split["age"][:]} == {45.0, None}

    data = load_ham10000(layout, masks=True, dx_type=True)["test"]
    assert set(data.column_names) == {*FEATURES, "mask", "dx_type"}
    assert data[0]["mask"].getextrema() == (0, 255)
    shutil.rmtree(layout / "masks")
    with pytest.raises(DataError, match="21 of 21 masks in the metadata are not on disk"):
        load_ham10000(layout, masks=True)


@pytest.mark.parametrize("name", ["HAM10000_metadata.tab", "HAM10000_metadata", "meta/HAM10000_metadata (1).csv"])
def test_the_table_may_be_dataverse_s_and_lie_in_a_folder_of_its_own(layout: Path, name: str) -> None:
    expected = fingerprints(load_ham10000(layout))
    (layout / "HAM10000_metadata.csv").unlink()
    (layout / name).parent.mkdir(exist_ok=True)
    write_metadata(layout / name, some_rows())
    (layout / "._HAM10000_metadata.csv").write_bytes(bytes(80))
    assert fingerprints(load_ham10000(layout)) == expected


def hub_copy(rows: list[dict[str, str]]) -> Dataset:
    """Rows as a well-known copy on the Hub has them: long names, and some images twice."""
    copied = []
    for number, row in enumerate(rows):
        age = float(row["age"]) if row["age"] else None
        image = draw_image(row["dx"], number)[0]
        copied.append(row | {"image": image, "dx": LONG_NAMES[CODES.index(row["dx"])], "age": age})
    return Dataset.from_list([copied[k] for k in (*range(len(rows)), 2, 5, 5)])


def test_a_hub_copy_with_repeated_images_and_long_names_becomes_the_same_data(layout: Path) -> None:
    unified = unify(hub_copy(some_rows()), "user/copy")
    assert len(unified) == 21
    splits = load_ham10000(layout, dx_type=True)
    for column in ("label", "lesion_id", "age", "sex", "localization", "dx_type"):
        expected = {i: v for p in splits.values() for i, v in zip(p["image_id"][:], p[column][:], strict=True)}
        assert dict(zip(unified["image_id"][:], unified[column][:], strict=True)) == expected


def test_a_data_set_that_is_not_ham10000_says_what_it_lacks() -> None:
    with pytest.raises(DataError, match=r"user/copy has no column image or lesion_id or label \(found: image_id\)"):
        unify(Dataset.from_dict({"image_id": ["a"]}), "user/copy")


@pytest.mark.parametrize("kind", ["undecoded", "bytes", "struct"])
def test_rows_that_are_not_decoded_and_columns_under_other_names_are_the_same_data(kind: str) -> None:
    copy = hub_copy(some_rows())
    expected = unify(copy, "user/copy")
    plain = copy.cast_column("image", Image(decode=False))
    if kind != "undecoded":
        rows = [row if kind == "struct" else row["bytes"] for row in plain["image"]]
        plain = Dataset.from_dict({"image": rows} | {c: plain[c][:] for c in plain.column_names if c != "image"})
    renamed = plain.rename_columns({"image_id": "isic_id", "dx": "diagnosis_3", "age": "age_approx"})
    unified = unify(renamed, "user/copy")
    assert unified.features == expected.features
    assert fingerprint(unified) == fingerprint(expected) and unified["age"][:] == expected["age"][:]
    assert unified[3]["image"].tobytes() == expected[3]["image"].tobytes()


def test_a_split_without_images_is_named(layout: Path) -> None:
    write_metadata(layout / "HAM10000_metadata.csv", some_rows(14))
    with pytest.raises(DataError, match="has no images of the split test of ham10000-v1; choose another --split"):
        load_split(layout, split="test", split_scheme="ham10000-v1")


def test_drawn_images_are_always_the_same_and_leak_free() -> None:
    data = load_ham10000("synthetic[:210]")
    assert all(set(split["label"][:]) == set(range(7)) for split in data.values())
    lesions = [set(split["lesion_id"][:]) for split in data.values()]
    assert sum(map(len, lesions)) == len(set.union(*lesions)) < 210
    assert scheme_name(data) == "synthetic, ham10000-v1"
    for number, code in enumerate(CODES):
        (image, mask), (again, _) = draw_image(code, number), draw_image(code, number)
        assert image.tobytes() == again.tobytes()
        grey, lesion = np.asarray(image.convert("L")), np.asarray(mask) > 0
        assert 0.02 < lesion.mean() < 0.6 and grey[lesion].mean() < grey[~lesion].mean() - 10


def test_the_leaky_split_puts_lesions_on_both_sides_and_others_have_no_name() -> None:
    data = load_ham10000("synthetic[:280]", split_scheme="image-level-leaky")
    train, test = (set(data[name]["lesion_id"][:]) for name in ("train", "test"))
    assert train & test
    with pytest.raises(DataError, match=r"there is no split scheme named .*; use 'ham10000-v1' or 'image-level-leaky'"):
        load_ham10000("synthetic[:210]", split_scheme="ham10000-duplicates")


def test_missing_images_are_all_counted_and_ten_are_named(layout: Path) -> None:
    gone = sorted(layout.rglob("*.jpg"))[:12]
    for file in gone:
        file.unlink()
    with pytest.raises(DataError, match="12 of 21 images in the metadata are not on disk") as caught:
        load_ham10000(layout)
    assert sum(file.stem in str(caught.value) for file in gone) == 10
    assert "and 2 more" in str(caught.value)


def test_unreadable_images_are_all_found_when_asked(layout: Path) -> None:
    broken = sorted(layout.rglob("*.jpg"))[:2]
    broken[0].write_bytes(broken[0].read_bytes()[:900])
    broken[1].write_text("not a picture")
    with pytest.raises(DataError, match=r"2 images cannot be read: .*; the first: .* is damaged") as caught:
        load_ham10000(layout, verify=True)
    assert all(file.stem in str(caught.value) for file in broken)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"dx": "wart"}, r"1 of 21 images have none of the diagnoses .*: wart \(1\); correct the labels$"),
        ({"image_id": some_rows()[0]["image_id"]}, "1 image_ids occur more than once"),
        ({"age": "old"}, "the age 'old'"),
        ({"lesion_id": ""}, "1 rows are incomplete, the first in line 6"),
        ({"image_id": "ISIC_9999999"}, "1 images are not in the split scheme ham10000-v1: ISIC_9999999"),
    ],
)
def test_wrong_metadata_is_named(layout: Path, values: dict[str, str], message: str) -> None:
    rows = some_rows()
    rows[4] |= values
    write_metadata(layout / "HAM10000_metadata.csv", rows)
    draw_image("nv", 0)[0].save(layout / "ISIC_9999999.jpg")
    with pytest.raises(DataError, match=message):
        load_ham10000(layout)


def test_ages_that_cannot_be_are_missing(layout: Path) -> None:
    ages = ["-1", "inf", "-inf", "nan", "999", "unknown", " "]
    write_metadata(layout / "HAM10000_metadata.csv", [r | {"age": a} for r, a in zip(some_rows(7), ages, strict=True)])
    assert load_ham10000(layout)["train"]["age"][:] == [None] * 7


def test_missing_columns_are_named(layout: Path) -> None:
    (layout / "HAM10000_metadata.csv").write_text("image_id,age\na,1\n")
    with pytest.raises(DataError, match=r"has no column lesion_id or dx \(found: image_id, age\)"):
        load_ham10000(layout)


def test_a_wrong_source_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("x")
    for source, message in (
        (tmp_path / "nowhere", "there is no folder"),
        (tmp_path / "other", r"holds no HAM10000_metadata\.csv"),
        (tmp_path / "other" / "notes.txt", "is a file"),
        ("synthetic[:20]", r"ask for at least synthetic\[:210\]"),
    ):
        with pytest.raises(DataError, match=message) as caught:
            load_ham10000(source)
        assert "\n" not in str(caught.value)
