"""The demo page as a process of its own, the way that a host of Spaces runs it."""

import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from skinvision_hf.errors import RunError

__all__ = ["RunningApp", "running_app"]

START_SECONDS = 180


@dataclass(frozen=True)
class RunningApp:
    """A page that answers.

    Attributes:
        url: Its address on this machine.
        process: Its process.
        log: File with all that it printed.
        start_seconds: Time from the start of the process until the page answered.
    """

    url: str
    process: subprocess.Popen[bytes]
    log: Path
    start_seconds: float

    def memory_mb(self, field: str = "VmRSS") -> float | None:
        """Resident memory in megabytes, now (`VmRSS`) or at its peak (`VmHWM`); None where there is no /proc."""
        status = Path("/proc", str(self.process.pid), "status")
        if not status.is_file():
            return None
        return int(re.findall(rf"^{field}:\s+(\d+) kB", status.read_text(), re.MULTILINE)[0]) / 1000


@contextmanager
def running_app(app: Path, environment: Mapping[str, str] | None = None) -> Iterator[RunningApp]:
    """Start the page on a free port, wait until it answers, and stop it at the end.

    Args:
        app: The page's `app.py`.
        environment: What the process finds in its environment beside what this one has, such as `MODEL_ID`.

    Raises:
        RunError: If the page ends or stays silent for three minutes; quotes the last line that it printed.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}/"
    settings = {"GRADIO_SERVER_PORT": str(port), "GRADIO_ANALYTICS_ENABLED": "False", "PYTHONUNBUFFERED": "1"}
    with tempfile.TemporaryDirectory() as folder, Path(folder, "log.txt").open("wb") as output:
        settings["GRADIO_TEMP_DIR"] = folder
        start = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, str(app)],
            env={**os.environ, **settings, **(environment or {})},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        log = Path(output.name)
        try:
            _wait(process, url, log)
            yield RunningApp(url, process, log, time.perf_counter() - start)
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    with closing(httpx.Client(trust_env=False, timeout=10)) as client:
        while time.monotonic() < deadline and process.poll() is None:
            if _answers(client, url):
                return
            time.sleep(0.1)
    raise RunError(f"the page did not start: {_last_line(log)}")


def _answers(client: httpx.Client, url: str) -> bool:
    try:
        return client.get(url).is_success
    except httpx.TransportError:
        return False


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").split("\n")
    last = next((line for line in reversed(lines) if line.strip()), "it printed nothing")
    return last.removeprefix("error: ")
