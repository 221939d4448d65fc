"""The demo from outside: the app in a process of its own, and the programs that ask it."""

import asyncio
import base64
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import mcp
import numpy as np
import pytest
from benchmarks import RunningApp, bad_uploads, running_app
from calling import environment, python
from drawing import draw_lesion
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from mcp.client.streamable_http import streamable_http_client
from PIL import Image

from skinvision_hf.demo import LARGEST_SIDE, MAX_BYTES
from skinvision_hf.labels import CODES, DISCLAIMER
from skinvision_hf.vision import SkinVision

pytestmark = pytest.mark.slow

SPACE = Path(__file__).resolve().parents[1] / "space"
META = {"meta": {"_type": "gradio.FileData"}}


@pytest.fixture(scope="module")
def client(app: RunningApp, tmp_path_factory: pytest.TempPathFactory) -> Client:
    return Client(app.url, verbose=False, download_files=tmp_path_factory.mktemp("answers"))


def call(app: RunningApp, endpoint: str, data: list[Any]) -> tuple[int, str]:
    """Ask an endpoint without a client's help; returns the status and what came of it."""
    answer = httpx.post(f"{app.url}gradio_api/call/{endpoint}", json={"data": data}, trust_env=False)
    if not answer.is_success:
        return answer.status_code, answer.text
    event = answer.json()["event_id"]
    return 200, httpx.get(f"{app.url}gradio_api/call/{endpoint}/{event}", trust_env=False, timeout=60).text


