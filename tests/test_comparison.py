"""Two models on the same images: paired differences, and a test over lesions that keeps its level."""

import numpy as np
import pytest
from random_predictions import draw_predictions

from skinvision_hf.errors import DataError
from skinvision_hf.evaluation.comparison import compare
from skinvision_hf.evaluation.predictions import Predictions


def test_a_model_is_equal_to_itself_and_worse_than_a_better_one() -> None:
    first = draw_predictions(600, seed=4)
    same = compare(first, first)
    assert same.mcnemar_p == same.lesion_p == 1.0
    assert all(e.value == 0 for e in same.differences.values())
    shuffled = np.random.default_rng(0).permutation(600)
    helped = first.logits + 3 * np.eye(7)[first.labels] * (np.arange(600) % 3 == 0)[:, None]
    better = Predictions(
        tuple(first.image_ids[r] for r in shuffled),
        tuple(first.lesion_ids[r] for r in shuffled),
        first.labels[shuffled],
        helped[shuffled],
    )
    result = compare(first, better)
    gain = result.differences["accuracy"]
    assert gain.value is not None
    assert gain.low is not None
    assert gain.low > 0
    assert gain.value == pytest.approx((result.only_second_right - result.only_first_right) / 600)
    assert result.mcnemar_p <= result.lesion_p < 0.001
    assert result.lesions == len(set(first.lesion_ids))
    with pytest.raises(DataError, match="different images"):
        compare(first, draw_predictions(500))


def test_the_test_over_lesions_keeps_its_level_where_mcnemars_does_not() -> None:
    """Two equally good models that agree about all images of a lesion: at most 5 % of trials may tell them apart."""
    lesions, images = np.repeat(np.arange(60), 4), np.arange(240)
    found = []
    for seed in range(200):
        generator = np.random.default_rng(seed)
        right = [(generator.uniform(size=60) < 0.7)[lesions] for _ in range(2)]
        both = [
            Predictions(
                tuple(map(str, images)), tuple(map(str, lesions)), np.zeros(240, int), np.eye(7)[1 - r.astype(int)]
            )
            for r in right
        ]
        result = compare(*both, resamples=2)
        found.append((result.lesion_p < 0.05, result.mcnemar_p < 0.05))
    over_lesions, over_images = np.mean(found, axis=0)
    assert over_lesions <= 0.08
    assert over_images > 0.2


def test_the_test_over_lesions_is_mcnemars_where_each_has_one_image() -> None:
    one, two = (draw_predictions(300, seed=seed) for seed in (1, 2))
    first = Predictions(one.image_ids, one.image_ids, one.labels, one.logits)
    result = compare(first, Predictions(one.image_ids, one.image_ids, one.labels, two.logits), resamples=2)
    assert result.lesion_p == pytest.approx(result.mcnemar_p)
