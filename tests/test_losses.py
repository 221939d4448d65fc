"""The loss, its class weights and its term about lesion masks, against their definitions."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch.nn.functional import cross_entropy

from skinvision_hf.config import LossConfig
from skinvision_hf.training.losses import ClassificationLoss, class_weights, lesion_focus_loss

LABELS = np.repeat(np.arange(4), [70, 20, 9, 1])


def test_inverse_weights_are_those_of_scikit_learn_and_sqrt_is_half_way() -> None:
    expected = compute_class_weight("balanced", classes=np.arange(4), y=LABELS)
    np.testing.assert_allclose(class_weights(LABELS, 4, "inverse"), expected)
    spread = {s: np.ptp(np.log(class_weights(LABELS, 4, s))) for s in ("none", "sqrt", "inverse")}
    assert spread["none"] == 0
    assert spread["sqrt"] == pytest.approx(spread["inverse"] / 2)
    for scheme in spread:
        assert class_weights(LABELS, 4, scheme)[LABELS].mean() == pytest.approx(1.0)


def make_loss(**settings: float | str) -> ClassificationLoss:
    plain = LossConfig("sqrt", logit_adjustment=0.0, label_smoothing=0.0, mixup_alpha=0.2, cutmix_alpha=0.0)
    return ClassificationLoss(LABELS, 4, replace(plain, **settings))


def test_the_loss_is_the_mean_of_weighted_or_smoothed_cross_entropies() -> None:
    logits, labels = torch.randn(6, 4), torch.tensor([0, 1, 2, 3, 0, 1])
    weighted, smoothed = make_loss(), make_loss(class_weights="none", label_smoothing=0.1)
    each = cross_entropy(logits, labels, reduction="none") * weighted.weights[labels]
    expected = (each.mean(), cross_entropy(logits, labels, label_smoothing=0.1))
    for loss, value in zip((weighted, smoothed), expected, strict=True):
        pixels = torch.rand(6, 3, 8, 8)
        unmixed, targets = loss.targets(pixels, labels, mix=False)
        assert torch.equal(unmixed, pixels)
        torch.testing.assert_close(loss(logits, targets), value)


def mix(**alphas: float) -> tuple[bool, torch.Tensor]:
    """Whether a black and a white image of classes 0 and 3 were pasted and not blended, and how white the first is."""
    labels = torch.tensor([0, 3])
    pixels = labels.view(2, 1, 1, 1).expand(2, 3, 8, 8).float() / 3
    mixed, targets = make_loss(**alphas).targets(pixels, labels, mix=True)
    torch.testing.assert_close(mixed[:, 0].mean(dim=(1, 2)), targets[:, 3])
    torch.testing.assert_close(targets.sum(1), torch.ones(2))
    return set(mixed.unique().tolist()) == {0.0, 1.0}, targets[0, 3]


def test_mixup_and_cutmix_mix_targets_as_they_mix_images_and_take_turns() -> None:
    torch.manual_seed(1)
    assert mix(mixup_alpha=0.0, cutmix_alpha=0.0)[1] == 0, "neither, so images stay as they are"
    pasted, share = mix(mixup_alpha=1.0, cutmix_alpha=0.0)
    assert not pasted and 0 < share < 1
    pasted, share = mix(mixup_alpha=0.0, cutmix_alpha=1.0)
    assert pasted and 0 < share < 1
    assert {mix(mixup_alpha=1.0, cutmix_alpha=1.0)[0] for _ in range(20)} == {False, True}


def test_logit_adjustment_lets_the_network_learn_as_if_all_classes_were_equally_frequent() -> None:
    """Where features say nothing, the best logits are the frequencies without it, and equal with all of it."""
    labels = torch.from_numpy(LABELS)
    frequencies = torch.bincount(labels) / len(labels)
    for tau in (0.0, 0.5, 1.0):
        loss = make_loss(class_weights="none", logit_adjustment=tau)
        logits = ((1.0 - tau) * frequencies.log()).repeat(len(labels), 1).requires_grad_()
        _, targets = loss.targets(torch.zeros(len(labels), 3, 2, 2), labels, mix=False)
        (gradient,) = torch.autograd.grad(loss(logits, targets), logits)
        torch.testing.assert_close(gradient.sum(0), torch.zeros(4), atol=1e-6, rtol=0.0)


def test_a_class_without_images_weighs_nothing_and_leaves_the_adjusted_loss_finite() -> None:
    loss = ClassificationLoss(np.array([0, 0, 2]), 4, LossConfig("sqrt", logit_adjustment=1.0))
    assert loss.weights[1] == loss.weights[3] == 0
    assert torch.isfinite(loss(torch.zeros(1, 4), torch.eye(4)[:1]))


def square(*, size: int = 40, left: int = 0, right: int = 20) -> torch.Tensor:
    """A lesion mask (1, 1, size, size) that is white between two columns."""
    mask = torch.zeros(1, 1, size, size)
    mask[..., left:right] = 1.0
    return mask


def test_the_lesion_term_is_the_share_of_the_true_map_inside_the_mask() -> None:
    maps = torch.zeros(1, 4, 4, 4)
    maps[0, 1, :, 0], maps[0, 1, :, 3] = 3.0, 1.0  # three quarters on the left, where the lesion is
    maps[0, 1, 0, 1] = -50.0  # evidence against the diagnosis does not count
    maps[0, 2] = 7.0  # nor do maps of other diagnoses
    targets = torch.eye(4)[1:2]
    assert float(lesion_focus_loss(maps, targets, square())) == pytest.approx(-np.log(0.75))
    everywhere = square(right=40)
    assert float(lesion_focus_loss(maps, targets, everywhere)) == pytest.approx(0.0, abs=1e-6)


def test_the_lesion_term_moves_the_map_and_ignores_crops_without_a_lesion() -> None:
    maps = torch.ones(1, 4, 4, 4, requires_grad=True)
    targets = torch.eye(4)[1:2]
    (gradient,) = torch.autograd.grad(lesion_focus_loss(maps, targets, square()), maps)
    assert bool((gradient[0, 1, :, :2] < 0).all()) and bool((gradient[0, 1, :, 2:] > 0).all())
    assert bool((gradient[0, [0, 2, 3]] == 0).all())
    assert float(lesion_focus_loss(maps.detach(), targets, square(right=0))) == 0.0
