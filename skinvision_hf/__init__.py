"""SkinVision: leak-free, calibrated and explained skin-lesion classification on the Hugging Face Hub.

For education and research only; not a medical device. Names are loaded when they are first used, so that importing the
package costs nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

from skinvision_hf._version import __version__

if TYPE_CHECKING:
    from skinvision_hf.data import load_ham10000
    from skinvision_hf.errors import ImageError, SkinVisionError
    from skinvision_hf.labels import CODES, DIAGNOSES, DISCLAIMER
    from skinvision_hf.models.modeling import SkinVisionForImageClassification
    from skinvision_hf.models.prediction import Prediction
    from skinvision_hf.vision import SkinVision

_HOMES = {
    "CODES": "labels",
    "DIAGNOSES": "labels",
    "DISCLAIMER": "labels",
    "ImageError": "errors",
    "Prediction": "models.prediction",
    "SkinVision": "vision",
    "SkinVisionError": "errors",
    "SkinVisionForImageClassification": "models.modeling",
    "load_ham10000": "data",
}

__all__ = [
    "CODES",
    "DIAGNOSES",
    "DISCLAIMER",
    "ImageError",
    "Prediction",
    "SkinVision",
    "SkinVisionError",
    "SkinVisionForImageClassification",
    "__version__",
    "load_ham10000",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from skinvision_hf.errors import extras

    with extras():
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
