"""The demo as its visitors meet it: the real page, in a real browser.

Needs Chromium: the system's, or Playwright's own (`playwright install chromium`).
"""

import base64
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlparse

import numpy as np
import pytest
from benchmarks import RunningApp
from PIL import Image
from playwright.sync_api import Browser, Page, expect
from screens import DARK, DESKTOP, PHONE, TABLET, contrast, reached_by_keyboard, sideways_scroll

from skinvision_hf.demo import MAX_BYTES
from skinvision_hf.demo.parts import percent
from skinvision_hf.labels import DIAGNOSES, DISCLAIMER
from skinvision_hf.vision import SkinVision

pytestmark = pytest.mark.browser

PATIENCE = 60_000  # milliseconds: machines that run tests are slow


@pytest.fixture
def hosts() -> set[str]:
    """The hosts that the page asked for anything."""
    return set()


@pytest.fixture
def page(browser: Browser, app: RunningApp, hosts: set[str], request: pytest.FixtureRequest) -> Iterator[Page]:
    """The page as just opened; `page` can be parametrised with options of the browser's context."""
    context = browser.new_context(**getattr(request, "param", DESKTOP))
    context.set_default_timeout(PATIENCE)
    expect.set_options(timeout=PATIENCE)
    page = context.new_page()
    page.on("request", lambda made: hosts.add(urlparse(made.url).hostname or ""))
    page.goto(app.url)
    expect(page.locator(".sv-waiting")).to_be_visible()
    yield page
    context.close()


def upload(page: Page, path: Path) -> None:
    page.locator("#photo input[type=file]").set_input_files(path)


def ask(page: Page, path: Path) -> None:
    """Upload an image and wait for its heat map."""
    upload(page, path)
    expect(page.locator(".sv-heat")).to_be_visible()


def heat_opacity(page: Page) -> float:
    return page.locator(".sv-heat").evaluate("e => Number(getComputedStyle(e).opacity)")


def test_a_visitor_uploads_an_image_and_reads_the_answer(
    page: Page, served: SkinVision, lesion: Path, hosts: set[str]
) -> None:
    upload(page, lesion)
    expected = served.predict(lesion)
    expect(page.locator(".sv-label")).to_contain_text(expected.name)
    expect(page.locator(".sv-label strong")).to_have_text(percent(expected.confidence))
    bars = page.locator(".sv-bars li")
    expect(bars.first).to_be_hidden()
    page.get_by_text("Details", exact=True).click()
    expect(bars.first).to_be_visible()
    codes = bars.evaluate_all("items => items.map(item => item.dataset.code)")
    assert codes == sorted(expected.probabilities, key=lambda code: -expected.probabilities[code])
    expect(page.locator("#overlay figure")).to_have_attribute("data-target", expected.label)
    shown, heat = (page.locator(part).bounding_box() for part in ("#photo img", ".sv-heat"))
    assert shown and heat, "side by side at equal size"
    assert shown["width"] == pytest.approx(heat["width"], abs=4) and shown["y"] == pytest.approx(heat["y"], abs=4)
    assert hosts == {"127.0.0.1"}, "the page must ask nobody else"


def test_the_answer_is_saved_as_one_page_without_the_image_unless_ticked(page: Page, lesion: Path) -> None:
    ask(page, lesion)
    saved = []
    for _ in range(2):
        with page.expect_download() as download:
            page.get_by_role("button", name="Save answer").click()
        saved.append(Path(download.value.path()).read_text(encoding="utf-8"))
        page.get_by_label("with image and heat map").check()
        page.evaluate("skinvision.setOpacity(0.25)")
    assert ["--sv-opacity:0.25" in text for text in saved] == [False, True]
    assert all(DISCLAIMER in text and "Most probable diagnosis" in text for text in saved)
    assert all("http" not in re.sub(r"base64,[^\"]*", "", text) for text in saved)
    assert ["base64," in text for text in saved] == [False, True]


