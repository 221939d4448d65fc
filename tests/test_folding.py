"""Networks without batch norms compute what they computed with them."""

from pathlib import Path

import timm
import torch
from timm.layers import BatchNormAct2d
from tiny_training import tiny_config

from skinvision_hf.models.folding import fold_batch_norm
from skinvision_hf.models.modeling import SkinVisionForImageClassification
from skinvision_hf.training.setup import PhaseParts, Run
from skinvision_hf.training.trainer import load_splits

PIXELS = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def norms(network: torch.nn.Module) -> int:
    return sum(isinstance(module, BatchNormAct2d) for module in network.modules())


def trained(name: str) -> torch.nn.Module:
    """A network whose batch norms have statistics and weights of their own."""
    torch.manual_seed(0)
    network = timm.create_model(name)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, std=0.2)
            module.momentum = None
    network.train()(PIXELS)
    return network.eval()


@torch.no_grad()
def test_a_folded_network_has_no_norms_and_computes_the_same() -> None:
    for name in ("efficientnet_b0", "tf_efficientnet_lite0", "test_efficientnet", "tf_efficientnetv2_b0"):
        network = trained(name)
        expected = network(PIXELS)
        assert norms(network)
        fold_batch_norm(network)
        assert not norms(network)
        torch.testing.assert_close(network(PIXELS), expected, rtol=1e-3, atol=1e-4 * expected.abs().max().item())


@torch.no_grad()
def test_other_families_stay_as_they_are() -> None:
    network = trained("resnetv2_50")
    before = norms(network)
    assert before
    expected = network(PIXELS)
    fold_batch_norm(network)
    assert norms(network) == before
    assert torch.equal(network(PIXELS), expected)


def test_a_copy_with_a_folded_backbone_shares_the_classifier(tiny_release: Path) -> None:
    model = SkinVisionForImageClassification.from_pretrained(tiny_release)
    model.freeze_backbone()
    copy = model.with_folded_backbone()
    assert norms(model.timm_model) and not norms(copy.timm_model)
    assert copy.timm_model.get_classifier() is model.timm_model.get_classifier()
    assert [p for p in copy.parameters() if p.requires_grad] == list(model.timm_model.get_classifier().parameters())
    torch.nn.functional.cross_entropy(copy(PIXELS).logits, torch.tensor([0, 1, 2])).backward()
    with torch.no_grad():
        for parameter in model.timm_model.get_classifier().parameters():
            parameter.sub_(parameter.grad)
        torch.testing.assert_close(copy(PIXELS).logits, model(PIXELS).logits, rtol=1e-3, atol=1e-4)


def test_only_the_phase_that_trains_the_classifier_runs_a_folded_copy(tmp_path: Path) -> None:
    config = tiny_config(tmp_path, limit=32)
    run = Run.start(config, load_splits(config))
    for phase in (config.head, config.finetune):
        splits = PhaseParts.build(run, phase)
        trained = run.accelerator.unwrap_model(splits.model)
        assert splits.network is run.model
        assert norms(splits.evaluated)
        assert trained.timm_model.get_classifier() is run.model.timm_model.get_classifier()
        assert (trained is run.model) == phase.train_backbone
        assert bool(norms(trained)) == phase.train_backbone
        run.end_phase()
