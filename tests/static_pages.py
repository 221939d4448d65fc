"""A published static Space for the tests of its page: served by one server, its model by a Hub of the tests."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import onnxruntime
import pytest
from complete_release import change_json
from drawing import draw_lesion
from hub_server import REPO, TOKEN, HubServer
from PIL import Image
from playwright.sync_api import Page, expect

from skinvision_hf import hub
from skinvision_hf.labels import CODES
from skinvision_hf.models.release import bundled_release, copy_release
from skinvision_hf.vision import SkinVision

SPACE = "ann/skinvision"
PATIENCE = 120_000  # milliseconds: machines that run tests are slow
SIZES = [(600, 450), (1024, 768), (450, 600), (64, 50), (1920, 1080)]
ANSWERED = ".sv-label, #anyway:visible"


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def copyfile(self, source: Any, outputfile: Any) -> None:
        with suppress(ConnectionError):  # a browser that is closed wants no more
            super().copyfile(source, outputfile)


@dataclass
class StaticSpace:
    """A published static Space, its files on a server of their own, and the Hub, with its model in Python twice."""

    url: str
    folder: Path
    hub: HubServer
    vision: SkinVision
    network: onnxruntime.InferenceSession


@contextmanager
def static_space_at(folder: Path) -> Iterator[StaticSpace]:
    """Publish the bundled release and its static Space as `publish` does it, and serve both until the block ends."""
    release, page = copy_release(bundled_release(), folder / "release"), folder / "page"
    split_decisions(release)
    (release / "examples").mkdir()
    draw_lesion(4, (600, 450)).save(release / "examples" / "drawn-mel.png")
    with HubServer().running() as server:
        with pytest.MonkeyPatch.context() as patch:
            server.speak_here(patch, TOKEN)
            patch.setattr("skinvision_hf.hub.publishing.check_release", lambda _: None)
            patch.setattr("skinvision_hf.hub.spaces.STORAGE", server.storage_url)
            hub.publish_model(release, REPO)
            hub.publish_space(SPACE, REPO)
        page.mkdir()
        for name, content in server.files("space", SPACE).items():
            (page / name).write_bytes(content)
        with ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(page))) as web:
            Thread(target=web.serve_forever, daemon=True).start()
            vision = SkinVision.from_pretrained(release, runtime="torch", device="cpu")
            network = onnxruntime.InferenceSession(release / "onnx" / "model.onnx")
            yield StaticSpace(f"http://127.0.0.1:{web.server_port}/", page, server, vision, network)
            web.shutdown()


def drawn() -> list[Image.Image]:
    return [draw_lesion(seed, size) for seed, size in enumerate(SIZES)]


def split_decisions(release: Path) -> None:
    """Move the thresholds of a release, so that drawn lesions are on both sides of each of them."""
    vision = SkinVision.from_pretrained(release, device="cpu")
    answers = vision.predict(drawn())
    scores = sorted(answer.in_distribution_score or 0 for answer in answers)
    malignant = sorted(answer.malignant_probability for answer in answers)
    assert vision.detector and scores[0] < scores[1] < scores[2] < scores[3]
    replace(vision.detector, refused=sum(scores[1:3]) / 2, unusual=sum(scores[2:4]) / 2).save(release)

    def move(metrics: dict) -> None:
        for point in metrics["operating_points"]["malignant"]["points"]:
            point["threshold"] = sum(malignant[1:3]) / 2

    change_json(release / "metrics.json", move)


def upload(page: Page, path: Path) -> None:
    page.locator("#file").set_input_files(path)


def ask(page: Page, path: Path) -> dict[str, float]:
    """The probabilities that the page shows for a file, also where OOD detection refuses it."""
    upload(page, path)
    expect(page.locator("body.busy")).to_have_count(0)
    page.locator(ANSWERED).first.wait_for()
    if page.locator("#anyway").is_visible():
        page.locator("#anyway").click()
    items = page.locator(".sv-bars li").evaluate_all("items => items.map(item => ({ ...item.dataset }))")
    found = {item["code"]: float(item["probability"]) for item in items}
    return {code: found[code] for code in CODES}
