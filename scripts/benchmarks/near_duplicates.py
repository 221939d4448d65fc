"""How many near-duplicates that perceptual hashes find in HAM10000 show one lesion, and which copies they find."""

import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageEnhance

from skinvision_hf.data.image_lists import lesion_groups, read_list
from skinvision_hf.data.near_duplicates import DISTANCE, close_pairs
from skinvision_hf.data.split_schemes import duplicate_pairs

DISTANCES = (16, 24, 32, DISTANCE, 48, 56)
CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "half the size": lambda image: image.resize((image.width // 2, image.height // 2)),
    "turned and mirrored": lambda image: image.transpose(Image.Transpose.TRANSVERSE),
    "20 % brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.2),
    "without a border of 5 %": lambda image: image.crop(
        (image.width // 20, image.height // 20, image.width * 19 // 20, image.height * 19 // 20)
    ),
}


@dataclass(frozen=True)
class FoundPairs:
    """Pairs of different images that differ in at most so many bits.

    Attributes:
        pairs: Their number.
        one_lesion: Those that show one lesion.
        precision: The share of these; None without pairs.
        recall: Share of all pairs of images of one lesion that was found.
        known_duplicates: How many of the 18 known duplicate pairs were found.
    """

    pairs: int
    one_lesion: int
    precision: float | None
    recall: float
    known_duplicates: int


@dataclass(frozen=True)
class NearDuplicatesReport:
    """What perceptual hashes find.

    Attributes:
        images: Number of images.
        by_distance: Pairs found by the largest number of differing bits of 256.
        copies_found: Share of changed copies that were found beside their original, by change.
    """

    images: int
    by_distance: dict[int, FoundPairs]
    copies_found: dict[str, float]


def measure_near_duplicates(folder: Path, *, copies: int) -> NearDuplicatesReport:
    """Measure on the images of HAM10000 in a folder, and on changed copies of some of them, as JPEG of quality 75."""
    images = {Path(i.name).stem: i.name for i in read_list(folder) if Path(i.name).stem in lesion_groups()}
    ids, paths = list(images), list(images.values())
    found = list(close_pairs(paths, distance=max(DISTANCES)))
    step = max(1, len(paths) // copies)
    return NearDuplicatesReport(
        images=len(ids),
        by_distance={limit: _count([(ids[a], ids[b]) for a, b, d in found if d <= limit], ids) for limit in DISTANCES},
        copies_found={name: _share_found(paths[::step][:copies], change) for name, change in CHANGES.items()},
    )


def _count(pairs: Sequence[tuple[str, str]], ids: Sequence[str]) -> FoundPairs:
    lesion = lesion_groups()
    one_lesion = sum(lesion[a] == lesion[b] for a, b in pairs)
    possible = sum(n * (n - 1) // 2 for n in Counter(lesion[image_id] for image_id in ids).values())
    known = {frozenset(pair) for pair in duplicate_pairs()} & set(map(frozenset, pairs))
    return FoundPairs(
        len(pairs), one_lesion, one_lesion / len(pairs) if pairs else None, one_lesion / max(1, possible), len(known)
    )


def _share_found(paths: Sequence[str], change: Callable[[Image.Image], Image.Image]) -> float:
    with tempfile.TemporaryDirectory() as folder:
        copies = [str(Path(folder, f"{number}.jpg")) for number in range(len(paths))]
        for path, copy in zip(paths, copies, strict=True):
            with Image.open(path) as image:
                change(image.convert("RGB")).save(copy, quality=75)
        found = {(a, b) for a, b, _ in close_pairs([*paths, *copies])}
    return sum((number, number + len(paths)) in found for number in range(len(paths))) / len(paths)
