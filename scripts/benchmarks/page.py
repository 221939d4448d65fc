"""How long the visitors of a static Space wait, in a headless Chromium."""

import os
import shutil
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, BrowserType, Page, sync_playwright

from skinvision_hf.data.synthetic import draw_image
from skinvision_hf.errors import RunError
from skinvision_hf.labels import CODES

__all__ = ["PageTiming", "launch_chromium", "measure_page"]

SYSTEM_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MILLISECONDS = 120_000
ANSWER = ".sv-label, #anyway:visible"


@dataclass(frozen=True)
class PageTiming:
    """Seconds from an action of a visitor to the answer on the page, for a drawn image of 600 x 450 pixels.

    Attributes:
        first_visit: From opening the page with empty caches, with the downloads of the page and the model.
        next_visit: From opening it again.
        answer: From choosing another image, the median.
    """

    first_visit: float
    next_visit: float
    answer: float


def launch_chromium(chromium: BrowserType, *arguments: str) -> Browser:
    """Start the system's Chromium, or else Playwright's own.

    Raises:
        RunError: If there is none.
    """
    system = next(filter(None, map(shutil.which, SYSTEM_BROWSERS)), None)
    if system is None and not Path(chromium.executable_path).is_file():
        raise RunError("there is no Chromium on this machine; get one with 'playwright install chromium'")
    sandbox = [] if os.geteuid() else ["--no-sandbox"]
    return chromium.launch(executable_path=system, args=[*sandbox, *arguments])


def measure_page(url: str, *, repeats: int = 20) -> PageTiming:
    """Visit a static Space twice, and ask it about `repeats` images.

    Args:
        url: Its address, such as `https://user-skinvision.static.hf.space`.
        repeats: Timed answers.

    Raises:
        RunError: If there is no Chromium.
    """
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        images = [Path(folder, f"{number}.png") for number in range(repeats)]
        for number, path in enumerate(images):
            draw_image(CODES[number % len(CODES)], number)[0].resize((600, 450)).save(path)
        page = launch_chromium(playwright.chromium).new_page()
        page.set_default_timeout(MILLISECONDS)
        visits = []
        for _ in range(2):
            start = time.perf_counter()
            page.goto(url)
            _ask(page, images[0])
            visits.append(time.perf_counter() - start)
            page.evaluate("navigator.serviceWorker.ready.then(() => true)")
        answers = [_ask(page, path) for path in images]
    return PageTiming(*(round(seconds, 3) for seconds in (*visits, statistics.median(answers))))


def _ask(page: Page, path: Path) -> float:
    """Choose an image and wait for its answer; returns the seconds that it took."""
    start = time.perf_counter()
    page.locator("#file").set_input_files(path)
    page.locator("body.busy").wait_for(state="detached")
    page.locator(ANSWER).first.wait_for()
    return time.perf_counter() - start
