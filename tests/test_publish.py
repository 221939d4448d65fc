"""From training to every client, as users run them, against a server over HTTP."""

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from benchmarks import running_app
from calling import ROOT, call, python
from drawing import draw_lesion
from gradio_client import Client, handle_file
from hub_server import TOKEN, HubServer
from tiny_training import TINY, TRAIN

from skinvision_hf.labels import CODES

REPO, DATASET, SPACE = "ann/skinvision-tiny", "ann/ham10000-leak-free", "ann/skinvision"


def run(*command: str | Path, environment: dict[str, str], cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    everything = {key: value for key, value in os.environ.items() if key != "HF_TOKEN"} | environment
    return python(*command, env=everything, cwd=cwd)


@dataclass
class Published:
    """A server to which everything was published, and what the command said."""

    server: HubServer
    release: Path
    output: str
    folder: Path

    def client(self, name: str, **more: str) -> dict[str, str]:
        """The environment of a client with an empty cache and no token."""
        return self.server.environment(self.folder / "homes" / name) | more


@pytest.fixture(scope="module")
def published(tiny_release: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Published]:
    """Train on drawn lesions, from weights that tell them apart, then publish all three with one command."""
    folder = tmp_path_factory.mktemp("published")
    release = folder / "release"
    options = ["--data=synthetic", "--model.image_size=64", "--finetune.epochs=1", "--limit=40"]
    assert call(TRAIN, *TINY, *options, "--model.init", tiny_release, "--output_dir", release) == 0
    with HubServer().running() as server:
        environment = server.environment(folder / "homes" / "publisher", TOKEN)
        options = ["--all", "--release", release, "--dataset", "synthetic", "--repo_id", REPO, "--tag", "v1.0"]
        made = run("scripts/publish.py", *options, "--examples", "3", "--kind", "gradio", environment=environment)
        assert made.returncode == 0, made.stderr
        yield Published(server, release, made.stdout + made.stderr, folder)


pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_the_command_prints_three_addresses(published: Published) -> None:
    url = published.server.url
    for address in (f"{url}/datasets/{DATASET}", f"{url}/{REPO}", f"{url}/spaces/{SPACE}"):
        assert f"Published: {address}" in published.output
    assert TOKEN not in published.output


def snippets(published: Published) -> list[str]:
    card = published.server.files("model", REPO)["README.md"].decode()
    return re.findall(r"```python\n(.*?)```", card, re.DOTALL)


def test_every_client_gives_the_same_probabilities_from_an_empty_cache(published: Published, tmp_path: Path) -> None:
    draw_lesion(3).save(tmp_path / "lesion.jpg", quality=95)
    codes = [*snippets(published), snippets(published)[2].replace(f'"{REPO}"', f'"{published.release}"')]
    assert len(codes) == 5
    answers = []
    for number, code in enumerate(codes):
        client = run("-c", code, environment=published.client(f"client{number}"), cwd=tmp_path)
        assert client.returncode == 0, client.stderr
        by_code = {label: float(value) for label, value in map(str.split, client.stdout.splitlines())}
        answers.append([by_code[code] for code in CODES])
    np.testing.assert_allclose(answers, [answers[-1]] * len(answers), atol=6e-4)
    assert max(answers[-1]) > min(answers[-1]) + 0.05, "an answer that says nothing would be the same everywhere"


def test_the_published_data_set_loads_by_its_name_alone(published: Published, tmp_path: Path) -> None:
    code = (
        "import json, sys\nfrom datasets import load_dataset\nfrom skinvision_hf import load_ham10000\n"
        f'data = load_dataset("{DATASET}")\nours, drawn = load_ham10000("{DATASET}"), load_ham10000("synthetic")\n'
        "assert set(data) == {'train', 'validation', 'test'}\n"
        "for split in data:\n"
        "    assert data[split]['image_id'] == drawn[split]['image_id'] == ours[split]['image_id']\n"
        "    assert data[split]['label'] == drawn[split]['label']\n"
        "    assert 'dx_type' not in data[split].column_names\n"
        "    assert data[split][0]['image'].tobytes() == drawn[split][0]['image'].tobytes()\n"
        "lesions = [set(data[split]['lesion_id']) for split in data]\n"
        "assert not (lesions[0] & lesions[1] or lesions[0] & lesions[2] or lesions[1] & lesions[2])\n"
        "print(data['train'].features['label'].names)"
    )
    client = run("-c", code, environment=published.client("data"), cwd=tmp_path)
    assert client.returncode == 0, client.stderr
    assert client.stdout.strip() == str(list(CODES))


def test_the_command_line_pulls_a_tag_and_then_needs_no_server(published: Published, tmp_path: Path) -> None:
    draw_lesion(5).save(tmp_path / "lesion.png")
    command = ["-m", "skinvision_hf.cli.main", "predict", "--model", REPO, "--revision", "v1.0", "--json"]
    online = run(*command, tmp_path / "lesion.png", environment=published.client("cli"))
    assert online.returncode == 0, online.stderr
    before = len(published.server.requests)
    offline = run(*command, tmp_path / "lesion.png", environment=published.client("cli", HF_HUB_OFFLINE="1"))
    assert offline.stdout == online.stdout
    assert len(published.server.requests) == before


def test_the_space_answers_with_the_published_model(published: Published, tmp_path: Path) -> None:
    variables = published.server.repository("space", SPACE).variables
    assert variables["MODEL_ID"]["value"] == REPO
    assert variables["MODEL_REVISION"]["value"] == "v1.0"
    for name, content in published.server.files("space", SPACE).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    environment = published.client("space") | {key: item["value"] for key, item in variables.items()}
    draw_lesion(3).save(tmp_path / "lesion.jpg", quality=95)
    package = run("-c", snippets(published)[2], environment=published.client("package"), cwd=tmp_path)
    expected = {label: float(value) for label, value in map(str.split, package.stdout.splitlines())}
    with running_app(tmp_path / "app.py", environment) as page:
        client = Client(page.url, verbose=False, download_files=tmp_path / "answers")
        answer = client.predict(image=handle_file(tmp_path / "lesion.jpg"), api_name="/predict")
    assert answer["probabilities"] == pytest.approx(expected, abs=6e-4)
    assert answer["in_distribution"] in (True, False), "the OOD detector came along"
