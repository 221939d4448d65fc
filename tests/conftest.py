"""Fixtures that several test files share: the real data where it is, and small images drawn in code."""

import os
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from benchmarks import RunningApp
    from datasets import DatasetDict
    from hub_server import HubServer
    from playwright.sync_api import Browser, BrowserType, Page
    from static_pages import StaticSpace

    from skinvision_hf.models.modeling import SkinVisionForImageClassification
    from skinvision_hf.vision import SkinVision

ROOT = Path(__file__).resolve().parents[1]

# Without torch, only the tests that need none are collected.
LIGHT = {"test_light.py", "test_images.py", "test_files.py"}
if find_spec("torch") is None:
    collect_ignore = [path.name for path in Path(__file__).parent.glob("test_*.py") if path.name not in LIGHT]

# Several test processes share the cores, and the networks of most tests are tiny.
os.environ["OMP_NUM_THREADS"] = "1"
# Tests never reach for the network: what they load lies on disk or on a server of their own.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")


@pytest.fixture(scope="session")
def ham10000_dir() -> Path:
    """The real data set: where SKINVISION_DATA points, or `../shared/data/HAM10000` beside the checkout."""
    beside = ROOT.parent / "shared" / "data" / "HAM10000"
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
    from skinvision_hf.data.transforms import eval_transform
    from skinvision_hf.models.creation import create_model

    folder = tmp_path_factory.mktemp("release") / "tiny"
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        model = create_model(ModelConfig(architecture="test_efficientnet", init="random", image_size=64))
        transform = eval_transform(model.config.pretrained_cfg)
        # Random layers shrink the signal to nothing; batch norms that know their inputs keep it alive.
        norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
        for norm in norms:
            norm.momentum = None
        model.train()(torch.stack([transform(draw_lesion(seed)) for seed in range(16)]))
        torch.nn.init.normal_(model.timm_model.get_classifier().weight, std=0.2)
        model.eval().save_pretrained(folder)
    return folder


@pytest.fixture
def vision(tiny_release: Path) -> "SkinVision":
    """The tiny release, loaded anew, so that a test may change it."""
    from skinvision_hf.vision import SkinVision

    return SkinVision.from_pretrained(tiny_release, device="cpu")


@pytest.fixture
def model(vision: "SkinVision") -> "SkinVisionForImageClassification":
    """Its network alone."""
    return vision.model


@pytest.fixture(scope="session")
def drawn() -> "DatasetDict":
    """The smallest drawn data set."""
    from skinvision_hf.data import load_ham10000

    return load_ham10000("synthetic[:210]")


