"""How an image reaches the demo: as a file, inside the request, or from a web address."""

import asyncio
import base64
import contextlib
import gzip
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import repeat
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote

import gradio as gr
import httpx
import pytest

from skinvision_hf.demo import MAX_BYTES, Page, Photo, read_upload
from skinvision_hf.errors import ImageError


def test_an_upload_is_read_and_a_bad_one_is_refused_without_naming_a_path(photo: str, tmp_path: Path) -> None:
    content = Path(photo).read_bytes()
    (tmp_path / "large.png").write_bytes(content + b"0" * MAX_BYTES)
    assert read_upload(photo).size == read_upload(content).size == (200, 150)
    for upload, reason in (
        (b"no image", "cannot be read as an image"),
        (content + b"0" * MAX_BYTES, "more than 10 MB"),
        (str(tmp_path / "large.png"), "more than 10 MB"),
        (str(tmp_path / "gone.png"), "was deleted"),
    ):
        with pytest.raises(ImageError, match=reason) as caught:
            read_upload(upload)
        assert str(caught.value).startswith("your image ") and str(tmp_path) not in str(caught.value)
    with pytest.raises(ImageError, match="no image yet"):
        read_upload(None)


def test_an_image_in_a_request_is_a_file_its_content_or_refused(photo: str) -> None:
    def payload(path: str | None = None, url: str | None = None) -> SimpleNamespace:
        return SimpleNamespace(path=path, url=url)

    part, content = Photo(), Path(photo).read_bytes()
    assert part.preprocess(None) is None
    assert part.preprocess(payload(path=photo, url="/gradio_api/file=x")) == photo
    encoded = base64.b64encode(content).decode()
    for data in (
        f"data:image/png;base64,{encoded}",
        f"data:;base64,{base64.encodebytes(content).decode()}",  # with line breaks
        f" DATA:image/png;name=a;BASE64,{encoded.rstrip('=')}",
        f"data:image/png;base64,{quote(encoded, safe='')}",
        f"data:image/png,{quote(content)}",
    ):
        assert part.preprocess(payload(url=data)) == content
    for address in ("data:image/png;base64,***", "ftp://somewhere/x.png", None):
        with pytest.raises(ValueError, match=r"data: URL"):
            part.preprocess(payload(url=address))
    for address in ("http://127.0.0.1:9/x.png", "http://localhost/x.png", "http://169.254.169.254/latest"):
        with pytest.raises(ValueError, match="failed validation"):
            part.preprocess(payload(url=address))


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch, photo: str) -> Iterator[tuple[str, list[int]]]:
    """The address of a web server that has a public name, and the bytes that it got rid of."""
    import safehttpx

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, parts = {
                "/lesion.png": (200, {}, [Path(photo).read_bytes()]),
                "/moved/a.png": (302, {"Location": "../lesion.png"}, []),
                "/inside": (302, {"Location": f"http://127.0.0.1:{server.server_port}/lesion.png"}, []),
                "/circle": (302, {"Location": "/circle"}, []),
                "/announced": (200, {"Content-Length": str(MAX_BYTES + 1)}, [bytes(MAX_BYTES + 1)]),
                "/endless": (200, {}, repeat(bytes(2**20))),
                "/packed": (200, {"Content-Encoding": "gzip"}, [gzip.compress(bytes(2 * MAX_BYTES))]),
            }.get(self.path, (404, {}, []))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            with contextlib.suppress(OSError):  # the reader has gone
                for part in parts:
                    self.wfile.write(part)
                    sent.append(len(part))

        def log_message(self, *_: object) -> None:
            pass

    sent: list[int] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    check = safehttpx.async_validate_url

    async def validate(host: str) -> str:
        return "127.0.0.1" if host == "public.example" else await check(host)

    async def resolve(host: str) -> list[str]:
        return []

    monkeypatch.setattr(safehttpx, "async_validate_url", validate)
    monkeypatch.setattr(safehttpx, "async_resolve_hostname_google", resolve)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://public.example:{server.server_port}", sent
    server.shutdown()
    server.server_close()


def test_the_download_of_a_web_address_ends_at_the_limit_of_uploads(web: tuple[str, list[int]], photo: str) -> None:
    address, sent = web
    part = Photo()

    def fetch(path: str) -> str | bytes | None:
        sent.clear()
        return part.preprocess(SimpleNamespace(path=None, url=address + path))

    for path in ("/lesion.png", "/moved/a.png"):
        assert fetch(path) == Path(photo).read_bytes()
    with pytest.raises(ImageError, match="your image has more than 10 MB"):
        fetch("/announced")
    assert not sent, "refused by its length alone"
    with pytest.raises(ImageError, match="your image has more than 10 MB"):
        fetch("/endless")
    assert sum(sent) < 3 * MAX_BYTES, "what lies in buffers"
    assert len(fetch("/packed") or b"") < MAX_BYTES, "it is not unpacked"
    for path, reason in (("/inside", "failed validation"), ("/circle", "redirects"), ("/gone", "404")):
        with pytest.raises((ValueError, httpx.HTTPError), match=reason):
            fetch(path)


def test_a_request_with_an_address_gets_its_image_or_the_reason(web: tuple[str, list[int]], photo: str) -> None:
    address, content = web[0], Path(photo).read_bytes()
    inside = f"data:image/png;base64,{base64.b64encode(content).decode()}"
    with Page() as page:
        part = Photo()
        gr.Button().click(lambda image: image, part, gr.JSON())

    def ask(image: dict[str, object]) -> object:
        return asyncio.run(page.preprocess_data(page.fns[0], [image], None))

    for form in ({"path": address, "meta": {"_type": "gradio.FileData"}}, {"url": address}):
        [place, *_] = form
        assert ask(form | {place: f"{address}/lesion.png"}) == ask(form | {"url": inside, "path": None}) == [content]
        for path, reason in (("/announced", "Your image has more than 10 MB"), ("/inside", "page expects")):
            with pytest.raises(gr.Error, match=reason):
                ask(form | {place: address + path})
    assert not list(Path(part.GRADIO_CACHE).rglob("lesion.png"))
