"""Any labelled folder or table is a set to evaluate on."""

import os
import shutil
from pathlib import Path

import pytest

from skinvision_hf.data import FEATURES, load_labelled, load_split
from skinvision_hf.data.schema import PATIENT
from skinvision_hf.data.synthetic import draw_image
from skinvision_hf.data.tables import code_of
from skinvision_hf.errors import DataError
from skinvision_hf.labels import CODES, DIAGNOSES

pytestmark = pytest.mark.usefixtures("own_cache")

ISIC = "image,MEL,NV,BCC,AKIEC,BKL,DF,VASC"


def draw(path: Path, number: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    draw_image("nv", number)[0].save(path)
    return path


def write_table(path: Path, *lines: str, encoding: str = "utf-8") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding=encoding)
    return path


def codes(source: Path, **options: bool) -> list[str]:
    return [CODES[k] for k in load_labelled(source, **options)["label"][:]]


OTHERS = {
    "akiec": "AKIEC|AK|actinic_keratoses|Actinic keratoses and intraepithelial carcinoma / Bowen's disease|"
    "Solar or actinic keratosis|Squamous cell carcinoma in situ, Bowens disease",
    "bcc": "Malignant:Malignant adnexal epithelial proliferations - Follicular:Basal cell carcinoma",
    "bkl": "benign_keratosis-like_lesions|Pigmented benign keratosis|seborrheic keratosis",
    "mel": "Melanoma, NOS|Malignant melanocytic proliferations (Melanoma)",
    "nv": "melanocytic_Nevi|Nevus, Atypical, Dysplastic, or Clark",
    "vasc": "Benign:Benign soft tissue proliferations - Vascular:Angiokeratoma|vascular lesion",
    None: "Squamous cell carcinoma, NOS|nevus, melanoma|Flat melanotic pigmentations - not melanocytic nevus|unknown|",
}


def test_names_of_every_source_mean_one_of_the_seven_or_none() -> None:
    for code, names in [*((d.code, d.name) for d in DIAGNOSES), *OTHERS.items()]:
        assert {name: code_of(name) for name in names.split("|")} == dict.fromkeys(names.split("|"), code)


def test_a_folder_for_each_class_is_a_labelled_set(tmp_path: Path) -> None:
    tmp_path = tmp_path / "data"
    draw(tmp_path / "AKIEC" / "one.png")
    draw(tmp_path / "nevus" / "patient" / "TWO.JPG")
    (tmp_path / "notes").mkdir()
    data = load_labelled(tmp_path)
    assert (data["image_id"][:], data.features) == (["AKIEC/one", "nevus/patient/TWO"], FEATURES | PATIENT)
    assert data["patient_id"][:] == ["unknown"] * 2
    archive = shutil.make_archive(str(tmp_path.parent / "classes"), "zip", tmp_path.parent, tmp_path.name)
    assert load_labelled(archive)["image_id"][:] == data["image_id"][:]
    assert load_split(archive, split="test", split_scheme=None)[1:] == ("classes", "all")
    draw(tmp_path / "warts" / "three.png")
    with pytest.raises(DataError, match=r"1 of 3 images have none of the diagnoses .*: warts \(1\).* --skip_unknown"):
        load_labelled(tmp_path)
    assert len(load_split(tmp_path, split="test", split_scheme=None, skip_unknown=True)[0]) == 2


def test_what_programs_and_systems_leave_behind_is_no_class_and_no_image(tmp_path: Path) -> None:
    draw(tmp_path / "nv" / "one.jpg")
    for hidden in ("nv/._one.jpg", "nv/.ipynb_checkpoints/a.jpg", ".ipynb_checkpoints/a.jpg", "__MACOSX/nv/a.jpg"):
        draw(tmp_path / hidden)
    for other in ("nv/#recycle/a.jpg", "nv/one_segmentation.png"):
        draw(tmp_path / other)
    for name in ("Thumbs.db", "desktop.ini", "nv/Thumbs.db", ".labels.csv"):
        write_table(tmp_path / name, "image,label", "one,mel")
    assert load_labelled(tmp_path)["image_id"][:] == ["nv/one"]


def test_linked_folders_are_read_once(tmp_path: Path) -> None:
    draw(tmp_path / "elsewhere" / "one.png")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "nv").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "loop").symlink_to(tmp_path / "data")
    assert load_labelled(tmp_path / "data")["image_id"][:] == ["nv/one"]


