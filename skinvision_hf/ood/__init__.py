"""Tells images like the training images from others.

`detectors` scores features, `fitting` chooses among detectors, `typicality` is the guard that a release carries,
`inputs` and `shifts` make the pictures that it is tested on, and `evaluation` tests it.
"""

from skinvision_hf.ood.typicality import FeatureGuard

__all__ = ["FeatureGuard"]
