"""The static Space as its visitors meet it: the published page in a real browser, which loads the model from a Hub.

Needs Chromium, and what `npm ci --ignore-scripts` puts into `space/static/node_modules`.
"""

import base64
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawing import draw_lesion
from hub_server import REPO
from PIL import Image
from playwright.sync_api import Page, expect
from screens import DARK, PHONE, TABLET, reached_by_keyboard, sideways_scroll
from static_pages import ANSWERED, SPACE, StaticSpace, ask, drawn, upload

from skinvision_hf.demo.parts import html
from skinvision_hf.explain.placement import shrink
from skinvision_hf.hub.spaces import INDEX, STATIC_FILES, STATIC_FOLDER
from skinvision_hf.labels import CODES, DISCLAIMER
from skinvision_hf.models.prediction import Prediction

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

Open = Callable[..., Page]
PASTE = "new ClipboardEvent('paste', { bubbles: true, clipboardData: transfer })"
DROP = "new DragEvent('drop', { bubbles: true, cancelable: true, dataTransfer: transfer })"
DECODE = "new Blob([Uint8Array.from(atob(data), c => c.charCodeAt(0))], { type: 'image/png' })"


@pytest.fixture
def page(open_page: Open) -> Page:
    return open_page()


def words(page: Page, code: str) -> str:
    """The text of a part of the page, or of HTML, in one line."""
    return " ".join(page.evaluate(code).split())


def test_answers_are_those_of_python(page: Page, space: StaticSpace, tmp_path: Path) -> None:
    decisions = set()
    for number, image in enumerate(drawn()):
        path = tmp_path / f"{number}.png"
        image.save(path)
        found, expected = ask(page, path), space.vision.predict(path)
        assert list(found.values()) == pytest.approx(list(expected.probabilities.values()), abs=2e-3)
        (logits,) = space.network.run(["logits"], {"image": np.asarray(image)})
        same_graph = np.exp(logits[0]) / np.exp(logits[0]).sum()
        assert list(found.values()) == pytest.approx(same_graph.tolist(), abs=1e-3)
        assert page.locator(".sv-doubtful").count() == (expected.in_distribution is False)
        # The page's own probabilities, in the words of the Gradio page.
        answer = Prediction.from_probabilities(
            list(found.values()),
            operating_point=expected.operating_point,
            in_distribution=expected.in_distribution,
            unusual=expected.unusual,
            in_set=[code in (expected.prediction_set or ()) for code in CODES],
            coverage=expected.coverage,
        )
        gradio = words(
            page, f"new DOMParser().parseFromString({html('answer', answer)!r}, 'text/html').body.textContent"
        )
        shown = words(page, "document.getElementById('answer').textContent")
        score = re.search(r" ?In-distribution score: ([\d.]+), .*refused\.", shown)
        assert score and float(score[1]) == pytest.approx(expected.in_distribution_score, abs=0.011)
        assert shown.replace(score[0], "").replace(" ", "") == gradio.replace(" ", "")
        decisions.add((expected.suspicious, expected.in_distribution, expected.unusual))
    assert all(set(values) == {True, False} for values in zip(*decisions, strict=True))


def test_the_heat_map_is_that_of_python_for_every_diagnosis(page: Page, space: StaticSpace, tmp_path: Path) -> None:
    path = tmp_path / "lesion.png"
    draw_lesion(3, (600, 450)).save(path)
    ask(page, path)
    assert page.locator("#target").input_value() == space.vision.predict(path).label
    for code in CODES:
        page.locator("#target").select_option(code)
        figure = page.locator(f"figure[data-target={code}]")
        layer = figure.locator(".sv-heat").get_attribute("src") or ""
        alpha = Image.open(io.BytesIO(base64.b64decode(layer.partition(",")[2]))).getchannel("A")
        explanation = space.vision.explain(path, target=code)
        expected = shrink(Image.fromarray((explanation.heatmap * 255).astype(np.uint8)), 300)
        assert np.abs(np.asarray(alpha, int) - np.asarray(expected, int)).max() <= 6
        caption = figure.locator("figcaption").inner_text()
        assert ("border of the image" in caption) == explanation.hottest_at_border
        assert ("nothing in this image" in caption) == (not explanation.heatmap.any())


