"""Load HAM10000 from any source in leak-free splits, load other labelled images, and open images.

Names are imported when they are first used, because opening an image does not need the `datasets` library.
"""

import importlib
from typing import TYPE_CHECKING, Any

from skinvision_hf.errors import extras

if TYPE_CHECKING:
    from skinvision_hf.data.dataverse import download_ham10000
    from skinvision_hf.data.ham10000 import limit_images, load_ham10000, load_split, resolve_scheme, scheme_name
    from skinvision_hf.data.labelled import load_labelled
    from skinvision_hf.data.prepared import save_prepared, shrink_images
    from skinvision_hf.data.schema import FEATURES, fingerprint, verify_images
    from skinvision_hf.data.summary import count_table

__all__ = [
    "FEATURES", "count_table", "download_ham10000", "fingerprint", "limit_images", "load_ham10000", "load_labelled",
    "load_split", "resolve_scheme", "save_prepared", "scheme_name", "shrink_images", "verify_images",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in __all__:
        with extras():
            for home in ("schema", "summary", "prepared", "labelled", "ham10000", "dataverse"):
                module = importlib.import_module(f"{__name__}.{home}")
                if hasattr(module, name):
                    return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