def test_the_slider_asks_no_model_and_another_diagnosis_gets_another_heat_map(page: Page, lesion: Path) -> None:
    ask(page, lesion)
    page.wait_for_load_state("networkidle")
    requests: list[str] = []
    page.on("request", lambda made: requests.append(made.url))
    slider = page.get_by_role("slider", name="Opacity")
    before = heat_opacity(page)
    slider.focus()
    for _ in range(4):
        slider.press("ArrowLeft")
    page.wait_for_function("Number(getComputedStyle(document.querySelector('.sv-heat')).opacity) < 0.5")
    assert heat_opacity(page) == pytest.approx(before - 0.2, abs=0.01)
    page.wait_for_timeout(500)
    assert not [url for url in requests if "/gradio_api/" in url]
    figure, source = page.locator("#overlay figure"), page.locator(".sv-heat").get_attribute("src")
    other = next(entry for entry in DIAGNOSES if entry.code != figure.get_attribute("data-target"))
    page.locator("#target input").click()
    page.get_by_role("option", name=other.name).click()
    expect(figure).to_have_attribute("data-target", other.code)
    assert page.locator(".sv-heat").get_attribute("src") != source
    assert page.locator(".sv-label").is_visible()


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("broken.jpg", b"This is no image.", "Your image cannot be read as an image; save it as JPEG or PNG."),
        ("photo.heic", b"\0\0\0\x18ftypheic" + b"\0" * 64, "Your image "),
        ("large.png", b"0" * (MAX_BYTES + 9), "Your image has more than 10 MB; save it smaller, or as JPEG."),
    ],
)
def test_a_bad_file_gets_a_friendly_word_in_the_answer_s_place(
    page: Page, lesion: Path, tmp_path: Path, name: str, content: bytes, reason: str
) -> None:
    (tmp_path / name).write_bytes(content)
    upload(page, tmp_path / name)
    expect(page.get_by_role("alert")).to_contain_text(reason)
    expect(page.locator("#photo img")).to_have_count(0)
    expect(page.get_by_test_id("toast-body")).to_have_count(0)
    assert "Traceback" not in page.content()
    upload(page, lesion)
    expect(page.locator(".sv-label")).to_be_visible()
    expect(page.locator(".sv-error")).to_have_count(0)
    page.get_by_label("Remove Image").click()
    expect(page.locator(".sv-waiting")).to_be_visible()


def test_a_tiff_and_a_file_without_an_extension_are_answered_and_shown(
    page: Page, lesion: Path, tmp_path: Path
) -> None:
    Image.open(lesion).save(tmp_path / "lesion.tif")
    (tmp_path / "lesion").write_bytes(lesion.read_bytes())
    for name in ("lesion.tif", "lesion"):
        upload(page, tmp_path / name)
        expect(page.locator(".sv-label")).to_be_visible()
        page.wait_for_function("document.querySelector('#photo img')?.naturalWidth > 0")
        page.get_by_label("Remove Image").click()
        expect(page.locator(".sv-waiting")).to_be_visible()


def test_a_visitor_pastes_an_image(page: Page, served: SkinVision, lesion: Path) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.evaluate(
        """async data => {
            const blob = await (await fetch('data:image/png;base64,' + data)).blob();
            await navigator.clipboard.write([new ClipboardItem({ 'image/png': blob })]);
        }""",
        base64.b64encode(lesion.read_bytes()).decode(),
    )
    page.get_by_label("Paste from clipboard").click()
    expected = served.predict(lesion)
    expect(page.locator(".sv-label")).to_contain_text(expected.name)
    expect(page.locator(".sv-label strong")).to_have_text(percent(expected.confidence))


def test_a_visitor_takes_a_photograph(page: Page) -> None:
    page.context.grant_permissions(["camera"])
    page.get_by_label("Capture from camera").click()
    page.get_by_text("Click to Access Webcam").click()
    # As a visitor would, wait for the camera's picture: without it the button takes none.
    page.wait_for_function("document.querySelector('#photo video')?.videoWidth > 0")
    page.get_by_label("capture photo").click()
    expect(page.locator(".sv-label, .sv-notice").first).to_be_visible()
    assert page.locator("#photo img").evaluate("image => image.naturalWidth") > 100


