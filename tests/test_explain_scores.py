"""Scores of heat maps: known maps have known scores, and the controls are what they say."""

import numpy as np
import pytest
import torch
from drawing import draw_lesion
from pytorch_grad_cam.metrics.road import ROADCombined
from pytorch_grad_cam.utils.model_targets import ClassifierOutputSoftmaxTarget
from scipy.stats import spearmanr
from torch import Tensor, nn

from skinvision_hf.data.transforms import eval_transform
from skinvision_hf.explain.collecting import rank_correlation
from skinvision_hf.explain.controls import RANDOMISATIONS, centre_prior, noise_maps, randomise
from skinvision_hf.explain.examples import choose_by_class, choose_by_outcome
from skinvision_hf.explain.faithfulness import KEPT_PERCENTAGES, road_scores
from skinvision_hf.explain.scores import LEVELS, LocalisationScores, score_maps
from skinvision_hf.labels import CODES
from skinvision_hf.models.modeling import SkinVisionForImageClassification

# pytorch-grad-cam's ROAD calls NumPy on tensors.
pytestmark = pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")


@pytest.fixture
def model(tiny_release: object) -> SkinVisionForImageClassification:
    return SkinVisionForImageClassification.from_pretrained(tiny_release)  # type: ignore[arg-type]


def lesion() -> np.ndarray:
    """A rectangle on a fifth of the image."""
    mask = np.zeros((50, 60), bool)
    mask[10:30, 20:50] = True
    return mask


def score(*maps: np.ndarray) -> LocalisationScores:
    return score_maps(np.stack(maps).astype(np.float32), lesion())


def test_a_perfect_map_has_every_score_at_its_best_and_its_inverse_at_its_worst() -> None:
    scores = score(lesion(), ~lesion())
    assert scores.pointing[:, 0].tolist() == [True, False]
    assert scores.energy[:, 0].tolist() == [1, 0]
    assert scores.inside[:, 0].tolist() == [1, 0]
    assert scores.outside[:, 0].tolist() == [0, 1]
    assert np.array_equal(scores.iou[:, 0], [np.ones(len(LEVELS)), np.zeros(len(LEVELS))])
    np.testing.assert_allclose(scores.area, 0.2)


def test_a_map_without_contrast_has_the_share_of_the_lesion() -> None:
    scores = score(np.full((50, 60), 0.5))
    assert scores.energy[0, 0] == pytest.approx(0.2)
    assert scores.inside[0, 0] == scores.outside[0, 0] == pytest.approx(0.5)
    assert scores.iou[0, 0].tolist() == pytest.approx([0.2 if level <= 0.5 else 0 for level in LEVELS])


def test_an_empty_map_points_nowhere_and_is_counted() -> None:
    scores = score(np.zeros((50, 60)), lesion())
    assert scores.empty[:, 0].tolist() == [True, False]
    for values in (scores.pointing, scores.energy, scores.inside, scores.outside):
        assert values[0, 0] == 0
    assert not scores.iou[0].any()


def test_half_a_lesion_and_as_much_outside_are_half_and_a_third() -> None:
    half = np.zeros((50, 60))
    half[10:20, 20:50] = half[35:45, 20:50] = 1
    scores = score(half)
    assert scores.energy[0, 0] == pytest.approx(0.5)
    assert scores.iou[0, 0, 0] == pytest.approx(1 / 3)


def test_one_histogram_counts_what_a_pass_for_each_level_counts() -> None:
    maps = np.random.default_rng(0).random((3, 50, 60)).astype(np.float32)
    found = maps[:, None] >= LEVELS[None, :, None, None] - 1e-5
    both, either = (found & lesion()).sum(axis=(2, 3)), (found | lesion()).sum(axis=(2, 3))
    np.testing.assert_allclose(score(*maps).iou[:, 0], both / either, atol=1e-4)


def test_scores_of_several_images_are_joined_in_order() -> None:
    joined = LocalisationScores.stack([score(lesion(), ~lesion()), score(~lesion(), lesion())])
    assert joined.pointing.tolist() == [[True, False], [False, True]]
    assert joined.iou.shape == (2, 2, len(LEVELS))


def test_the_centre_prior_is_hottest_in_the_middle_and_the_same_everywhere_around() -> None:
    prior = centre_prior((60, 50))
    assert prior.shape == (50, 60)
    assert prior.dtype == np.float32
    assert 0 < prior.min() < prior.max() <= 1
    rows, columns = np.unravel_index(prior.argmax(), prior.shape)
    assert (rows in (24, 25)) and (columns in (29, 30))
    np.testing.assert_allclose(prior, prior[::-1, ::-1], rtol=1e-5)
    np.testing.assert_allclose(centre_prior((120, 100))[::2, ::2], prior, atol=0.03)


def test_noise_knows_nothing_and_comes_again_with_its_seed() -> None:
    maps = noise_maps(400, (5, 5), np.random.default_rng(3))
    assert maps.shape == (400, 5, 5)
    assert maps.min() >= 0
    assert maps.max() <= 1
    np.testing.assert_allclose(maps.mean(axis=0), 0.5, atol=0.08)
    assert np.array_equal(maps, noise_maps(400, (5, 5), np.random.default_rng(3)))


