"""What the page of the static Space says when something is wrong: one sentence, and nothing is lost."""

from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import launch
from drawing import draw_lesion
from hub_server import REPO
from PIL import Image
from playwright.sync_api import Browser, Page, Route, expect
from static_pages import PATIENCE, StaticSpace, ask, upload

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]


def broken(name: str, change: Callable[[bytes], bytes]) -> Callable[[Page], None]:
    """Let a file of the model arrive otherwise than it was published, until `page.unroute_all()`."""

    def change_answer(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(status=200, body=change(answer.body()), headers={"access-control-allow-origin": "*"})

    return lambda page: page.route(f"**/{name}", change_answer)


MODEL_FAULTS = {
    "model cut short": (broken("onnx/model.onnx", lambda body: body[: len(body) // 2]), "The onnx/model.onnx of"),
    "detector cut short": (broken("ood.safetensors", lambda body: body[:5000]), "The ood.safetensors of"),
    "another model": (
        broken("config.json", lambda _: b'{"model_type": "bert"}'),
        f"{REPO} is not a SkinVision release",
    ),
    "not JSON": (broken("metrics.json", lambda _: b"<html>"), f"The metrics.json of {REPO} is damaged"),
    "no network": (
        lambda page: page.route("**/onnx/model.onnx", lambda route: route.abort()),
        "The download of onnx/model.onnx failed; check the network",
    ),
}


@pytest.mark.parametrize("fault", MODEL_FAULTS)
def test_a_model_that_cannot_be_used_is_one_sentence_and_the_next_try_may_work(
    open_page: Callable[..., Page], dermatoscopic: Path, fault: str
) -> None:
    prepare, sentence = MODEL_FAULTS[fault]
    page = open_page(prepare)
    expect(page.get_by_role("alert")).to_contain_text(f"That did not work. {sentence}")
    assert page.get_by_role("alert").inner_text().count(". ") == 1
    page.unroute_all()
    ask(page, dermatoscopic)
    expect(page.get_by_role("alert")).to_be_empty()


def test_an_old_browser_is_told(open_page: Callable[..., Page]) -> None:
    page = open_page(lambda page: page.add_init_script("delete window.WebAssembly"))
    expect(page.get_by_role("alert")).to_contain_text("This browser has no WebAssembly")


def test_without_memory_the_page_says_so(browser: Browser, space: StaticSpace) -> None:
    small = launch(browser.browser_type, "--js-flags=--wasm-max-mem-pages=200")
    page = small.new_page()
    page.goto(space.url)
    expect(page.get_by_role("alert")).to_contain_text("This browser cannot run the model", timeout=PATIENCE)
    small.close()


def test_bad_files_are_one_sentence_and_the_last_answer_stays(
    open_page: Callable[..., Page], dermatoscopic: Path, tmp_path: Path
) -> None:
    page = open_page()
    ask(page, dermatoscopic)
    shown = page.locator("#answer").inner_text()
    Image.new("1", (20_000, 10_000)).save(tmp_path / "huge.png")
    Image.new("RGB", (20, 90)).save(tmp_path / "small.png")
    (tmp_path / "text.jpg").write_text("not an image")
    (tmp_path / "drawing.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg" width="300" height="200"/>')
    Image.new("RGB", (70_000, 40), "pink").save(tmp_path / "wide.png")
    draw_lesion(0, (1200, 900)).save(tmp_path / "whole.jpg", quality=95)
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:9000])
    cases = {
        "huge.png": "Your image has more than 50 megapixels; crop it to the lesion or scale it down.",
        "small.png": "Your image is only 20 x 90 pixels; give an image with sides of at least 32 pixels.",
        "text.jpg": "Your browser cannot open this file as an image; save it as JPEG or PNG.",
        "drawing.svg": "Your browser cannot open this file as an image; save it as JPEG or PNG.",
        "wide.png": "Your browser has too little memory for this image; scale it down, or close other tabs.",
        "cut.jpg": "Your image is damaged or incomplete; download or export it again.",
    }
    for name, sentence in cases.items():
        upload(page, tmp_path / name)
        expect(page.get_by_role("alert")).to_have_text(f"That did not work. {sentence}")
        assert page.locator("#answer").inner_text() == shown
    ask(page, dermatoscopic)
    expect(page.get_by_role("alert")).to_be_empty()
