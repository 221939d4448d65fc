"""Memory between the steps of training."""

import ctypes
import platform
from pathlib import Path
from unittest.mock import Mock

import pytest
from tiny_training import tiny_config

from skinvision_hf import runs
from skinvision_hf.training.allocator import keep_freed_memory
from skinvision_hf.training.trainer import load_splits


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")
def test_glibc_keeps_freed_memory() -> None:
    assert keep_freed_memory()


def test_other_c_libraries_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    assert not keep_freed_memory()


def test_training_on_cpus_asks_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep = Mock()
    monkeypatch.setattr(runs, "keep_freed_memory", keep)
    config = tiny_config(tmp_path, limit=32)
    run = runs.Run.start(config, load_splits(config))
    assert keep.called == (run.accelerator.device.type == "cpu")
