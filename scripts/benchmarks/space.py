"""The demo page under visitors: how long they wait, what it answers to bad files, what it costs in memory."""

import io
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from benchmarks.running_app import running_app
from skinvision_hf.data.synthetic import draw_image
from skinvision_hf.labels import CODES
from skinvision_hf.vision import SkinVision

__all__ = ["SpaceTiming", "Waiting", "bad_uploads", "measure_space"]

ENDPOINTS = ("/predict", "/explain")
WARM_UP = 4
LARGE_REQUESTS = 4


@dataclass(frozen=True)
class Waiting:
    """What visitors wait who ask one after the other, each as soon as the last answer is there.

    Attributes:
        endpoint: `/predict` or `/explain`.
        visitors: How many ask at the same time.
        requests: How many answers were timed.
        p50_ms: Median time from the upload to the answer, in milliseconds.
        p95_ms: Time that 95 % of the answers kept, in milliseconds.
    """

    endpoint: str
    visitors: int
    requests: int
    p50_ms: float
    p95_ms: float


@dataclass(frozen=True)
class SpaceTiming:
    """The running page in numbers.

    Attributes:
        first_answer_seconds: From the start of the process to its first answer.
        waiting: Times by endpoint and number of visitors.
        explain_over_predict: Median of `/explain` over that of `/predict`, for the first number of visitors.
        explain_over_predict_large: The same for one visitor with photographs of 12 and of nearly 50 megapixels.
        uploads: Good and bad files that were sent after that.
        answered_rightly: How many of them got the package's own probabilities, or a bad one its friendly refusal.
        memory_growth_mb: Resident memory after the uploads less that after the first quarter of them; None where the
            system does not tell.
        peak_memory_mb: Largest resident memory of the process in megabytes, or None.
        clean_log: Whether the log holds no traceback.
    """

    first_answer_seconds: float
    waiting: tuple[Waiting, ...]
    explain_over_predict: float
    explain_over_predict_large: float
    uploads: int
    answered_rightly: int
    memory_growth_mb: float | None
    peak_memory_mb: float | None
    clean_log: bool


