"""Tables of labels, whatever their separator, encoding and column names: one dictionary for each image."""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from skinvision_hf.data.folders import TABLE_SUFFIXES, shown
from skinvision_hf.errors import DataError, describe, first_ten
from skinvision_hf.labels import CODES, DIAGNOSES

# What each column of ours is called elsewhere, in lower case without punctuation, the best first. "diagnosis" in five
# levels is the ISIC Archive's; the deepest level that is one of the seven diagnoses counts.
COLUMNS = {
    "image_id": "image imagepath filepath path filename imagefile file imageid imagename isicid img imgid name id",
    "lesion_id": "lesionid lesion",
    "patient_id": "patientid patient subjectid subject",
    "dx": "dx diagnosis label labels class classname category diagnostic celltype disease lesiontype target "
    "diagnosis5 diagnosis4 diagnosis3 diagnosis2 diagnosis1",
    "dx_type": "dxtype diagnosisconfirmtype",
    "age": "age ageapprox",
    "sex": "sex gender",
    "localization": "localization localisation anatomsitegeneral anatomsitegeneralchallenge anatomsite site location",
    "split": "split splits datasplit subset partition phase set fold kfold",
}
# What HAM10000 on the Hub, the ISIC challenges and the ISIC Archive (before and after its change to a hierarchy of
# diagnoses) call them. Squamous cell carcinoma is not listed: only its form in situ belongs to the seven.
NAMES = {
    "akiec": "AK, ACK, actinic keratosis, actinic keratoses, actinic keratoses and intraepithelial carcinoma, "
    "actinic keratoses and intraepithelial carcinomae, solar or actinic keratosis, intraepithelial carcinoma, "
    "squamous cell carcinoma in situ, Bowen disease, Bowen's disease",
    "bcc": "basal cell carcinomas",
    "bkl": "SEK, benign keratoses, benign keratosis-like lesion, benign keratosis-like lesions, "
    "benign lesions of the keratosis, pigmented benign keratosis, seborrheic keratosis, seborrhoeic keratosis, "
    "solar lentigo, lichenoid keratosis, lichen planus like keratosis",
    "df": "dermatofibromas",
    "mel": "melanomas, melanoma in situ, melanoma invasive, melanoma metastasis, lentigo maligna",
    "nv": "NEV, nevus, nevi, naevus, naevi, melanocytic nevi, melanocytic naevus, melanocytic naevi, blue nevus, "
    "nevus spilus",
    "vasc": "vascular lesions, benign soft tissue proliferations - vascular, angioma, hemangioma, haemangioma, "
    "cherry angioma, angiokeratoma, pyogenic granuloma",
}
# Columns of ISIC 2019 that mark none of the seven diagnoses.
OTHER_MARKS = ("scc", "unk")
MARKS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False, "": False}
SEPARATORS = ",;\t|"
HEAD = 1 << 16


def _plain(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())


_CODE_OF = {_plain(name): d.code for d in DIAGNOSES for name in (d.code, d.name, *NAMES[d.code].split(", "))}


def code_of(name: str) -> str | None:
    """Find the diagnosis that a name means.

    Args:
        name: A code, an ISIC column, or a name in any spelling; also several names of one diagnosis, such as
            "Benign:Benign melanocytic proliferations:Nevus:Nevus, Spitz" or "Melanoma, NOS".

    Returns:
        Its code; None when the name means none of the seven, or several of them.
    """
    codes = {_CODE_OF.get(_plain(part)) for part in (name, *re.split(r"[:;,/|()]", name))} - {None}
    return codes.pop() if len(codes) == 1 else None


def first_known(names: Iterable[str]) -> str:
    """The first name that is one of the seven diagnoses, else the first that is not empty; empty without one."""
    given = [name for name in names if name]
    return next(filter(code_of, given), given[0] if given else "")


def columns_of(names: Sequence[str], column: str) -> list[str]:
    """All of a table's columns that mean a column of ours, the best first; `metadata.` and the like are ignored."""
    plain = {_plain(name.rpartition(".")[2]): name for name in reversed(names) if name}
    return [plain[alias] for alias in COLUMNS[column].split() if alias in plain]


def column_of(names: Sequence[str], column: str) -> str | None:
    """The table's column that means a column of ours; None without one."""
    return next(iter(columns_of(names, column)), None)