def test_a_picture_of_something_else_gets_no_diagnosis_unless_asked(page: Page, lesion: Path, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (150, 200, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    upload(page, tmp_path / "noise.png")
    expect(page.locator(".sv-notice")).to_contain_text("does not look like the dermatoscopic images")
    expect(page.locator(".sv-label")).to_have_count(0)
    expect(page.locator("#overlay figure")).to_have_count(0)
    page.get_by_role("button", name="Show the model's answer anyway").click()
    expect(page.locator(".sv-doubtful .sv-label")).to_be_visible()
    expect(page.locator(".sv-notice")).to_be_visible()
    page.get_by_label("Remove Image").click()
    expect(page.locator(".sv-waiting")).to_be_visible()
    upload(page, lesion)
    expect(page.locator(".sv-label")).to_be_visible()
    expect(page.locator(".sv-notice")).to_have_count(0)


def test_an_example_is_one_click(page: Page) -> None:
    page.get_by_role("button", name="Example 1: Melanocytic nevus").click()
    expect(page.locator(".sv-label, .sv-notice").first).to_be_visible()


@pytest.mark.parametrize("page", [PHONE, DESKTOP], ids=["phone", "desktop"], indirect=True)
def test_the_tab_about_the_model_opens_its_figures_in_place(page: Page) -> None:
    page.get_by_role("tab", name="About this model").click()
    about = page.locator("#about")
    expect(about).to_contain_text("Balanced accuracy")
    expect(about).to_contain_text("210 images of 180 lesions")
    figure = about.locator("figure img")
    expect(figure).to_be_hidden()
    about.get_by_role("button", name="All metrics").click()
    expect(figure).to_be_visible()
    page.wait_for_function("document.querySelector('#about figure img').naturalWidth > 0")
    places = [about.get_by_role("button", name="By diagnosis").bounding_box(), figure.bounding_box()]
    assert places[0] and places[1] and places[1]["y"] < places[0]["y"], "in its own section"
    assert sideways_scroll(page) <= 0
    widest = about.locator("p, li").evaluate_all(
        "lines => Math.max(...lines.map(e => e.clientWidth / parseFloat(getComputedStyle(e).fontSize)))"
    )
    assert widest <= 41, "lines of at most about 75 characters"
    expect(page.locator("#disclaimer")).to_be_in_viewport()


@pytest.mark.parametrize("page", [PHONE], ids=["phone"], indirect=True)
def test_on_a_phone_the_answer_comes_into_view_and_the_disclaimer_covers_nothing(page: Page, lesion: Path) -> None:
    ask(page, lesion)
    expect(page.locator(".sv-label")).to_be_in_viewport(ratio=1)
    page.evaluate("window.scrollTo({ top: 100000, behavior: 'instant' })")
    page.wait_for_function("window.innerHeight + window.scrollY >= document.documentElement.scrollHeight - 2")
    bar = page.locator("#disclaimer").bounding_box()
    assert bar and bar["height"] < 90
    for selector in ("#opacity input[type=range]", "footer"):
        box = page.locator(selector).bounding_box()
        assert box and box["y"] + box["height"] <= bar["y"], selector


def test_on_a_desktop_the_heat_map_and_its_slider_are_in_view_beside_the_answer(page: Page, lesion: Path) -> None:
    ask(page, lesion)
    bar = page.locator("#disclaimer").bounding_box()
    for selector in (".sv-label", ".sv-heat", "#opacity input[type=range]"):
        box = page.locator(selector).bounding_box()
        assert bar and box and box["y"] + box["height"] <= bar["y"], selector
    lefts = [page.locator(e).bounding_box() for e in (".sv-header h1", "[role=tablist]", "#photo", ".sv-privacy")]
    assert len({round(box["x"]) for box in lefts if box}) == 1, "title, tabs and image begin at one line"


@pytest.mark.parametrize("page", [TABLET], ids=["tablet"], indirect=True)
def test_on_a_tablet_the_image_stays_in_its_place_beside_the_heat_map_and_above_the_answer(
    page: Page, lesion: Path
) -> None:
    before = page.locator("#photo").bounding_box()
    ask(page, lesion)
    parts = ("#photo", ".sv-stack", "#answer", "#save label", "#save button")
    photo, heat, answer, label, button = (page.locator(part).bounding_box() for part in parts)
    assert (photo["x"], photo["y"]) == (before["x"], before["y"])
    assert heat["y"] == pytest.approx(photo["y"], abs=2) and heat["width"] == pytest.approx(photo["width"], abs=2)
    assert photo["y"] + photo["height"] < answer["y"] < photo["y"] + photo["height"] + 60
    assert 0 < button["x"] - label["x"] - label["width"] < 24, "parts that belong together"
    assert button["x"] + button["width"] == pytest.approx(answer["x"] + answer["width"], abs=2)


@pytest.mark.parametrize("page", [PHONE, DARK], ids=["phone", "dark"], indirect=True)
def test_the_page_fits_a_phone_and_a_dark_room(page: Page, lesion: Path) -> None:
    ask(page, lesion)
    assert sideways_scroll(page) <= 0
    for place in (0, 100_000):
        page.evaluate(f"window.scrollTo(0, {place})")
        expect(page.locator("#disclaimer")).to_be_in_viewport(ratio=1)
        expect(page.locator("#disclaimer")).to_contain_text("not a medical device")
    texts = (".sv-label", ".sv-note", ".sv-eyebrow", ".sv-pill", ".sv-answer summary", "#disclaimer strong")
    texts += (".sv-privacy", "#photo .source-selection button", "footer button:visible", "figcaption", ".sv-scale span")
    for selector in (*texts, "[role=tab][aria-selected=true]", "[data-testid=block-info]"):
        assert contrast(page, selector) >= 4.5, selector
    for target in page.locator(
        "#photo button:visible, #why button:visible, #opacity input[type=range], footer button:visible"
    ).all():
        box = target.bounding_box()
        assert box and min(box["width"], box["height"]) >= 24, target.evaluate("e => e.outerHTML.slice(0, 200)")


def test_everything_is_reached_by_keyboard_and_has_a_name(page: Page, lesion: Path) -> None:
    ask(page, lesion)
    reached = reached_by_keyboard(page, 40)
    for expected in ("Look at an image", "Heat map for", "Save answer", "Opacity of the heat map", "Upload file"):
        assert expected in reached, reached
    assert page.locator("img:not([alt])").count() == 0
    assert page.locator("#answer").get_attribute("aria-live") == "polite"
    assert page.locator("html").get_attribute("lang")
