"""Every source of HAM10000 to one `DatasetDict` of leak-free splits, other labelled images, and opening images.

Names are loaded when they are first used, since opening an image does not need the `datasets` library.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skinvision_hf.data.dataverse import download_ham10000
    from skinvision_hf.data.ham10000 import limit_images, load_ham10000, load_split, resolve_scheme, scheme_name
    from skinvision_hf.data.labelled import load_labelled
    from skinvision_hf.data.prepared import save_prepared, shrink_images
    from skinvision_hf.data.schema import FEATURES, decode_image, fingerprint, verify_images
    from skinvision_hf.data.summary import count_table

_HOMES = {
    "FEATURES": "schema",
    "count_table": "summary",
    "decode_image": "schema",
    "download_ham10000": "dataverse",
    "fingerprint": "schema",
    "limit_images": "ham10000",
    "load_ham10000": "ham10000",
    "load_labelled": "labelled",
    "load_split": "ham10000",
    "resolve_scheme": "ham10000",
    "save_prepared": "prepared",
    "scheme_name": "ham10000",
    "shrink_images": "prepared",
    "verify_images": "schema",
}

__all__ = [
    "FEATURES",
    "count_table",
    "decode_image",
    "download_ham10000",
    "fingerprint",
    "limit_images",
    "load_ham10000",
    "load_labelled",
    "load_split",
    "resolve_scheme",
    "save_prepared",
    "scheme_name",
    "shrink_images",
    "verify_images",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