def test_the_page_asks_for_its_files_and_the_model_s_only(
    open_page: Open, space: StaticSpace, dermatoscopic: Path
) -> None:
    asked = []
    page = open_page(lambda page: page.on("request", lambda request: asked.append((request.method, request.url))))
    ask(page, dermatoscopic)
    page.locator("#with-photo").check()
    page.get_by_role("button", name="Save answer").click()
    page.locator("#opacity").fill("0.2")
    commit = space.hub.repository("model", REPO).refs["main"]
    model = {f"{space.hub.url}/{REPO}/resolve/{commit}/{name}" for name in (
        "config.json", "metrics.json", "conformal.json", "ood.safetensors", "onnx/model.onnx")}  # fmt: skip
    model.add(f"{space.hub.url}/api/models/{REPO}/tree/{commit}/examples")
    others = {url for _, url in asked if not url.startswith(("data:", "blob:"))} - model
    moved = {url for url in others if url.startswith(space.hub.storage_url)}
    assert len(moved) == 2, "large files, from the Hub's storage"
    served = {url.removeprefix(space.url) for url in others - moved}
    assert served <= {"", INDEX, *STATIC_FILES, "style.css", "ort.js", "ort-wasm-simd-threaded.wasm"}
    assert {method for method, _ in asked} == {"GET"}
    requests = [seen for seen in space.hub.requests if seen.headers.get("referer", "").startswith(space.url)]
    assert requests and all("authorization" not in seen.headers for seen in requests)
    blocked = page.evaluate("fetch('http://127.0.0.1:9/').then(() => 'sent', error => error.message)")
    assert blocked == "Failed to fetch", "the browser itself forbids other hosts"


def test_after_the_first_visit_the_page_works_offline(page: Page, dermatoscopic: Path) -> None:
    first = ask(page, dermatoscopic)
    page.evaluate("navigator.serviceWorker.ready.then(() => true)")
    page.context.set_offline(True)
    page.reload()
    assert ask(page, dermatoscopic) == first
    expect(page.locator("#numbers")).to_contain_text("Balanced accuracy")


def test_the_service_worker_keeps_all_files_of_the_page(space: StaticSpace) -> None:
    kept = set(
        re.findall(r"'([\w./-]+)'", re.search(r"FILES = \[(.*?)\]", (space.folder / "sw.js").read_text(), re.S)[1])
    )
    published = set(space.hub.files("space", SPACE)) - {".gitattributes", "README.md", "sw.js"}
    assert kept == published | {"./"}
    here = {path.name for path in STATIC_FOLDER.iterdir() if path.is_file()}
    assert here == {*STATIC_FILES, INDEX, "package.json", "package-lock.json"}, "a new file belongs into STATIC_FILES"
    sources = [path for path in STATIC_FOLDER.iterdir() if path.suffix in (".js", ".css", ".html")]
    assert sum(len(path.read_text(encoding="utf-8").splitlines()) for path in sources) <= 700


