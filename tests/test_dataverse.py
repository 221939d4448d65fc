"""Downloading from Dataverse: a real HTTP server that speaks its API, cuts connections, and damages files."""

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from skinvision_hf.data import dataverse
from skinvision_hf.data.dataverse import DOI, download_ham10000
from skinvision_hf.errors import DataError

IMAGES = bytes(range(256)) * 20_000  # some chunks
UPLOADED = b"lesion_id,image_id,dx\nL1,I1,nv\n"
CONTENTS = {
    "HAM10000_images_part_1.zip": IMAGES,
    "HAM10000_images_part_2.zip": IMAGES[::-1],
    "HAM10000_metadata.tab": UPLOADED,
    "HAM10000_segmentations_lesion_tschandl.zip": b"masks",
    "ISIC2018_Task3_Test_Images.zip": b"other",
}


class Dataverse(ThreadingHTTPServer):
    """The two calls of the API, with faults to switch on."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.cuts = 0  # answers that break off in the middle
        self.ranges = True  # whether a download can go on in the middle
        self.contents = dict(CONTENTS)
        self.statuses: dict[str, int] = {}
        self.sent: Counter[str] = Counter()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def listing(self) -> dict:
        files = []
        for number, (name, content) in enumerate(CONTENTS.items()):
            entry = {"id": number, "filename": name, "md5": hashlib.md5(content).hexdigest(), "filesize": len(content)}
            if name.endswith(".tab"):
                size = {"originalFileName": "HAM10000_metadata.csv", "originalFileSize": len(content), "filesize": 999}
                entry |= size | {"originalFileFormat": "text/csv"}
            files.append({"dataFile": entry})
        return {"status": "OK", "data": {"latestVersion": {"files": files}}}


class Handler(BaseHTTPRequestHandler):
    server: Dataverse

    def log_message(self, *_: object) -> None:
        """Keep the test's output clean."""

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        query = parse_qs(address.query)
        if address.path == "/api/datasets/:persistentId/" and query == {"persistentId": [DOI]}:
            return self.answer(self.server.statuses.get("listing", 200), json.dumps(self.server.listing()).encode())
        name = list(CONTENTS)[int(address.path.rpartition("/")[2])]
        content = self.server.contents[name]
        if name.endswith(".tab") and query.get("format") != ["original"]:
            content = b"what Dataverse made of the table"
        start = 0
        if (header := self.headers.get("Range")) and self.server.ranges:
            start = int(header.removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                return self.answer(416, b"")
        return self.answer(self.server.statuses.get(name, 206 if start else 200), content[start:], name)

    def answer(self, status: int, content: bytes, name: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.server.cuts and len(content) > 1000:
            self.server.cuts -= 1
            content = content[: len(content) // 2]
        self.server.sent[name] += len(content)
        self.wfile.write(content)


@pytest.fixture
def server() -> Iterator[Dataverse]:
    with Dataverse() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_the_official_files_arrive_whole_and_once_and_masks_when_asked_for(server: Dataverse, tmp_path: Path) -> None:
    folder = download_ham10000(tmp_path / "new" / "folder", server=server.url)
    names = {"HAM10000_images_part_1.zip", "HAM10000_images_part_2.zip", "HAM10000_metadata.csv"}
    assert {path.name for path in folder.iterdir()} == names
    assert (folder / "HAM10000_images_part_1.zip").read_bytes() == IMAGES
    assert (folder / "HAM10000_metadata.csv").read_bytes() == UPLOADED
    server.sent.clear()
    assert (download_ham10000(folder, masks=True, server=server.url) / list(CONTENTS)[3]).read_bytes() == b"masks"
    assert set(server.sent) == {"", list(CONTENTS)[3]}


@pytest.mark.parametrize("ranges", [True, False])
def test_a_connection_that_breaks_goes_on_where_it_stopped_if_the_server_can(
    server: Dataverse, tmp_path: Path, ranges: bool
) -> None:
    server.cuts, server.ranges = 1, ranges
    download_ham10000(tmp_path, server=server.url)
    assert (tmp_path / "HAM10000_images_part_1.zip").read_bytes() == IMAGES
    sent_once = server.sent["HAM10000_images_part_1.zip"] == len(IMAGES)
    assert server.cuts == 0 and sent_once == ranges


def test_a_download_that_gave_up_goes_on_in_the_next_run(server: Dataverse, tmp_path: Path) -> None:
    server.cuts = dataverse.ATTEMPTS
    with pytest.raises(DataError, match=r"the download of HAM10000_images_part_1\.zip was interrupted .* run the same"):
        download_ham10000(tmp_path, server=server.url)
    assert [path.name for path in tmp_path.iterdir()] == ["HAM10000_images_part_1.zip.part"]
    download_ham10000(tmp_path, server=server.url)
    assert (tmp_path / "HAM10000_images_part_1.zip").read_bytes() == IMAGES
    assert server.sent["HAM10000_images_part_1.zip"] == len(IMAGES)


def test_a_damaged_file_is_refused_and_the_next_run_downloads_it_again(server: Dataverse, tmp_path: Path) -> None:
    server.contents["HAM10000_images_part_2.zip"] = IMAGES
    with pytest.raises(DataError, match=r"HAM10000_images_part_2\.zip arrived damaged"):
        download_ham10000(tmp_path, server=server.url)
    assert {path.name for path in tmp_path.iterdir()} == {"HAM10000_images_part_1.zip"}
    server.contents = dict(CONTENTS)
    (tmp_path / "HAM10000_images_part_2.zip.part").write_bytes(IMAGES + b"more than there is")
    with pytest.raises(DataError, match="arrived damaged"):
        download_ham10000(tmp_path, server=server.url)
    download_ham10000(tmp_path, server=server.url)
    assert (tmp_path / "HAM10000_images_part_2.zip").read_bytes() == IMAGES[::-1]


def refused(server: Dataverse, folder: Path) -> str:
    with pytest.raises(DataError) as caught:
        download_ham10000(folder, server=server.url)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_refusals_and_strange_answers_are_told_in_one_line(
    server: Dataverse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.statuses["HAM10000_images_part_1.zip"] = 503
    assert "cannot download HAM10000_images_part_1.zip (status 503)" in refused(server, tmp_path)
    server.statuses["listing"] = 503
    assert "cannot get the files of HAM10000 from 127.0.0.1 (status 503)" in refused(server, tmp_path)
    server.statuses.clear()
    (tmp_path / "file").write_text("in the way")
    assert "choose another folder" in refused(server, tmp_path / "file")
    monkeypatch.setattr(server, "listing", lambda: {"data": {"latestVersion": {"files": []}}})
    assert "lists no images or no metadata" in refused(server, tmp_path)
    monkeypatch.setattr(server, "listing", lambda: {"status": "ERROR"})
    assert "in an unknown form; download doi" in refused(server, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
