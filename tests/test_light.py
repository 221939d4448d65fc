"""The package without torch: what needs none works, and what needs it says so."""

import importlib
import re
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from calling import ROOT, Captured, python, run
from drawing import draw_lesion

import skinvision_hf
from skinvision_hf.errors import SkinVisionError
from skinvision_hf.labels import CODES
from skinvision_hf.vision import SkinVision

LARGEST_MB = 400
HEAVY = "torch", "torchvision", "timm", "transformers", "datasets", "sklearn", "scipy", "matplotlib"


@pytest.fixture
def light(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in HEAVY:
        monkeypatch.setitem(sys.modules, name, None)
    for name in [name for name in sys.modules if name.startswith("skinvision_hf.models.")]:
        if name.endswith(("modeling", "torch_runtime")):
            monkeypatch.delitem(sys.modules, name)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    draw_lesion(3, (600, 450)).save(tmp_path / "photo.jpg")
    return tmp_path / "photo.jpg"


@pytest.mark.usefixtures("light")
def test_a_release_answers_and_explains(photo: Path) -> None:
    vision = SkinVision.from_pretrained(device="cpu")
    prediction = vision.predict(photo)
    assert sum(prediction.probabilities.values()) == pytest.approx(1)
    assert prediction.suspicious is not None and prediction.prediction_set and prediction.in_distribution is not None
    explanation = vision.explain(photo)
    assert explanation.heatmap.shape == (450, 600) and explanation.heatmap.max() == 1
    assert explanation.prediction == prediction
    assert np.asarray(explanation.overlay()).shape == (450, 600, 3)


@pytest.mark.usefixtures("light")
def test_the_command_classifies_a_folder_and_tests_itself(photo: Path, capsys: Captured) -> None:
    assert run("predict", photo.parent, "--device", "cpu") == 0
    assert "Malignant" in capsys.readouterr().out
    assert run("predict", photo, "--device", "cpu", "--output", photo.with_suffix(".csv")) == 0
    header, row = photo.with_suffix(".csv").read_text().splitlines()
    assert header.startswith("path,label,confidence") and row.split(",")[1] in CODES
    assert run("selftest") == 0
    assert capsys.readouterr().out.count("as expected") == 2


@pytest.mark.usefixtures("light")
@pytest.mark.parametrize(
    ("ask", "extra"),
    [
        (lambda: SkinVision.from_pretrained(runtime="torch"), "torch"),
        (lambda: SkinVision.from_pretrained(device="cuda"), "torch"),
        (lambda: skinvision_hf.SkinVisionForImageClassification, "torch"),
        (lambda: skinvision_hf.load_ham10000("synthetic"), "train"),
        (lambda: importlib.import_module("skinvision_hf.data").load_labelled, "train"),
    ],
    ids=["runtime", "device", "network", "data", "labelled"],
)
def test_what_is_missing_is_named_with_its_extra(
    ask: Callable[[], object], extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("skinvision_hf.data.")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(SkinVisionError, match=rf'this needs \w+: pip install "skinvision-hf\[{extra}\]"'):
        ask()


@pytest.mark.parametrize(
    ("command", "extra"),
    [
        ("prepare --source synthetic --output_dir x", "train"),
        ("evaluate --data synthetic --output_dir x", "train"),
        ("compare a.csv a.csv --output_dir x", "train"),
        ("publish --release . --repo_id a/b", "publish"),
        ("audit a.csv", "audit"),
    ],
)
def test_a_command_names_the_extra_that_is_enough(command: str, extra: str, tmp_path: Path) -> None:
    code = f"import sys; sys.modules.update(dict.fromkeys({HEAVY})); from skinvision_hf.cli.main import main; "
    (tmp_path / "a.csv").touch()
    ended = python("-c", f"{code}sys.exit(main())", *command.split(), cwd=tmp_path)
    assert ended.returncode == 2
    assert re.fullmatch(rf'error: this needs \w+: pip install "skinvision-hf\[{extra}\]"\n', ended.stderr)


def test_a_command_that_predicts_imports_no_heavy_library(photo: Path) -> None:
    code = "import sys; from skinvision_hf.cli.main import main; main(sys.argv[1:]); print(*sys.modules)"
    printed = python("-c", code, "predict", photo, "--device", "cpu", check=True).stdout
    assert not {*HEAVY, "huggingface_hub"} & set(printed.splitlines()[-1].split())


@pytest.mark.slow
def test_an_environment_without_torch_is_small_and_passes_the_tests_that_need_none(tmp_path: Path) -> None:
    builder = venv.EnvBuilder(with_pip=True)
    builder.create(tmp_path)
    python = builder.ensure_directories(tmp_path).env_exe
    subprocess.run([python, "-m", "pip", "install", "-q", str(ROOT)], check=True, timeout=280)
    where = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    packages = Path(subprocess.run(where, check=True, capture_output=True, text=True).stdout.strip())
    installer = ("pip", "setuptools", "pkg_resources")
    size = sum(
        path.stat().st_size
        for path in packages.rglob("*")
        if path.is_file() and path.relative_to(packages).parts[0] not in installer
    )
    assert size < LARGEST_MB * 1e6
    assert not (packages / "torch").exists()
    subprocess.run([python, "-m", "pip", "install", "-q", "pytest", "pytest-timeout"], check=True, timeout=280)
    tests = subprocess.run([python, "-m", "pytest", "-q"], cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert tests.returncode == 0, tests.stdout
    assert "passed" in tests.stdout