def test_the_isic_challenge_as_its_zip_files_unpack_is_a_labelled_set(tmp_path: Path) -> None:
    for number in range(2):
        draw(tmp_path / "ISIC2018_Task3_Test_Input" / f"ISIC_{number:07d}.jpg", number)
    write_table(tmp_path / "ISIC2018_Task3_Test_Input" / "ATTRIBUTION.txt", "text")
    table = tmp_path / "ISIC2018_Task3_Test_GroundTruth" / "ISIC2018_Task3_Test_GroundTruth.csv"
    write_table(table, ISIC, "ISIC_0000000,1.0,0,0,0,0,0,0", "ISIC_0000001,0,0.0,0,1,0,0,0")
    assert codes(tmp_path) == codes(table) == ["mel", "akiec"]
    write_table(table, ISIC, "ISIC_0000000,True,False,False,False,False,False,False", "ISIC_0000001,,,,true,,,")
    assert codes(table) == ["mel", "akiec"]
    rows = ("ISIC_0000000;1,0;0,0;0;0;0;0;0", "ISIC_0000001;0;0;0,0;1,0;0;0;0")
    assert codes(write_table(table, ISIC.replace(",", ";"), *rows)) == ["mel", "akiec"]
    for folder in table.parent, tmp_path / "ISIC2018_Task3_Test_Input":
        shutil.make_archive(str(folder), "zip", folder)
        shutil.rmtree(folder)
    assert codes(tmp_path) == ["mel", "akiec"]
    assert load_split(tmp_path, split="test", split_scheme=None)[2] == "all"


def test_the_eight_classes_of_isic_2019(tmp_path: Path) -> None:
    for name in "abc":
        draw(tmp_path / f"{name}.jpg")
    head = "image,MEL,NV,BCC,AK,BKL,DF,VASC,SCC,UNK,score_weight"
    table = write_table(
        tmp_path / "x.csv", head, "a,0,0,0,1,0,0,0,0,0,0.5", "b,0,0,0,0,0,0,0,1,0,1", "c,0,1,0,0,0,0,0,0,0,1"
    )
    with pytest.raises(DataError, match=r"1 of 3 images have none of .*: SCC \(1\); correct .* --skip_unknown"):
        load_labelled(table)
    (tmp_path / "b.jpg").unlink()
    assert codes(table, skip_unknown=True) == ["akiec", "nv"]


@pytest.mark.parametrize(
    ("head", "row", "expected"),
    [
        ("isic_id,age_approx,anatom_site_general,diagnosis,sex", "a,45,back,nevus,male", "nv 45.0 male back"),
        (
            "isic_id,age_approx,diagnosis_1,diagnosis_2,diagnosis_3,diagnosis_4,sex",
            'a,,Benign,Benign melanocytic proliferations,Nevus,"Nevus, Spitz",',
            "nv None unknown unknown",
        ),
        ("Image ID;Diagnosis;Age;Gender", "a.JPG;Melanocytic nevus;-1;F", "nv None female unknown"),
        ("filename\tclass\tsite", "images\\a\tmel\thand", "mel None unknown hand"),
        ("sep=;\nimage;label", "./images/a.jpg;bcc", "bcc None unknown unknown"),
        ('\n"Image","Label","Notes; x; y; z"', "a,mel,", "mel None unknown unknown"),
        ("image;label;age", "a;mel;45,0", "mel 45.0 unknown unknown"),
        ("metadata.isic_id,metadata.clinical.diagnosis_3", "a,Dermatofibroma", "df None unknown unknown"),
    ],
    ids=["ISIC 1", "ISIC 2", "Excel", "tabs", "sep", "quoted", "decimal comma", "dotted"],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_separators_columns_and_vocabularies_of_others(
    tmp_path: Path, head: str, row: str, expected: str, encoding: str
) -> None:
    draw(tmp_path / "images" / "a.jpg")
    record = load_labelled(write_table(tmp_path / "labels.csv", head, row, encoding=encoding))[0]
    found = (CODES[record["label"]], record["age"], record["sex"], record["localization"])
    assert " ".join(map(str, found)) == expected


def test_a_table_groups_lesions_and_names_what_is_missing(tmp_path: Path) -> None:
    draw(tmp_path / "a.jpg")
    table = write_table(tmp_path / "labels.tsv", "image\tlabel\tlesion_id", "a.jpg\tmelanoma\tL1")
    assert load_labelled(table)["lesion_id"][:] == ["L1"]
    write_table(tmp_path / "labels.csv", "image,label", "a.jpg,melanoma")
    with pytest.raises(DataError, match="holds several tables of labels"):
        load_labelled(tmp_path)
    with pytest.raises(DataError, match=r"there is no .*; give a table of labels"):
        load_split(tmp_path / "nowhere.csv", split="test", split_scheme=None)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("image_id,label\na.jpg,m\xe9lanome\n".encode("latin-1"), "is not a text file in UTF-8; save it again"),
        ("image,label\na.jpg,mel\n".encode("utf-32"), "is not a text file in UTF-8; save it again"),
        (
            b'image,label\na.jpg,"mel\n' + b"b.jpg,nv\n" * 20_000,
            "has a text that does not end .* quotation mark",
        ),
        (b"image,label\na.jpg\n", r"1 of 1 images have none of the diagnoses .*: \(empty\) \(1\)"),
        (b"image,label\na.jpg,mel\n,nv\n", "1 rows are incomplete, the first in line 3; fill in image_id"),
        (b"image,label,label\na.jpg,mel,nv\n", "has more than one column label; delete or rename"),
        (b"", "labels.csv is empty; give a table with a row for each image"),
        (b"image,label\n\n", "labels.csv has column names but no rows; give a table"),
        (b"a,b\n1,2\n", r"has no column image_id or dx \(found: a, b\)"),
        (ISIC.encode() + b"\na.jpg,1,1,0,0,0,0,0\n", "a.jpg must have a single 1 in MEL, NV"),
        (ISIC.encode() + b"\na.jpg,0.7,0.1,0.1,0,0,0.1,0\n", "a.jpg must have a single 1 in MEL, NV"),
        (ISIC.encode() + b"\na.jpg,0,0,0,0,0,0,0\n", r": \(empty\) \(1\)"),
    ],
)
def test_a_damaged_table_of_labels_is_said_in_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    draw(tmp_path / "a.jpg")
    (tmp_path / "labels.csv").write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        load_labelled(tmp_path / "labels.csv")
    assert "\n" not in str(caught.value)


