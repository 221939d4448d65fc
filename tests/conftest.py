"""Fixtures that several test files share: the real data where it is, and small images drawn in code."""

import os
from pathlib import Path

import pytest

# Several test processes share the cores, and the networks of most tests are tiny.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Tests never reach for the network: what they load lies on disk or on a server of their own.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")


@pytest.fixture(scope="session")
def ham10000_dir() -> Path:
    """The real data set: where SKINVISION_DATA points, or `../shared/data/HAM10000` beside the checkout."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data" / "HAM10000"
    folder = Path(os.environ.get("SKINVISION_DATA", beside))
    if not (folder / "HAM10000_metadata.csv").is_file():
        pytest.skip("HAM10000 is not on this machine; set SKINVISION_DATA to its folder")
    return folder


@pytest.fixture(scope="session")
def tiny_release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release folder of timm's smallest EfficientNet at 64 px, seeded, whose answers differ from image to image."""
    import torch
    from drawing import draw_lesion

    from skinvision_hf.config import ModelConfig
    from skinvision_hf.modeling import SkinVisionForImageClassification
    from skinvision_hf.transforms import eval_transform

    folder = tmp_path_factory.mktemp("release") / "tiny"
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        model = SkinVisionForImageClassification.create(
            ModelConfig(architecture="test_efficientnet", init="random", image_size=64)
        )
        transform = eval_transform(model.config.pretrained_cfg)
        # Random layers shrink the signal to nothing; batch norms that know their inputs keep it alive.
        norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
        for norm in norms:
            norm.momentum = None
        model.train()(torch.stack([transform(draw_lesion(seed)) for seed in range(16)]))
        torch.nn.init.normal_(model.timm_model.get_classifier().weight, std=0.2)
        model.eval().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def guarded_release(tiny_release: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny release with a guard that knows drawn lesions."""
    import torch
    from drawing import draw_lesion

    from skinvision_hf.guard import FeatureGuard
    from skinvision_hf.guard.detectors import Mahalanobis, TrainingFeatures
    from skinvision_hf.guard.features import pooled_features
    from skinvision_hf.inference import SkinVision
    from skinvision_hf.modeling import SkinVisionForImageClassification

    folder = tmp_path_factory.mktemp("guarded") / "release"
    SkinVision.from_pretrained(tiny_release, device="cpu").save_pretrained(folder)
    model = SkinVisionForImageClassification.from_pretrained(folder)
    features, _ = pooled_features(model, (draw_lesion(seed) for seed in range(150)))
    detector = Mahalanobis.fit(TrainingFeatures(features[:100], torch.zeros(100).long(), features[:7], torch.zeros(7)))
    FeatureGuard("mahalanobis", detector, detector.score(features[100:]).sort().values).save(folder)
    return folder
