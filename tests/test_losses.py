"""The loss and its class weights, against their definitions."""

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch.nn.functional import cross_entropy

from skinvision_hf.config import LossConfig
from skinvision_hf.training.losses import ClassificationLoss, class_weights

LABELS = np.repeat(np.arange(4), [70, 20, 9, 1])


@pytest.mark.parametrize("scheme", ["none", "inverse", "sqrt", "effective"])
def test_weights_average_to_one_over_the_images(scheme: str) -> None:
    assert class_weights(LABELS, 4, scheme)[LABELS].mean() == pytest.approx(1.0)


def test_inverse_weights_are_those_of_scikit_learn() -> None:
    expected = compute_class_weight("balanced", classes=np.arange(4), y=LABELS)
    np.testing.assert_allclose(class_weights(LABELS, 4, "inverse"), expected)


def test_schemes_lie_between_none_and_inverse() -> None:
    spread = {s: np.ptp(np.log(class_weights(LABELS, 4, s))) for s in ("none", "sqrt", "effective", "inverse")}
    assert spread["none"] == 0
    assert spread["sqrt"] == pytest.approx(spread["inverse"] / 2)
    assert spread["sqrt"] < spread["effective"] < spread["inverse"]  # the classes are far smaller than 1 / (1 - beta)


def test_effective_number_weights_follow_their_paper() -> None:
    weights = class_weights(LABELS, 4, "effective")
    counts = np.bincount(LABELS)
    effective = (1 - 0.999**counts) / (1 - 0.999)
    np.testing.assert_allclose(weights / weights[0], effective[0] / effective)


def test_a_class_without_images_weighs_nothing() -> None:
    weights = class_weights(np.array([0, 0, 2]), 4, "sqrt")
    assert weights[1] == weights[3] == 0
    assert np.isfinite(weights).all()


def test_an_unknown_scheme_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown class weights 'log'"):
        class_weights(LABELS, 4, "log")


def make_loss(*, mix: bool = False, **settings: float | str) -> ClassificationLoss:
    plain = {
        "class_weights": "sqrt",
        "logit_adjustment": 0.0,
        "label_smoothing": 0.0,
        "mixup_alpha": 0.2,
        "cutmix_alpha": 0.0,
    }
    config = LossConfig(**plain | settings)  # type: ignore[arg-type]
    return ClassificationLoss(LABELS, 4, config, mix=mix)


def test_the_loss_is_the_mean_of_weighted_cross_entropies() -> None:
    loss, logits, labels = make_loss(), torch.randn(6, 4), torch.tensor([0, 1, 2, 3, 0, 1])
    _, targets = loss.mix(torch.zeros(6, 3, 8, 8), labels)
    each = cross_entropy(logits, labels, reduction="none") * loss.weights[labels]
    torch.testing.assert_close(loss(logits, targets), each.mean())


def test_batches_of_equal_size_add_up_to_the_loss_of_all() -> None:
    """With several processes each one averages its own share; the mean of means must be the whole."""
    loss, logits, labels = make_loss(label_smoothing=0.1), torch.randn(8, 4), torch.arange(8) % 4
    _, targets = loss.mix(torch.zeros(8, 3, 8, 8), labels)
    halves = (loss(logits[:4], targets[:4]) + loss(logits[4:], targets[4:])) / 2
    torch.testing.assert_close(loss(logits, targets), halves)


def test_label_smoothing_raises_the_loss_of_a_certain_answer() -> None:
    labels = torch.tensor([0, 1])
    logits = 20.0 * torch.nn.functional.one_hot(labels, 4).float()
    for smoothing, certain in ((0.0, True), (0.1, False)):
        loss = make_loss(label_smoothing=smoothing)
        value = float(loss(logits, loss.mix(torch.zeros(2, 3, 8, 8), labels)[1]))
        assert (value < 1e-6) == certain


def test_mixup_mixes_images_and_targets_by_the_same_share() -> None:
    torch.manual_seed(0)
    loss = make_loss(mix=True, mixup_alpha=1.0)
    labels = torch.tensor([0, 3])
    pixels = labels.view(2, 1, 1, 1).expand(2, 3, 8, 8).float() / 3
    mixed, targets = loss.mix(pixels, labels)
    torch.testing.assert_close(mixed[:, 0, 0, 0], targets[:, 3])
    torch.testing.assert_close(targets.sum(1), torch.ones(2))
    assert 0 < float(targets[0, 3]) < 1


def test_cutmix_pastes_a_rectangle_and_shares_the_target_by_its_area() -> None:
    torch.manual_seed(1)
    loss = make_loss(mix=True, mixup_alpha=0.0, cutmix_alpha=1.0)
    labels = torch.tensor([0, 3])
    pixels = labels.view(2, 1, 1, 1).expand(2, 3, 8, 8).float() / 3
    mixed, targets = loss.mix(pixels, labels)
    assert set(mixed.unique().tolist()) == {0.0, 1.0}
    torch.testing.assert_close(mixed[:, 0].mean(dim=(1, 2)), targets[:, 3])
    assert 0 < float(targets[0, 3]) < 1


def test_mixup_and_cutmix_take_turns() -> None:
    torch.manual_seed(0)
    loss = make_loss(mix=True, mixup_alpha=1.0, cutmix_alpha=1.0)
    labels = torch.tensor([0, 3])
    pixels = labels.view(2, 1, 1, 1).expand(2, 3, 8, 8).float()
    pasted = [set(loss.mix(pixels, labels)[0].unique().tolist()) <= {0.0, 3.0} for _ in range(20)]
    assert any(pasted)
    assert not all(pasted)


@pytest.mark.parametrize(("phase", "alpha"), [(False, 0.5), (True, 0.0)])
def test_without_mixing_images_stay_as_they_are(phase: bool, alpha: float) -> None:
    pixels = torch.rand(3, 3, 8, 8)
    loss = make_loss(mix=phase, mixup_alpha=alpha, cutmix_alpha=alpha)
    mixed, targets = loss.mix(pixels, torch.tensor([0, 1, 2]))
    assert torch.equal(mixed, pixels)
    assert torch.equal(targets, torch.eye(4)[:3])


def test_logit_adjustment_lets_the_network_learn_as_if_all_classes_were_equally_frequent() -> None:
    """Where features say nothing, the best logits are the frequencies without it, and equal with all of it."""
    labels = torch.from_numpy(LABELS)
    frequencies = torch.bincount(labels) / len(labels)
    for tau in (0.0, 0.5, 1.0):
        loss = make_loss(class_weights="none", logit_adjustment=tau)
        logits = ((1.0 - tau) * frequencies.log()).repeat(len(labels), 1).requires_grad_()
        _, targets = loss.mix(torch.zeros(len(labels), 3, 2, 2), labels)
        (gradient,) = torch.autograd.grad(loss(logits, targets), logits)
        torch.testing.assert_close(gradient.sum(0), torch.zeros(4), atol=1e-6, rtol=0.0)


def test_a_class_without_images_leaves_the_adjusted_loss_finite() -> None:
    loss = ClassificationLoss(np.array([0, 0, 2]), 4, LossConfig(logit_adjustment=1.0), mix=False)
    assert torch.isfinite(loss(torch.zeros(1, 4), torch.eye(4)[:1]))
