"""Any labelled folder or table is a set to evaluate on."""

from pathlib import Path

import pytest

from skinvision_hf.data import FEATURES, load_labelled
from skinvision_hf.data.synthetic import draw_image
from skinvision_hf.errors import DataError
from skinvision_hf.labels import CODES

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.mark.parametrize("name", ["akiec", "AKIEC", "actinic_keratoses"])
def test_a_folder_for_each_class_is_a_labelled_set(tmp_path: Path, name: str) -> None:
    for folder, code in ((name, "akiec"), ("nv", "nv")):
        (tmp_path / folder).mkdir()
        draw_image(code, 0)[0].save(tmp_path / folder / "one.png")
    data = load_labelled(tmp_path)
    assert [CODES[k] for k in data["label"][:]] == ["akiec", "nv"]
    assert data.features == FEATURES
    (tmp_path / "warts").mkdir()
    with pytest.raises(DataError, match="folders that are no diagnosis: warts"):
        load_labelled(tmp_path)


def test_the_isic_challenge_layout_is_a_labelled_set(tmp_path: Path) -> None:
    images = tmp_path / "ISIC2018_Task3_Test_Input"
    images.mkdir()
    lines = ["image,MEL,NV,BCC,AKIEC,BKL,DF,VASC"]
    for number, hot in enumerate(("1.0,0,0,0,0,0,0", "0,0.0,0,1,0,0,0")):
        draw_image("nv", number)[0].save(images / f"ISIC_{number:07d}.jpg")
        lines.append(f"ISIC_{number:07d},{hot}")
    table = tmp_path / "ISIC2018_Task3_Test_GroundTruth.csv"
    table.write_text("\n".join(lines) + "\n")
    for source in (tmp_path, table):
        assert [CODES[k] for k in load_labelled(source)["label"][:]] == ["mel", "akiec"]
    table.write_text("\n".join([*lines, "ISIC_0000001,1,1,0,0,0,0,0"]).replace("1,0,0,0\n", "0,0,0,0\n"))
    with pytest.raises(DataError, match="has 0 diagnoses in its ISIC columns"):
        load_labelled(table)


def test_a_table_with_labels_and_lesions_is_a_labelled_set(tmp_path: Path) -> None:
    draw_image("nv", 0)[0].save(tmp_path / "a.jpg")
    table = tmp_path / "labels.csv"
    table.write_text("image,label,lesion_id\na.jpg,melanoma,L1\n")
    row = load_labelled(table)[0]
    assert (CODES[row["label"]], row["lesion_id"]) == ("mel", "L1")
    table.write_text("image,label\na.jpg,melanoma\nb.jpg,nv\n")
    with pytest.raises(DataError, match=r"1 of 2 images of .* are not on disk: b\.jpg"):
        load_labelled(table)
    with pytest.raises(DataError, match="there is no"):
        load_labelled(tmp_path / "nowhere.csv")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("image_id,label\na.jpg,m\xe9lanome\n".encode("latin-1"), "is no CSV file in UTF-8; save it again"),
        (b"image,label\na.jpg\n", "1 rows are incomplete, the first in line 2"),
        (b"image,label\na.jpg,mel\n,nv\n", "1 rows are incomplete, the first in line 3"),
        (b"image,MEL,NV,BCC,AKIEC,BKL,DF,VASC\na.jpg,1,0\n", "1 rows are incomplete, the first in line 2"),
        (b"image_id,MEL,NV,BCC,AKIEC,BKL,DF,VASC\na.jpg,1,1,0,0,0,0,0\n", "a.jpg has 2 diagnoses"),
    ],
)
def test_a_damaged_table_of_labels_is_said_in_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    draw_image("nv", 0)[0].save(tmp_path / "a.jpg")
    (tmp_path / "labels.csv").write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        load_labelled(tmp_path / "labels.csv")
    assert "\n" not in str(caught.value)


def test_a_path_that_is_missing_is_never_taken_for_another_image_of_the_same_name(tmp_path: Path) -> None:
    for patient in ("patient2", "patient3"):
        (tmp_path / patient).mkdir()
        draw_image("nv", 0)[0].save(tmp_path / patient / "img.1.png")
    table = tmp_path / "labels.csv"
    table.write_text("image,label\npatient1/img.1.png,nv\npatient2/img.1.png,nv\n")
    with pytest.raises(DataError, match=r"1 of 2 images of .* are not on disk: patient1/img\.1\.png"):
        load_labelled(table)
    table.write_text("image,label\nimg.1,nv\n")
    with pytest.raises(DataError, match=r"holds several images named img\.1: .*; give their paths"):
        load_labelled(table)
    (tmp_path / "patient3" / "img.1.png").unlink()
    assert load_labelled(table)["image_id"][:] == ["img.1"]