def test_names_of_files_that_are_not_utf8_are_refused(tmp_path: Path) -> None:
    picture = draw(tmp_path / "data" / "nv" / "one.png")
    draw(tmp_path / "data" / "nv" / "two.png", 1)
    picture.rename(os.fsdecode(os.fsencode(picture.parent) + b"/\xff.png"))
    with pytest.raises(DataError, match=r"1 paths of images are not UTF-8: nv/\?; rename the files and folders"):
        load_labelled(tmp_path / "data")
    (tmp_path / "data").rename(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    with pytest.raises(DataError, match="2 paths of images are not UTF-8"):
        load_labelled(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))


def test_a_path_that_is_missing_is_never_taken_for_another_image_of_the_same_name(tmp_path: Path) -> None:
    for number, patient in enumerate(("patient2", "patient3", "patient4")):
        draw(tmp_path / patient / "img.1.png", number % 2)
    table = write_table(tmp_path / "labels.csv", "image,label", "patient1/img.1.png,nv", "patient2/img.1.png,nv")
    with pytest.raises(DataError, match=r"1 of 2 images of .* are not on disk: patient1/img\.1\.png; give the fold"):
        load_labelled(table)
    write_table(table, "image,label", "img.1,nv")
    with pytest.raises(DataError, match=r"several images are named img\.1: .*; give their paths"):
        load_labelled(table)
    (tmp_path / "patient3" / "img.1.png").unlink()  # what is left are copies of one image
    assert load_labelled(table)["image_id"][:] == ["img.1"]


def test_an_image_under_two_names_is_refused_since_it_would_count_twice(tmp_path: Path) -> None:
    (tmp_path / "nv" / "link.png").symlink_to(draw(tmp_path / "nv" / "x.png"))
    table = write_table(tmp_path / "labels.csv", "image,label", "nv/x.png,nv", "./nv/x.png,nv", "nv/link.png,nv")
    with pytest.raises(DataError, match=r"1 images .*: nv/x\.png = \./nv/x\.png = nv/link\.png; keep one of each"):
        load_labelled(table)
    table.unlink()
    with pytest.raises(DataError, match="1 images are there under several names: nv/link = nv/x; keep one"):
        load_labelled(tmp_path)


def test_what_is_wrong_in_a_zip_file_is_named_by_the_zip_file_and_not_by_the_cache(tmp_path: Path) -> None:
    folder, archive = tmp_path / "data", tmp_path / "mine.zip"

    def problem(*lines: str) -> str:
        write_table(folder / "tables" / "labels.csv", *lines)
        shutil.make_archive(str(archive.with_suffix("")), "zip", folder)
        with pytest.raises(DataError) as caught:
            load_labelled(archive)
        return str(caught.value)

    here = f"{archive}: tables/labels.csv"
    draw(folder / "a" / "one.png")
    assert problem("image,label").startswith(f"{here} has column names but no rows")
    assert problem("image,label", "one,nv", "two,nv").startswith(f"1 of 2 images of {here} are not on disk: two")
    assert problem("image,dx,dx", "one,nv,nv").startswith(f"{here} has more than one column dx")
    draw(folder / "b" / "one.png", 1)
    found = f"several images are named one: {archive}: a/one.png, {archive}: b/one.png; give their paths"
    assert problem("image,label", "one,nv").startswith(found)
    write_table(folder / "tables" / "more.csv", "image,label", "one,nv")
    named = f"{archive} holds several tables of labels: {here}, {archive}: tables/more.csv; name the one to use"
    assert problem("image,label", "one,nv") == named