@dataclass(frozen=True)
class Table:
    """A table of labels: its file, the names of its columns, and its rows as text by column."""

    path: Path
    columns: list[str]
    rows: list[dict[str, str]]

    @classmethod
    def read(cls, path: Path, *, head_only: bool = False) -> "Table":
        """Read a file in UTF-8 or UTF-16 with commas, semicolons, tabs or bars; with `head_only`, no rows of it."""
        name = shown(path)
        try:
            with path.open("rb") as file:
                content = file.read(HEAD if head_only else -1)
            encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
            text = content.decode(encoding, errors="replace" if head_only else "strict")
            if "\0" in text and not head_only:  # UTF-32, or UTF-16 without its mark
                raise UnicodeError("NUL")
            text = re.sub(r"\A[\r\n]*(sep=.\s+)?", "", text)  # the latter is Excel's
            head = re.sub('"[^"]*"', "", re.split(r"[\r\n]", text, maxsplit=1)[0])
            reader = csv.DictReader(io.StringIO(text, newline=None), delimiter=max(SEPARATORS, key=head.count))
            lines = [] if head_only else reader
            rows = [{k: (v or "").strip() for k, v in line.items() if k is not None} for line in lines]
            twice = first_ten(head for head, count in Counter(reader.fieldnames or ()).items() if head and count > 1)
        except OSError as error:
            raise DataError(f"cannot read {describe(error, name)}; check the path and its permissions") from error
        except csv.Error as error:
            raise DataError(f"{name} has a text that does not end ({error}); look for a quotation mark") from error
        except UnicodeError as error:
            raise DataError(f"{name} is not a text file in UTF-8; save it again as CSV in that encoding") from error
        if twice:
            raise DataError(f"{name} has more than one column {twice}; delete or rename the others")
        return cls(path, list(reader.fieldnames or ()), [row for row in rows if any(row.values())])

    @property
    def name(self) -> str:
        """What messages call it."""
        return shown(self.path)

    @property
    def marks(self) -> list[str]:
        """The columns that mark a diagnosis each with 1 or true, as in the ISIC challenges; none in other tables."""
        known = [name for name in self.columns if name and code_of(name)]
        others = [name for name in self.columns if name and name.lower() in OTHER_MARKS]
        return known + others if len({code_of(name) for name in known}) > 1 else []

    @property
    def has_labels(self) -> bool:
        """Whether it names images and their diagnoses."""
        return bool(column_of(self.columns, "image_id") and (self.marks or column_of(self.columns, "dx")))

    def require_rows(self) -> None:
        """Raise DataError if there are none."""
        if not self.rows:
            state = "has column names but no rows" if self.columns else "is empty"
            raise DataError(f"{self.name} {state}; give a table with a row for each image")

    def records(self, *, required: Sequence[str] = ("image_id",)) -> list[dict[str, str]]:
        """The rows by the keys of `COLUMNS` that the table has, without the split; `dx` is in the table's own words.

        No rows, missing columns, rows that leave a `required` one empty or contradict themselves raise DataError.
        """
        self.require_rows()
        wanted = {name: column_of(self.columns, name) for name in COLUMNS if name not in ("dx", "split")}
        missing = [name for name in required if wanted.get(name) is None]
        missing += [] if self.marks or column_of(self.columns, "dx") else ["dx"]
        if missing:
            problem = f"{self.name} has no column {' or '.join(missing)} (found: {first_ten(self.columns)})"
            raise DataError(f"{problem}; rename the columns as README says")
        marks, labels = self.marks, columns_of(self.columns, "dx")
        records = []
        for row in self.rows:
            record = {name: row[column] for name, column in wanted.items() if column}
            dx = self._marked(row, marks) if marks else first_known(row[column] for column in labels)
            records.append(record | {"dx": dx})
        gaps = [number for number, record in enumerate(records, start=2) if not all(record[k] for k in required)]
        if gaps:
            found = f"{len(gaps)} rows are incomplete, the first in line {gaps[0]}"
            raise DataError(f"{self.name}: {found}; fill in {' and '.join(required)}")
        return records

    def _marked(self, row: dict[str, str], marks: Sequence[str]) -> str:
        """The column that a row marks; empty when it marks none."""
        values = [MARKS.get(re.sub(r"[.,]0*\Z", "", row[name].lower())) for name in marks]
        chosen = [name for name, value in zip(marks, values, strict=True) if value]
        if None in values or len(chosen) > 1:
            name = row[column_of(self.columns, "image_id") or ""]
            raise DataError(f"{self.name}: {name} must have a single 1 in {', '.join(marks)}, and 0 elsewhere")
        return "".join(chosen)


def is_table(path: Path) -> bool:
    """Whether a path looks like a table by its name."""
    return path.suffix.lower() in TABLE_SUFFIXES


def refuse_unknown(names: Sequence[str], where: str, remedy: str = "correct the labels") -> None:
    """Refuse labels that are none of the seven diagnoses: a DataError that begins with `where` and counts them."""
    unknown = Counter(name or "(empty)" for name in names if code_of(name) is None)
    if unknown:
        counted = first_ten(f"{name} ({count})" for name, count in unknown.most_common())
        problem = f"{sum(unknown.values())} of {len(names)} images have none of the diagnoses {', '.join(CODES)}"
        raise DataError(f"{where}: {problem}: {counted}; {remedy}")
