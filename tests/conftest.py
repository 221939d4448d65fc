"""Fixtures that several test files share: the real data where it is, and small images drawn in code."""

import os
from pathlib import Path

import pytest

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
