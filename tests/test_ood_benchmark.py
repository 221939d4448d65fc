"""The images of other things on which OOD detection is measured, and the measurement."""

import json
from pathlib import Path

import numpy as np
import pytest
from benchmarks.far_images import AMBIGUOUS, FAR, far_images
from benchmarks.ood import measure_far
from benchmarks.photographs import photographs

from skinvision_hf.data import load_ham10000
from skinvision_hf.errors import DataError
from skinvision_hf.ood.ood_report import OODReport
from skinvision_hf.vision import SkinVision


@pytest.mark.parametrize("kinds", [FAR, AMBIGUOUS], ids=["far", "ambiguous"])
def test_images_of_one_seed_are_the_same_and_of_another_seed_are_not(kinds: dict) -> None:
    first, again, other = (list(far_images(kinds, count=2, seed=seed)) for seed in (0, 0, 1))
    assert [image.kind for image in first] == [kind for kind in kinds for _ in range(2)]
    for one, two, three in zip(first, again, other, strict=True):
        assert (one.image.mode, one.image.size, one.source) == ("RGB", (600, 450), two.source)
        np.testing.assert_array_equal(one.image, two.image)
        if one.kind not in ("photographs", "graphics"):
            assert not np.array_equal(one.image, three.image)


def test_a_photograph_that_is_not_installed_is_named() -> None:
    with pytest.raises(DataError, match=r"no_such_package/cat\.png is missing; pip install scikit-image"):
        photographs(("no_such_package/cat.png",))(0, np.random.default_rng(0))


def test_refusals_are_measured_by_kind(ood_release: Path) -> None:
    vision = SkinVision.from_pretrained(ood_release, device="cpu")
    assert vision.detector is not None
    test = load_ham10000("synthetic[:210]")["test"]
    report = measure_far(vision.model, vision.detector, test, count=2)
    assert report.far is not None and list(report.far) == [*FAR, "all"]
    assert report.far["all"].accepted.n == report.far["all"].auroc.n == 2 * len(FAR)
    assert (report.far["uniform noise"].auroc.value or 0) > 0.8
    assert report.kept.n == len(test)
    assert OODReport.from_dict(json.loads(json.dumps(report.to_dict()))) == report
