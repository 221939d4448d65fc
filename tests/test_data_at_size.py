"""The real data set, and what its preparation takes."""

from pathlib import Path

import pytest
from calling import environment, python
from PIL import Image as Pillow

from skinvision_hf.data import load_ham10000

pytestmark = pytest.mark.usefixtures("own_cache")

PEAK = """
import re, resource, sys
from pathlib import Path
from skinvision_hf.data import load_ham10000, save_prepared
def peak():
    status = Path("/proc/self/status")
    if status.is_file():  # On Linux, getrusage also counts the process that started this one.
        return int(re.search(r"VmHWM:\\s+(\\d+) kB", status.read_text())[1]) // 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024**2

data = load_ham10000(sys.argv[1])
before = peak()
save_prepared(data, sys.argv[2], split_scheme="ham10000-v1")
middle = peak()
for row in load_ham10000(sys.argv[2])["train"]:
    row["image"].load()
print(before, middle, peak())
"""


def memory(source: str, target: Path) -> tuple[int, ...]:
    cache = {"HF_HOME": str(target.parent / "cache")}
    result = python("-c", PEAK, source, target, env=environment() | cache, check=True)
    return tuple(int(number) for number in result.stdout.split())


@pytest.mark.slow
def test_preparing_and_streaming_hold_memory_flat(tmp_path: Path) -> None:
    small, large = memory("synthetic[:210]", tmp_path / "a" / "p"), memory("synthetic[:2100]", tmp_path / "b" / "p")
    for before, prepared, streamed in (small, large):
        assert prepared - before < 150
        assert streamed - prepared < 50
    assert large[2] < 500


@pytest.mark.real_data
def test_the_whole_data_set_is_prepared_within_500_megabytes(ham10000_dir: Path, tmp_path: Path) -> None:
    assert max(memory(str(ham10000_dir), tmp_path / "prepared")) < 500


@pytest.mark.real_data
def test_the_real_splits_have_the_sizes_and_classes_of_the_manifest(ham10000_dir: Path) -> None:
    data = load_ham10000(ham10000_dir, masks=True)
    assert {name: len(split) for name, split in data.items()} == {"train": 7014, "validation": 1500, "test": 1501}
    totals = [sum(split["label"][:].count(k) for split in data.values()) for k in range(7)]
    assert totals == [327, 514, 1099, 115, 1113, 6705, 142]
    row = data["test"][0]
    assert isinstance(row["image"], Pillow.Image)
    assert row["image"].width * row["mask"].height == pytest.approx(row["image"].height * row["mask"].width, rel=0.01)