@pytest.mark.parametrize("what", RANDOMISATIONS)
def test_a_randomised_network_has_new_weights_where_it_should_and_the_original_keeps_its_own(
    model: SkinVisionForImageClassification, what: str
) -> None:
    transform = eval_transform(model.config.pretrained_cfg)
    pixels = torch.stack([transform(draw_lesion(seed)) for seed in range(6)])
    before = {name: value.clone() for name, value in model.state_dict().items()}
    torch.manual_seed(7)
    random = randomise(model, what, pixels, seed=1)
    assert torch.equal(torch.rand(3), torch.manual_seed(7) and torch.rand(3)), "the caller's seed is not used up"
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not random.training

    weights = [name for name, value in before.items() if value.ndim > 1]
    changed = {name for name in weights if not torch.equal(random.state_dict()[name], before[name])}
    assert changed == ({"timm_model.classifier.weight"} if what == "classifier" else set(weights))
    again = randomise(model, what, pixels, seed=1).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in random.state_dict().items())
    with torch.no_grad():
        features = random.timm_model.forward_features(pixels)
    assert torch.isfinite(features).all()
    assert features.std(dim=(2, 3)).max() > 1e-3, "a dead signal would make any method pass"


def test_the_rank_correlation_is_scipys_and_none_where_a_map_has_no_contrast() -> None:
    generator = np.random.default_rng(0)
    first, second = generator.random((4, 5, 5)), generator.random((4, 5, 5)).round(1)
    expected = [spearmanr(a.ravel(), b.ravel()).statistic for a, b in zip(first, second, strict=True)]
    np.testing.assert_allclose(rank_correlation(first, second), expected)
    np.testing.assert_allclose(rank_correlation(first, first), 1)
    np.testing.assert_allclose(rank_correlation(first, -first), -1)
    assert rank_correlation(first, np.zeros_like(first)).tolist() == [0, 0, 0, 0]


class BrightSquare(nn.Module):
    """A network that sees one thing: how bright a square in the middle is."""

    def forward(self, pixels: Tensor) -> Tensor:
        light = pixels[..., 8:16, 8:16].mean(dim=(1, 2, 3))
        return torch.stack([light, -light], dim=1) * 3


@pytest.fixture
def square() -> tuple[Tensor, np.ndarray]:
    """Two images with a bright square, which fills a ninth of them, and a perfect map of it."""
    pixels = torch.randn(2, 3, 24, 24, generator=torch.Generator().manual_seed(0)) * 0.1
    pixels[..., 8:16, 8:16] += 1
    heat = np.zeros((2, 24, 24), np.float32)
    heat[:, 8:16, 8:16] = 1
    return pixels, heat


def test_a_map_of_what_the_network_sees_is_faithful_and_its_inverse_is_not(square: tuple[Tensor, np.ndarray]) -> None:
    pixels, heat = square
    right, wrong = (road_scores(BrightSquare(), pixels, maps, [0, 0]) for maps in (heat, 1 - heat))
    assert right.shape == (2,)
    assert (right > 0.1).all()
    assert (wrong < -0.1).all()
    for_other_class = road_scores(BrightSquare(), pixels, heat, [1, 1])
    np.testing.assert_allclose(for_other_class, -right, atol=0.02)
    noise = road_scores(
        BrightSquare(), pixels.repeat(8, 1, 1, 1), np.random.default_rng(0).random((16, 24, 24)), [0] * 16
    )
    assert abs(noise.mean()) < 0.05


def test_faithfulness_is_that_of_pytorch_grad_cam(square: tuple[Tensor, np.ndarray]) -> None:
    pixels, _ = square
    heat = (
        np.random.default_rng(1).permuted(np.arange(576, dtype=np.float32)).reshape(1, 24, 24).repeat(2, axis=0) / 576
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        expected = ROADCombined(percentiles=list(KEPT_PERCENTAGES))(
            pixels, heat, [ClassifierOutputSoftmaxTarget(0)] * 2, BrightSquare()
        )
    np.testing.assert_allclose(road_scores(BrightSquare(), pixels, heat, [0, 0]), expected, atol=0.005)


def test_faithfulness_comes_again_with_its_seed_and_uses_up_no_other(square: tuple[Tensor, np.ndarray]) -> None:
    pixels, heat = square
    torch.manual_seed(5)
    first = road_scores(BrightSquare(), pixels, heat, [0, 0], seed=2)
    assert torch.equal(torch.rand(2), torch.manual_seed(5) and torch.rand(2))
    assert np.array_equal(first, road_scores(BrightSquare(), pixels, heat, [0, 0], seed=2))
    assert not np.array_equal(first, road_scores(BrightSquare(), pixels, heat, [0, 0], seed=3))


def test_images_that_are_shown_are_drawn_by_lot() -> None:
    generator = np.random.default_rng(0)
    rows, labels = np.arange(100, 400), generator.integers(0, 7, 300)
    predicted = np.where(generator.random(300) < 0.6, labels, (labels + 1) % 7)
    drawn = choose_by_class(rows, labels, predicted, count=4, seed=1)
    assert list(drawn) == list(CODES)
    for code, examples in drawn.items():
        assert len({example.row for example in examples}) == 4
        assert all(CODES[labels[example.row - 100]] == example.label == code for example in examples)
        assert all(CODES[predicted[example.row - 100]] == example.predicted for example in examples)
    assert drawn == choose_by_class(rows, labels, predicted, count=4, seed=1)
    assert drawn != choose_by_class(rows, labels, predicted, count=4, seed=2)

    for code, (right, wrong) in choose_by_outcome(rows, labels, predicted, seed=1).items():
        assert right is not None
        assert wrong is not None
        assert right.label == right.predicted == wrong.label == code
        assert wrong.predicted != code
    always = choose_by_outcome(rows, labels, labels, seed=1)
    assert all(wrong is None for _, wrong in always.values())
