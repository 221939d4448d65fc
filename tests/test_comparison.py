"""Two models on the same images: paired differences, and a test over lesions that keeps its level."""

from dataclasses import replace

import numpy as np
import pytest
from random_predictions import draw_predictions, predictions_of

from skinvision_hf.errors import DataError
from skinvision_hf.evaluation.comparison import compare


def test_a_model_is_equal_to_itself_and_worse_than_a_better_one() -> None:
    first = draw_predictions(600, seed=4)
    same = compare(first, first)
    assert same.mcnemar_p == same.lesion_p == 1.0
    assert all(e.value == 0 for e in same.differences.values())
    shuffled = np.random.default_rng(0).permutation(600)
    helped = first.logits + 3 * np.eye(7)[first.labels] * (np.arange(600) % 3 == 0)[:, None]
    result = compare(first, replace(first, logits=helped).select(shuffled))
    gain = result.differences["accuracy"]
    assert gain.low > 0
    assert gain.value == pytest.approx((result.only_second_right - result.only_first_right) / 600)
    assert result.mcnemar_p <= result.lesion_p < 0.001
    assert result.lesions == len(set(first.lesion_ids))
    with pytest.raises(DataError, match="different images"):
        compare(first, draw_predictions(500))


def test_the_test_over_lesions_keeps_its_level_where_mcnemars_does_not() -> None:
    """Two equally good models that agree about all images of a lesion: at most 5 % of trials may tell them apart."""
    lesions = np.repeat(np.arange(60), 4)
    found = []
    for seed in range(200):
        generator = np.random.default_rng(seed)
        wrong = [(generator.uniform(size=60) >= 0.7)[lesions].astype(int) for _ in range(2)]
        both = [predictions_of(np.zeros(240, int), np.eye(7)[each], map(str, lesions)) for each in wrong]
        result = compare(*both, resamples=2)
        found.append((result.lesion_p < 0.05, result.mcnemar_p < 0.05))
    over_lesions, over_images = np.mean(found, axis=0)
    assert over_lesions <= 0.08
    assert over_images > 0.2


def test_the_test_over_lesions_is_mcnemars_where_each_has_one_image() -> None:
    one, two = (draw_predictions(300, seed=seed) for seed in (1, 2))
    result = compare(*(predictions_of(one.labels, logits) for logits in (one.logits, two.logits)), resamples=2)
    assert result.lesion_p == pytest.approx(result.mcnemar_p)
