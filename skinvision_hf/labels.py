"""The seven diagnoses of HAM10000, in the alphabetical order of their codes, which is the order of every output."""

import re
from dataclasses import dataclass

__all__ = ["CODES", "DIAGNOSES", "DISCLAIMER", "MALIGNANT_CODES", "Diagnosis", "code_of", "diagnosis"]

DISCLAIMER = (
    "SkinVision is for education and research only. It is not a medical device and must not be used to diagnose, "
    "treat or rule out any disease. If a spot on your skin worries you, see a dermatologist."
)


@dataclass(frozen=True)
class Diagnosis:
    """One diagnosis of HAM10000 (Tschandl et al. 2018, doi:10.1038/sdata.2018.161).

    Attributes:
        code: The lower-case code of the metadata column `dx`.
        name: Plain English name.
        description: One sentence for a lay reader.
        malignant: Whether it is grouped with the malignant diagnoses here: melanoma, basal cell carcinoma, and actinic
            keratoses / intraepithelial carcinoma, which includes premalignant lesions.
        isic: Column name in the ISIC 2018 challenge files.
    """

    code: str
    name: str
    description: str
    malignant: bool
    isic: str

    @property
    def group(self) -> str:
        """Benign or malignant in words; actinic keratoses are not cancers yet in every case."""
        if self.code == "akiec":
            return "pre-malignant or malignant"
        return "malignant" if self.malignant else "benign"


DIAGNOSES: tuple[Diagnosis, ...] = (
    Diagnosis(
        "akiec",
        "Actinic keratosis / Bowen's disease",
        "A rough, scaly patch caused by long sun exposure that can turn, or already is, an early surface-level cancer.",
        True,
        "AKIEC",
    ),
    Diagnosis(
        "bcc",
        "Basal cell carcinoma",
        "The most common skin cancer: it grows slowly and rarely spreads, but destroys tissue when left untreated.",
        True,
        "BCC",
    ),
    Diagnosis(
        "bkl",
        "Benign keratosis",
        "A harmless, often waxy growth: seborrhoeic keratosis, solar lentigo or lichen-planus-like keratosis.",
        False,
        "BKL",
    ),
    Diagnosis(
        "df",
        "Dermatofibroma",
        "A small, firm, harmless nodule of connective tissue, often on the legs.",
        False,
        "DF",
    ),
    Diagnosis(
        "mel",
        "Melanoma",
        "A cancer of the pigment cells that can spread early; found in time, it can be cured by removing it.",
        True,
        "MEL",
    ),
    Diagnosis(
        "nv",
        "Melanocytic nevus",
        "An ordinary mole: a harmless cluster of pigment cells.",
        False,
        "NV",
    ),
    Diagnosis(
        "vasc",
        "Vascular lesion",
        "A harmless spot made of blood vessels, such as a cherry angioma or a small bleed under the skin.",
        False,
        "VASC",
    ),
)

CODES: tuple[str, ...] = tuple(d.code for d in DIAGNOSES)
MALIGNANT_CODES: tuple[str, ...] = tuple(d.code for d in DIAGNOSES if d.malignant)

# What HAM10000 on the Hub, the ISIC challenges and the ISIC Archive (before and after its change to a hierarchy of
# diagnoses) call them. Squamous cell carcinoma is not listed: only its form in situ belongs to the seven.
NAMES: dict[str, tuple[str, ...]] = {
    "akiec": (
        "AK",
        "ACK",
        "actinic keratosis",
        "actinic keratoses",
        "actinic keratoses and intraepithelial carcinoma",
        "actinic keratoses and intraepithelial carcinomae",
        "solar or actinic keratosis",
        "intraepithelial carcinoma",
        "squamous cell carcinoma in situ",
        "Bowen disease",
        "Bowen's disease",
    ),
    "bcc": ("basal cell carcinoma", "basal cell carcinomas"),
    "bkl": (
        "SEK",
        "benign keratosis",
        "benign keratoses",
        "benign keratosis-like lesion",
        "benign keratosis-like lesions",
        "benign lesions of the keratosis",
        "pigmented benign keratosis",
        "seborrheic keratosis",
        "seborrhoeic keratosis",
        "solar lentigo",
        "lichenoid keratosis",
        "lichen planus like keratosis",
    ),
    "df": ("dermatofibroma", "dermatofibromas"),
    "mel": ("melanoma", "melanomas", "melanoma in situ", "melanoma invasive", "melanoma metastasis", "lentigo maligna"),
    "nv": (
        "NEV",
        "nevus",
        "nevi",
        "naevus",
        "naevi",
        "melanocytic nevus",
        "melanocytic nevi",
        "melanocytic naevus",
        "melanocytic naevi",
        "blue nevus",
        "nevus spilus",
    ),
    "vasc": (
        "vascular lesion",
        "vascular lesions",
        "benign soft tissue proliferations - vascular",
        "angioma",
        "hemangioma",
        "haemangioma",
        "cherry angioma",
        "angiokeratoma",
        "pyogenic granuloma",
    ),
}


def _plain(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())


_CODE_OF = {_plain(name): d.code for d in DIAGNOSES for name in (d.code, d.isic, d.name, *NAMES[d.code])}


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


def diagnosis(code: str) -> Diagnosis:
    """Return the diagnosis with this code.

    Raises:
        KeyError: If the code is not one of `CODES`.
    """
    if code not in CODES:
        raise KeyError(f"unknown diagnosis {code!r}; known are {', '.join(CODES)}")
    return DIAGNOSES[CODES.index(code)]
