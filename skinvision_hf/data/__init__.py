"""Every source of HAM10000 to one `DatasetDict` of leak-free splits, and other labelled images to a `Dataset`."""

from skinvision_hf.data.dataverse import download_ham10000
from skinvision_hf.data.ham10000 import limit_images, load_ham10000, resolve_scheme, scheme_name
from skinvision_hf.data.labelled import load_labelled
from skinvision_hf.data.prepared import save_prepared
from skinvision_hf.data.shrinking import shrink_images
from skinvision_hf.data.splits import load_split
from skinvision_hf.data.summary import count_table
from skinvision_hf.data.table import FEATURES, decode_image, fingerprint, verify_images

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
    "shrink_images",
    "scheme_name",
    "verify_images",
]