def test_the_api_answers_what_the_package_answers(
    client: Client, served: SkinVision, lesion: Path, tmp_path: Path
) -> None:
    offered = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    names = {name: [p["parameter_name"] for p in entry["parameters"]] for name, entry in offered.items()}
    assert names == {"/predict": ["image", "insist"], "/explain": ["image", "target", "insist"]}
    [target] = [p for p in offered["/explain"]["parameters"] if p["parameter_name"] == "target"]
    assert all(code in str(target["type"]) for code in CODES)
    answer = client.predict(image=handle_file(lesion), api_name="/predict")
    expected = served.predict(lesion)
    assert list(answer["probabilities"]) == list(CODES)
    assert answer["probabilities"] == pytest.approx(expected.probabilities, abs=1e-5)
    assert {"label", "suspicious", "operating_point", "in_distribution"} <= set(answer)
    assert answer["disclaimer"] == DISCLAIMER
    for target in ("", " MEL "):
        answer, picture = client.predict(image=handle_file(lesion), target=target, api_name="/explain")
        explained = served.explain(lesion, target=target.strip().lower() or None)
        assert answer["target"] == explained.target
        overlay = np.asarray(Image.open(picture).convert("RGB"), dtype=int)
        assert np.abs(overlay - np.asarray(explained.overlay(0.6), dtype=int)).max() <= 2
    draw_lesion(3, (320, 240)).resize((4000, 3000)).save(tmp_path / "photograph.jpg")
    photograph = handle_file(tmp_path / "photograph.jpg")
    answer, picture = client.predict(image=photograph, insist=True, api_name="/explain")
    expected = served.predict(tmp_path / "photograph.jpg")
    assert answer["probabilities"] == pytest.approx(expected.probabilities, abs=1e-5)
    assert Image.open(picture).size == (LARGEST_SIDE, LARGEST_SIDE * 3 // 4), "as large as a screen shows"


def test_bad_files_and_requests_get_friendly_words_and_harm_nobody(
    client: Client, app: RunningApp, lesion: Path, tmp_path: Path
) -> None:
    before = client.predict(handle_file(lesion), api_name="/predict")
    for path in bad_uploads(tmp_path):
        with pytest.raises(AppError) as caught:
            client.predict(handle_file(path), api_name="/predict")
        message = str(caught.value)
        assert message.startswith("Your image ") and path.name not in message and "/" not in message, message
    with pytest.raises(ValueError, match="exceeds the maximum file size"):
        (tmp_path / "large.png").write_bytes(b"0" * (MAX_BYTES + 9))
        client.predict(handle_file(tmp_path / "large.png"), api_name="/predict")
    large = {"files": b"0" * (MAX_BYTES + 9)}
    assert httpx.post(f"{app.url}gradio_api/upload", files=large, trust_env=False).status_code == 413
    with pytest.raises(AppError, match="'cold'"):
        client.predict(handle_file(lesion), "cold", api_name="/explain")
    with pytest.raises(AppError, match="no image yet"):
        client.predict(None, api_name="/predict")
    here = f"{app.url}gradio_api/info"
    addresses = [
        {"url": here},
        {"path": here} | META,
        {"url": "http://localhost:9/x.png"},
        {"url": "file:///etc/hosts"},
    ]
    files = [{"path": str(lesion)} | META, {"path": "/nowhere"}, {"url": "data:image/png;base64,?"}]
    for data in ([], *([image] for image in (*addresses, *files, "x", 17, [1, 2]))):
        status, text = call(app, "predict", data)
        assert status == 200 and "not have the form that the page expects" in text, (data, text)
    assert call(app, "nothing", [])[0] == 404
    unknown = {"data": [], "fn_index": 1000, "session_hash": "x"}
    answer = httpx.post(f"{app.url}gradio_api/queue/join", json=unknown, trust_env=False)
    assert answer.status_code == 404 and "no such endpoint" in answer.text
    passing_by = httpx.post(f"{app.url}gradio_api/run/predict", json={"data": [None]}, trust_env=False)
    assert passing_by.status_code == 404 and "join the queue" in passing_by.text
    assert client.predict(handle_file(lesion), api_name="/predict") == before
    log = app.log.read_text()
    assert "Traceback" not in log and str(tmp_path) not in log and "lesion" not in log


SETTINGS_SCRIPT = """
import sys
sys.path.insert(0, {folder!r})
import app
app.DELETE_CACHE = (1, 15)
raise SystemExit(app.run_command(app.serve))
"""


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_uploads_are_deleted_after_their_time_and_when_the_app_is_stopped(
    served: SkinVision, lesion: Path, tmp_path: Path
) -> None:
    script, uploads = tmp_path / "changed.py", tmp_path / "uploads"
    uploads.mkdir()
    script.write_text(SETTINGS_SCRIPT.format(folder=str(SPACE)))
    with running_app(script, {"MODEL_ID": str(served.release), "GRADIO_TEMP_DIR": str(uploads)}) as page:
        client = Client(page.url, verbose=False, download_files=False)
        client.predict(image=handle_file(lesion), insist=True, api_name="/explain")
        assert lesion.name in files_in(uploads)
        deadline = time.monotonic() + 60
        while lesion.name in files_in(uploads):
            assert time.monotonic() < deadline, "the upload is still there"
            time.sleep(0.2)
        client.predict(image=handle_file(lesion), api_name="/predict")
        page.process.terminate()
        assert page.process.wait(60) == 0
        assert files_in(uploads) == [] and not list(uploads.glob("skinvision-*"))
        assert "Traceback" not in page.log.read_text()


def test_visitors_at_the_same_time_get_their_own_answers_and_whole_heat_maps(
    app: RunningApp, served: SkinVision, tmp_path: Path
) -> None:
    paths = [tmp_path / f"{seed}.png" for seed in (0, 1, 2, 0)]
    for path in paths:
        draw_lesion(int(path.stem)).save(path)

    def visit(number: int) -> list[tuple[dict[str, float], bytes]]:
        visitor = Client(app.url, verbose=False, download_files=tmp_path / f"answers{number}")
        answers = [visitor.predict(handle_file(paths[number]), insist=True, api_name="/explain") for _ in range(3)]
        return [(answer["probabilities"], Image.open(picture).tobytes()) for answer, picture in answers]

    with ThreadPoolExecutor(len(paths)) as pool:
        visits = list(pool.map(visit, range(len(paths))))
    for path, answers in zip(paths, visits, strict=True):
        expected = served.predict(path).probabilities
        assert all(probabilities == pytest.approx(expected, abs=1e-5) for probabilities, _ in answers)
    assert len({picture for _, picture in visits[0] + visits[3]}) == 1, "of one image, also at the same time"


def test_agents_find_the_endpoints_as_tools_and_see_the_heat_map(app: RunningApp, lesion: Path) -> None:
    uri = "data:image/png;base64," + base64.b64encode(lesion.read_bytes()).decode()

    async def talk() -> tuple[dict[str, str], Any]:
        async with (
            streamable_http_client(f"{app.url}gradio_api/mcp/") as (read, write, *_),
            mcp.ClientSession(read, write) as session,
        ):
            await session.initialize()
            tools = {tool.name: tool.description for tool in (await session.list_tools()).tools}
            name = next(name for name in tools if name.endswith("explain"))
            return tools, await session.call_tool(name, {"image": uri, "target": "mel", "insist": True})

    tools, answer = asyncio.run(talk())
    assert len(tools) == 2 and all("dermatoscopic image" in text for text in tools.values())
    assert not answer.isError and DISCLAIMER in answer.content[0].text
    pictures = [part for part in answer.content if part.type == "image"]
    assert len(pictures) == 1 and base64.b64decode(pictures[0].data)[1:4] in (b"PNG", b"IFF")


def test_an_address_that_cannot_be_had_stops_the_app_with_one_line(served: SkinVision) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = str(busy.getsockname()[1])
        place = {"GRADIO_SERVER_PORT": port, "GRADIO_NUM_PORTS": "1"}
        ended = python(SPACE / "app.py", env=environment() | {"MODEL_ID": str(served.release), **place})
    assert ended.returncode == 2 and "Traceback" not in ended.stderr
    assert f"error: the page cannot be opened (Cannot find empty port in range: {port}-{port}); " in ended.stderr


@pytest.mark.parametrize(("option", "code", "text"), [("--help", 0, "MODEL_REVISION"), ("--what", 2, "unrecognized")])
def test_options_are_answered_without_opening_the_page(option: str, code: int, text: str) -> None:
    ended = python(SPACE / "app.py", option)
    assert ended.returncode == code and text in ended.stdout + ended.stderr
    assert "Running on" not in ended.stdout


def test_no_answer_to_a_removed_image_is_shown_and_the_last_diagnosis_asked_for_is_explained(app: RunningApp) -> None:
    parts = httpx.get(f"{app.url}config", trust_env=False).json()
    ids = {part["props"].get("elem_id"): part["id"] for part in parts["components"]}
    events = {(place, event): made for made in parts["dependencies"] for place, event in made["targets"]}
    assert events[ids["target"], "input"]["trigger_mode"] == "always_last"
    answering = {events[ids["photo"], "change"]["id"], events[ids["anyway"], "click"]["id"]}
    clearing = [made["cancels"] for made in parts["dependencies"] if [ids["photo"], "clear"] in made["targets"]]
    assert answering in [set(cancels) for cancels in clearing]


def test_a_model_that_is_not_there_stops_the_app_with_one_line() -> None:
    ended = python(SPACE / "app.py", env={"MODEL_ID": "/nowhere", "PATH": "", "HF_HUB_OFFLINE": "1"})
    assert ended.returncode == 2 and ended.stderr.count("\n") == 1
    assert ended.stderr.startswith("error: ") and "/nowhere" in ended.stderr