@pytest.fixture(scope="session")
def ood_release(tiny_release: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny release with an OOD detector that knows drawn lesions."""
    import numpy as np
    from drawing import draw_lesion

    from skinvision_hf.models.modeling import SkinVisionForImageClassification
    from skinvision_hf.ood.detector import Mahalanobis, OODDetector
    from skinvision_hf.ood.features import pooled_features
    from skinvision_hf.vision import SkinVision

    folder = tmp_path_factory.mktemp("ood") / "release"
    SkinVision.from_pretrained(tiny_release, device="cpu").save_pretrained(folder)
    model = SkinVisionForImageClassification.from_pretrained(folder)
    features, _ = pooled_features(model, (draw_lesion(seed) for seed in range(150)))
    distance = Mahalanobis.fit(features[:100], np.zeros(100, int))
    OODDetector(distance, np.sort(distance.closeness(features[100:])), refused=0.05, unusual=0.1).save(folder)
    return folder


@pytest.fixture(scope="session")
def served(ood_release: Path, tmp_path_factory: pytest.TempPathFactory) -> "SkinVision":
    """The complete release that the demo of these tests serves, with two examples."""
    from complete_release import complete_release
    from drawing import draw_lesion

    from skinvision_hf.vision import SkinVision

    folder = complete_release(ood_release, tmp_path_factory.mktemp("served") / "release")
    (folder / "examples").mkdir()
    for number in (50, 51):
        draw_lesion(number).save(folder / "examples" / f"{number}-nv.png")
    return SkinVision.from_pretrained(folder, device="cpu")


@pytest.fixture(scope="session")
def app(served: "SkinVision") -> "Iterator[RunningApp]":
    """The demo in a process of its own."""
    from benchmarks import running_app

    with running_app(ROOT / "space" / "app.py", {"MODEL_ID": str(served.release)}) as page:
        yield page


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    """A real Chromium: the system's, or Playwright's own."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = launch(playwright.chromium, "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
        yield browser
        browser.close()


def launch(chromium: "BrowserType", *arguments: str) -> "Browser":
    """Start Chromium, or skip the test where there is none."""
    from benchmarks.page import launch_chromium

    from skinvision_hf.errors import RunError

    try:
        return launch_chromium(chromium, *arguments)
    except RunError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def space(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[StaticSpace]":
    """The static Space of the bundled release, published and served."""
    from skinvision_hf.hub.spaces import RUNTIME_FOLDER

    if not RUNTIME_FOLDER.is_dir():
        pytest.skip("ONNX Runtime for browsers is not here; run `npm ci --ignore-scripts` in space/static")
    from static_pages import static_space_at

    with static_space_at(tmp_path_factory.mktemp("static")) as served:
        yield served


@pytest.fixture
def open_page(browser: "Browser", space: "StaticSpace") -> "Iterator[Callable[..., Page]]":
    """Open the static Space as a new visitor, after `prepare(page)`, with options of the browser's context."""
    from playwright.sync_api import expect
    from static_pages import PATIENCE

    expect.set_options(timeout=PATIENCE)
    contexts = []

    def call(prepare: "Callable[[Page], object]" = lambda _: None, **options: Any) -> "Page":
        contexts.append(browser.new_context(**options))
        contexts[-1].set_default_timeout(PATIENCE)
        page = contexts[-1].new_page()
        prepare(page)
        page.goto(space.url)
        return page

    yield call
    for context in contexts:
        context.close()


@pytest.fixture(scope="session")
def dermatoscopic(space: "StaticSpace", tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The drawn lesion that is most like the training images of the static Space's model."""
    from static_pages import drawn

    path = tmp_path_factory.mktemp("drawn") / "lesion.png"
    max(drawn(), key=lambda image: space.vision.predict(image).in_distribution_score or 0).save(path)
    return path


@pytest.fixture(scope="session")
def lesion(served: "SkinVision", tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawn lesion that OOD detection accepts."""
    from drawing import draw_lesion

    path = tmp_path_factory.mktemp("lesion") / "lesion.png"
    for seed in range(200, 240):
        draw_lesion(seed, (400, 300)).save(path)
        prediction = served.predict(path)
        if prediction.in_distribution and not prediction.unusual:
            return path
    raise AssertionError("OOD detection accepts no drawn lesion")


@pytest.fixture
def photo(tmp_path: Path) -> str:
    """A file with a drawn lesion."""
    from drawing import draw_lesion

    draw_lesion().save(tmp_path / "photo.jpg")
    return str(tmp_path / "photo.jpg")


@pytest.fixture
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Confidence intervals from 20 resamples: quick, where a test is not about them."""
    from skinvision_hf.evaluation import predictions

    monkeypatch.setattr(predictions, "lesion_counts", partial(predictions.lesion_counts, resamples=20))


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is unpacked or converted stays inside the test's folder."""
    monkeypatch.setattr("datasets.config.HF_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache" / "datasets")


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    """A small folder in the layout of the official downloads."""
    from ham10000_folder import write_ham10000

    return write_ham10000(tmp_path / "HAM10000")


@pytest.fixture
def fresh_state() -> None:
    """What one test chose for Accelerate is not the next one's."""
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(True)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "Iterator[HubServer]":
    """A Hub to which the client of this very process speaks, logged in as someone who may write."""
    from hub_server import TOKEN, HubServer

    with HubServer().running() as running:
        running.speak_here(monkeypatch, TOKEN)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
        yield running


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A release is not loaded by three libraries before it is published, which takes most of the time."""
    monkeypatch.setattr("skinvision_hf.hub.publishing.check_release", lambda _: None)


@pytest.fixture(scope="session")
def complete(tiny_release: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release that is fit to be published, made once."""
    from complete_release import complete_release

    return complete_release(tiny_release, tmp_path_factory.mktemp("complete") / "release")


@pytest.fixture
def release(complete: Path, tmp_path: Path) -> Path:
    """A copy of it, which a test may change."""
    return Path(shutil.copytree(complete, tmp_path / "release"))