def measure_space(
    app: Path, model: str | None = None, *, visitors: Sequence[int] = (1, 4, 16), requests: int = 64, uploads: int = 200
) -> SpaceTiming:
    """Start the page and visit it with `gradio_client`, as programs do.

    Args:
        app: The page's `app.py`.
        model: Release folder or Hub id that the page shows; the bundled release by default.
        visitors: Numbers of visitors to measure; the first is compared between the endpoints.
        requests: Timed answers for each number of visitors and endpoint, shared among them.
        uploads: Good and bad files to send afterwards, a third of them bad.
    """
    environment = {"MODEL_ID": model} if model else {}
    vision = SkinVision.from_pretrained(model, runtime="torch", device="cpu")
    with tempfile.TemporaryDirectory() as name, running_app(app, environment) as page:
        folder = Path(name)
        good, large = _good_uploads(folder), _large_uploads(folder)
        ask = _visitor(page.url, folder)
        start = time.perf_counter()
        ask("/predict", good[0])
        first = page.start_seconds + time.perf_counter() - start
        waiting = tuple(
            _measure(page.url, folder, good, endpoint, count, max(requests // count, 1))
            for count in visitors
            for endpoint in ENDPOINTS
        )
        photographs = [_measure(page.url, folder, large, endpoint, 1, LARGE_REQUESTS) for endpoint in ENDPOINTS]
        bad, good = bad_uploads(folder), [*good, *large]
        expected = {path: list(vision.predict(path).probabilities.values()) for path in good}
        right, early = 0, None
        for number in tqdm(range(uploads), desc="uploads", unit="file"):
            path = bad[number // 3 % len(bad)] if number % 3 == 2 else good[number % len(good)]
            right += _answers_rightly(ask, path, expected.get(path))
            if number == uploads // 4:
                early = page.memory_mb()
        late, peak = page.memory_mb(), page.memory_mb("VmHWM")
        clean = "Traceback" not in page.log.read_text(errors="replace")
    return SpaceTiming(
        first_answer_seconds=first,
        waiting=waiting,
        explain_over_predict=waiting[1].p50_ms / waiting[0].p50_ms,
        explain_over_predict_large=photographs[1].p50_ms / photographs[0].p50_ms,
        uploads=uploads,
        answered_rightly=right,
        memory_growth_mb=None if early is None or late is None else late - early,
        peak_memory_mb=peak,
        clean_log=clean,
    )


def bad_uploads(folder: Path) -> list[Path]:
    """Write files that are no usable image, each bad in its own way.

    Args:
        folder: Where they go.

    Returns:
        Their paths: text, nothing, half a JPEG, one pixel, an image of 64 megapixels in a few kilobytes.
    """
    from PIL import Image

    whole = io.BytesIO()
    draw_image("mel", 1)[0].resize((600, 450)).save(whole, "JPEG")
    bomb, dot = io.BytesIO(), io.BytesIO()
    Image.new("1", (8000, 8000)).save(bomb, "PNG")
    Image.new("RGB", (1, 1)).save(dot, "PNG")
    contents = {
        "text.jpg": b"This is no image.",
        "empty.png": b"",
        "half.jpg": whole.getvalue()[: len(whole.getvalue()) // 2],
        "dot.png": dot.getvalue(),
        "bomb.png": bomb.getvalue(),
    }
    paths = [folder / name for name in contents]
    for path, content in zip(paths, contents.values(), strict=True):
        path.write_bytes(content)
    return paths


def _good_uploads(folder: Path) -> list[Path]:
    """Drawn lesions of several sizes, colour modes and file types."""
    forms = (
        ("RGB", "jpg", (600, 450)),
        ("RGBA", "png", (640, 480)),
        ("L", "png", (200, 150)),
        ("RGB", "webp", (900, 1200)),
    )
    paths = []
    for number, code in enumerate(CODES):
        mode, suffix, size = forms[number % len(forms)]
        paths.append(folder / f"{code}.{suffix}")
        draw_image(code, number)[0].resize(size).convert(mode).save(paths[-1])
    return paths


def _large_uploads(folder: Path) -> list[Path]:
    """Photographs as a telephone takes them, and nearly as large as the page accepts."""
    paths = []
    for number, size in enumerate(((4000, 3000), (8100, 6075))):
        paths.append(folder / f"{size[0]}.jpg")
        draw_image(CODES[number], number)[0].resize(size).save(paths[-1], quality=90)
    return paths


def _visitor(url: str, folder: Path) -> Callable[[str, Path], Any]:
    """Someone with a connection of their own, who asks an endpoint about a file and wants an answer in any case."""
    from gradio_client import Client, handle_file

    client = Client(url, verbose=False, download_files=folder, analytics_enabled=False)
    return lambda endpoint, path: client.predict(image=handle_file(path), insist=True, api_name=endpoint)


def _measure(url: str, folder: Path, good: Sequence[Path], endpoint: str, visitors: int, each: int) -> Waiting:
    def visit(ask: Callable[[str, Path], Any]) -> list[float]:
        times = []
        for number in range(each):
            start = time.perf_counter()
            ask(endpoint, good[number % len(good)])
            times.append((time.perf_counter() - start) * 1000)
        return times

    people = [_visitor(url, folder) for _ in range(visitors)]
    for _ in range(WARM_UP):
        people[0](endpoint, good[0])
    with ThreadPoolExecutor(visitors) as pool:
        lists = list(tqdm(pool.map(visit, people), desc=f"{endpoint} x {visitors}", total=visitors, unit="visitor"))
    times = [value for values in lists for value in values]
    return Waiting(endpoint, visitors, len(times), statistics.median(times), float(np.percentile(times, 95)))


def _answers_rightly(ask: Callable[[str, Path], Any], path: Path, expected: list[float] | None) -> bool:
    """Whether a good file gets the package's probabilities, and a bad one an error that speaks to a person."""
    from gradio_client.exceptions import AppError

    try:
        answer = ask("/predict", path)
    except AppError as error:
        return expected is None and "our image" in str(error)
    return expected is not None and bool(
        np.allclose(list(answer["probabilities"].values()), expected, rtol=0, atol=1e-4)
    )
