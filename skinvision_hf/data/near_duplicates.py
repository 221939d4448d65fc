"""Near-duplicates among pictures, by perceptual hashes: copies that were resized, compressed, turned or mirrored."""

from collections.abc import Iterator, Sequence
from functools import reduce

import numpy as np
from PIL import Image
from tqdm.auto import tqdm

from skinvision_hf.data.images import open_image
from skinvision_hf.data.split_schemes import merge_duplicates
from skinvision_hf.errors import extras

# A hash has 256 bits. Of pairs in HAM10000 that differ in at most 40, 94 % show one lesion; docs/leakage.md has more.
HASH_SIZE = 16
DISTANCE = 40
SIDE = 64  # what imagehash.phash shrinks an image to
CHUNK = 256
ORIENTATIONS = (None, *Image.Transpose)


def near_duplicates(paths: Sequence[str]) -> dict[str, str]:
    """Group pictures that are near-duplicates of each other: the first picture of its group, for each path.

    ImageError is raised if a picture cannot be read, SkinVisionError if imagehash is not installed.
    """
    pairs = [(paths[first], paths[second]) for first, second, _ in close_pairs(paths)]
    return dict(zip(paths, merge_duplicates(paths, paths, pairs), strict=True))


def close_pairs(paths: Sequence[str], *, distance: int = DISTANCE) -> Iterator[tuple[int, int, int]]:
    """Yield positions of two pictures that differ in at most `distance` bits in some orientation, and how many bits."""
    hashes = _hashes(paths)
    for start in range(0, len(paths), CHUNK):
        upright = hashes[start : start + CHUNK, 0]
        # Hashes of +1 and -1: their product is the number of equal bits minus that of the others.
        products = reduce(np.maximum, (upright @ turned.T for turned in hashes.swapaxes(0, 1)))
        differing = (HASH_SIZE**2 - products) / 2
        for row, column in np.argwhere(differing <= distance):
            if start + row < column:
                yield int(start + row), int(column), int(differing[row, column])


def _hashes(paths: Sequence[str]) -> np.ndarray:
    """Hashes (n, 8, 256) float32 of +1 and -1, one for each orientation of each picture."""
    with extras():
        from imagehash import phash
    hashes = np.empty((len(paths), len(ORIENTATIONS), HASH_SIZE**2), dtype=np.float32)
    for number, path in enumerate(tqdm(paths, desc="hash pictures", unit="image", disable=None)):
        small = open_image(path).convert("L").resize((SIDE, SIDE), Image.Resampling.LANCZOS)
        for turn, method in enumerate(ORIENTATIONS):
            turned = small if method is None else small.transpose(method)
            hashes[number, turn] = np.where(phash(turned, HASH_SIZE).hash.ravel(), 1, -1)
    return hashes
