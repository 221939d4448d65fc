"""The seven diagnoses of HAM10000, in the alphabetical order of their codes, which is the order of every output."""

from dataclasses import dataclass

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
    """

    code: str
    name: str
    description: str
    malignant: bool

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
    ),
    Diagnosis(
        "bcc",
        "Basal cell carcinoma",
        "The most common skin cancer: it grows slowly and rarely spreads, but destroys tissue when left untreated.",
        True,
    ),
    Diagnosis(
        "bkl",
        "Benign keratosis",
        "A harmless, often waxy growth: seborrhoeic keratosis, solar lentigo or lichen-planus-like keratosis.",
        False,
    ),
    Diagnosis(
        "df",
        "Dermatofibroma",
        "A small, firm, harmless nodule of connective tissue, often on the legs.",
        False,
    ),
    Diagnosis(
        "mel",
        "Melanoma",
        "A cancer of the pigment cells that can spread early; found in time, it can be cured by removing it.",
        True,
    ),
    Diagnosis(
        "nv",
        "Melanocytic nevus",
        "An ordinary mole: a harmless cluster of pigment cells.",
        False,
    ),
    Diagnosis(
        "vasc",
        "Vascular lesion",
        "A harmless spot made of blood vessels, such as a cherry angioma or a small bleed under the skin.",
        False,
    ),
)

CODES: tuple[str, ...] = tuple(d.code for d in DIAGNOSES)
MALIGNANT_CODES: tuple[str, ...] = tuple(d.code for d in DIAGNOSES if d.malignant)


def diagnosis(code: str) -> Diagnosis:
    """Return the diagnosis with this code.

    Raises:
        KeyError: If the code is not one of `CODES`.
    """
    if code not in CODES:
        raise KeyError(f"unknown diagnosis {code!r}; known are {', '.join(CODES)}")
    return DIAGNOSES[CODES.index(code)]