def test_a_refused_image_gets_no_diagnosis_unless_asked(page: Page, dermatoscopic: Path, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (450, 600, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    upload(page, tmp_path / "noise.png")
    expect(page.locator(".sv-notice")).to_contain_text("does not look like the dermatoscopic images")
    expect(page.locator(".sv-label")).to_have_count(0)
    expect(page.locator("#why")).to_be_hidden()
    page.get_by_role("button", name="Show the model's answer anyway").click()
    expect(page.locator(".sv-doubtful .sv-label")).to_be_visible()
    assert "prediction set" not in page.locator("#answer").inner_text()
    page.get_by_role("button", name="Remove").click()
    expect(page.locator(".sv-waiting")).to_be_visible()
    ask(page, dermatoscopic)
    expect(page.locator(".sv-notice")).to_have_count(0)


def test_photographs_are_turned_upright_and_transparency_is_white(
    page: Page, space: StaticSpace, tmp_path: Path
) -> None:
    image = draw_lesion(2, (600, 450))
    exif = Image.Exif()
    for orientation in (3, 6):
        exif[0x0112] = orientation
        image.save(tmp_path / f"{orientation}.jpg", exif=exif, quality=95)
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    image.save(tmp_path / "transparent.png")
    for path in tmp_path.iterdir():
        expected = list(space.vision.predict(path).probabilities.values())
        assert list(ask(page, path).values()) == pytest.approx(expected, abs=2e-3), path.name


def test_the_answer_is_saved_as_one_page_without_the_image_unless_ticked(page: Page, dermatoscopic: Path) -> None:
    ask(page, dermatoscopic)
    saved = []
    for _ in range(2):
        with page.expect_download() as download:
            page.get_by_role("button", name="Save answer").click()
        saved.append(Path(download.value.path()).read_text(encoding="utf-8"))
        page.get_by_label("with image and heat map").check()
    assert all(DISCLAIMER in text and "Most probable diagnosis" in text for text in saved)
    assert ["<img" in text for text in saved] == [False, True]
    assert not any(re.search(r"<(link|script)|url\(|src=.http", text) for text in saved)


def test_images_come_from_the_clipboard_and_by_drag_and_drop(page: Page, dermatoscopic: Path) -> None:
    expected = ask(page, dermatoscopic)
    content = base64.b64encode(dermatoscopic.read_bytes()).decode()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    for event in (PASTE, DROP):
        page.get_by_role("button", name="Remove").click()
        page.evaluate(
            f"""data => {{
                const transfer = new DataTransfer();
                transfer.items.add(new File([{DECODE}], 'lesion.png', {{ type: 'image/png' }}));
                document.body.dispatchEvent({event});
            }}""",
            content,
        )
        expect(page.locator(".sv-label")).to_be_visible()
    page.get_by_role("button", name="Remove").click()
    page.evaluate(f"async data => navigator.clipboard.write([new ClipboardItem({{ 'image/png': {DECODE} }})])", content)
    page.get_by_role("button", name="Paste", exact=True).click()
    expect(page.locator(".sv-label")).to_be_visible()
    items = page.locator(".sv-bars li").first
    assert float(items.get_attribute("data-probability") or 0) == pytest.approx(max(expected.values()), abs=1e-6)


def test_of_a_dropped_or_pasted_web_address_the_page_says_what_to_do_instead(page: Page, dermatoscopic: Path) -> None:
    ask(page, dermatoscopic)
    for event, remedy in ((DROP, "save the image, then drop the file here."), (PASTE, "copy one first.")):
        page.evaluate(
            f"""() => {{
                const transfer = new DataTransfer();
                transfer.setData('text/uri-list', 'https://example.org/lesion.jpg');
                document.body.dispatchEvent({event});
            }}"""
        )
        expect(page.locator("#error")).to_contain_text(remedy)
        expect(page.locator(".sv-label")).to_be_visible()
    ask(page, dermatoscopic)
    expect(page.locator("#error")).to_be_empty()


@pytest.mark.parametrize("options", [{}, DARK, PHONE], ids=["desktop", "dark", "phone"])
def test_axe_finds_nothing_to_mend(open_page: Open, dermatoscopic: Path, options: dict[str, Any]) -> None:
    axe = STATIC_FOLDER / "node_modules" / "axe-core" / "axe.min.js"
    if not axe.is_file():
        pytest.skip("axe-core is not here; run `npm ci --ignore-scripts` in space/static")
    page = open_page(**options)
    for prepare in (lambda: None, lambda: ask(page, dermatoscopic)):
        prepare()
        page.evaluate(axe.read_text(encoding="utf-8"))
        found = page.evaluate("axe.run().then(result => result.violations)")
        grave = [(v["id"], v["impact"], [n["target"] for n in v["nodes"]]) for v in found]
        assert not grave
    assert sideways_scroll(page) <= 0
    expect(page.locator("#disclaimer")).to_be_in_viewport(ratio=1)


def test_everything_is_reached_by_keyboard(page: Page, dermatoscopic: Path) -> None:
    ask(page, dermatoscopic)
    reached = reached_by_keyboard(page, 20)
    for expected in ("Choose an image", "Paste", "Details", "Save answer", "Heat map for", "Opacity of the heat map"):
        assert expected in reached, reached


def test_examples_that_were_published_with_the_model_are_one_click(page: Page) -> None:
    page.locator("#samples").get_by_role("button", name="Melanoma").click()
    page.locator(ANSWERED).first.wait_for()
    assert page.locator("#shown").evaluate("image => image.naturalWidth") == 600


def test_on_a_tablet_the_image_stays_in_its_place_beside_the_heat_map_and_above_the_answer(
    open_page: Open, dermatoscopic: Path
) -> None:
    page = open_page(**TABLET)
    before = page.locator("#photo").bounding_box()
    ask(page, dermatoscopic)
    photo, heat, answer = (page.locator(part).bounding_box() for part in ("#photo", ".sv-stack", "#answer"))
    assert (photo["x"], photo["y"]) == (before["x"], before["y"])
    assert heat["y"] == photo["y"] and heat["width"] == pytest.approx(photo["width"], abs=2)
    assert photo["y"] + photo["height"] < answer["y"] < photo["y"] + photo["height"] + 100
    expect(page.locator(".sv-verdict")).to_be_in_viewport(ratio=1)


def test_on_a_phone_the_answer_comes_into_view(open_page: Open, dermatoscopic: Path) -> None:
    page = open_page(**PHONE)
    expect(page.get_by_text("Take a photo")).to_be_visible()
    expect(page.locator(".sv-privacy")).to_contain_text("never leaves this device")
    ask(page, dermatoscopic)
    expect(page.locator(".sv-verdict")).to_be_in_viewport(ratio=1)
    photo, heat = page.locator("#shown").bounding_box(), page.locator(".sv-heat").bounding_box()
    assert photo and heat and photo["width"] == pytest.approx(heat["width"], abs=3)
