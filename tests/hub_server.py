"""A small Hub server over HTTP for tests: repositories on disk, atomic commits, tags, LFS on a second origin, faults.

The API answers on `http://127.0.0.1:PORT`; large files live on `http://localhost:PORT`, which every HTTP client takes
for another origin, as the Hub's storage is. A test runs the server in a thread, gives the real client
`environment(...)` in a subprocess, and reads `server.requests` afterwards.
"""

import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from hub_protocol import Refusal, add_commit, build_app, commit_at, git_oid
from huggingface_hub import constants
from starlette.responses import JSONResponse
from starlette.types import Message, Receive, Scope, Send

REPO = "ann/skinvision-b0"
TOKEN = "hf_writesecret0123456789"
TOKENS: dict[str, dict[str, Any]] = {
    TOKEN: {"name": "ann", "role": "write", "orgs": ["clinic"]},
    "hf_readsecret": {"name": "ann", "role": "read"},
}


@dataclass
class Fault:
    """What goes wrong at the first `times` requests whose method and path match.

    Kinds: `error` answers with `status`, `cut` drops the connection in the middle of the body, `stale` lets another
    commit come first, `lost` does the work and drops the connection before the answer.
    """

    method: str
    path: str
    kind: str
    times: int = 1
    status: int = 500
    seen: int = 0

    def strikes(self, method: str, path: str) -> bool:
        if method != self.method or not re.search(self.path, path):
            return False
        self.seen += 1
        return self.seen <= self.times


@dataclass(frozen=True)
class Seen:
    """A request as it came in."""

    method: str
    host: str
    path: str
    headers: dict[str, str]


@dataclass
class HubServer:
    """The server's state; everything that outlives a request is on disk under `root`."""

    root: Path
    tokens: dict[str, dict[str, Any]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    requests: list[Seen] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def storage_url(self) -> str:
        return f"http://localhost:{self.port}"

    def environment(self, home: Path, token: str | None = None) -> dict[str, str]:
        """What a client's process needs to speak to this server, with a cache of its own."""
        variables = {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(home),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_UPDATE_CHECK": "1",
            "HF_HUB_OFFLINE": "0",
            "OMP_NUM_THREADS": "1",
        }
        return variables | ({"HF_TOKEN": token} if token else {})

    def speak_here(self, monkeypatch: pytest.MonkeyPatch, token: str | None = None) -> None:
        """Let the client of this very process speak to the server, which is quicker than another process."""
        template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, self.url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "ENDPOINT", self.url)
        monkeypatch.setattr("huggingface_hub.hf_api.api.endpoint", self.url)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(self.root / "no-login"))
        monkeypatch.delenv("HF_TOKEN", raising=False)
        if token:
            monkeypatch.setenv("HF_TOKEN", token)

    def file_of(self, kind: str, repo_id: str) -> Path:
        return self.root / f"{kind}s" / f"{repo_id}.json"

    def repository(self, kind: str, repo_id: str) -> dict[str, Any]:
        if not self.file_of(kind, repo_id).is_file():
            raise Refusal(404, "RepoNotFound", "Repository not found")
        return json.loads(self.file_of(kind, repo_id).read_text())

    def save(self, kind: str, repo_id: str, repository: dict[str, Any]) -> None:
        path = self.file_of(kind, repo_id)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(repository))
        temporary.replace(path)

    def files(self, kind: str, repo_id: str, revision: str = "main") -> dict[str, bytes]:
        """The content of a revision, as a test wants to see it."""
        entries = commit_at(self.repository(kind, repo_id), revision)["files"]
        return {path: self.content(entry) for path, entry in entries.items()}

    def history(self, kind: str, repo_id: str) -> list[str]:
        """Titles of the commits on main, the newest first."""
        repository = self.repository(kind, repo_id)
        titles, oid = [], repository["refs"]["main"]
        while oid:
            titles.append(repository["commits"][oid]["title"])
            oid = repository["commits"][oid]["parent"]
        return titles

    def interfere(self, path: str) -> None:
        """Commit a file as someone else would, to the repository that a request is about."""
        kind, user, name = path.removeprefix("/api/").split("/")[:3]
        repository = self.repository(kind.removesuffix("s"), f"{user}/{name}")
        files = commit_at(repository, "main")["files"]
        self.store(git_oid(b"theirs"), b"theirs")
        files["theirs.txt"] = {"oid": git_oid(b"theirs"), "size": 6, "lfs": None}
        add_commit(repository, "by someone else", files)
        self.save(kind.removesuffix("s"), f"{user}/{name}", repository)

    def sent(self, since: int = 0) -> list[str]:
        """The requests that can change something."""
        return [f"{seen.method} {seen.path}" for seen in self.requests[since:] if seen.method not in ("GET", "HEAD")]

    def content(self, entry: dict[str, Any]) -> bytes:
        return (self.root / "blobs" / (entry["lfs"] or entry["oid"])).read_bytes()

    def store(self, name: str, content: bytes) -> None:
        folder = self.root / "blobs"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)

    @contextmanager
    def running(self) -> Iterator["HubServer"]:
        """Serve on a free port until the block ends."""
        listener = socket.create_server(("127.0.0.1", 0))
        self.port = listener.getsockname()[1]
        server = uvicorn.Server(uvicorn.Config(Gate(self), log_level="critical", lifespan="off"))
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            server.should_exit = server.force_exit = True
            thread.join(timeout=10)
            listener.close()


async def ignore(_: Message) -> None:
    """Take an answer that nobody will hear."""


class Gate:
    """Notes each request and lets the faults strike before the application answers."""

    def __init__(self, server: HubServer) -> None:
        self.server, self.app = server, build_app(server)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {key.decode().lower(): value.decode() for key, value in scope["headers"]}
        path = scope["raw_path"].decode()
        host = headers.get("host", "").partition(":")[0]
        self.server.requests.append(Seen(scope["method"], host, path, headers))
        for fault in [fault for fault in self.server.faults if fault.strikes(scope["method"], path)]:
            if fault.kind == "error":
                await JSONResponse({"error": "out of order"}, fault.status)(scope, receive, send)
                return
            if fault.kind == "lost":
                await self.app(scope, receive, ignore)
            if fault.kind in ("cut", "lost"):
                # An answer that breaks off before its body makes the server drop the connection.
                if fault.kind == "cut":
                    await receive()
                await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]})
                return
            self.server.interfere(path)
        await self.app(scope, receive, send)
