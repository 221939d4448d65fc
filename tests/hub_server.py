"""A small Hub server over HTTP for tests: repositories, atomic commits, tags, LFS on a second origin, faults.

The API answers on `http://127.0.0.1:PORT`; large files live on `http://localhost:PORT`, which every HTTP client takes
for another origin, as the Hub's storage is. A test runs the server in a thread, gives the real client
`environment(...)` in a subprocess, and reads `server.requests` afterwards."""

import hashlib
import re
import secrets
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import pytest
import uvicorn
from huggingface_hub import constants
from starlette.responses import JSONResponse

REPO = "ann/skinvision-b0"
TOKEN = "hf_writesecret0123456789"
# The namespaces whose repositories each token may write to, and whose private ones it may read.
TOKENS = {TOKEN: {"ann", "clinic"}, "hf_readsecret": set()}
LFS_SUFFIXES = (".safetensors", ".onnx", ".wasm", ".parquet", ".png", ".jpg")


class Refusal(Exception):
    """An error answer of the Hub."""

    def __init__(self, status: int, code: str, message: str = "") -> None:
        self.response = JSONResponse(
            {"error": message or code}, status, {"X-Error-Code": code, "X-Error-Message": message or code}
        )


class Entry(NamedTuple):
    """A file of a commit."""

    oid: str
    size: int
    lfs: bool


@dataclass
class Commit:
    oid: str
    parent: str | None
    title: str
    files: dict[str, Entry]


@dataclass
class Repository:
    private: bool
    sdk: str | None
    hardware: str | None
    variables: dict[str, dict[str, str]]
    refs: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    commits: dict[str, Commit] = field(default_factory=dict)

    def at(self, revision: str) -> Commit:
        oid = self.refs.get(revision) or self.tags.get(revision) or revision
        if oid not in self.commits:
            raise Refusal(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return self.commits[oid]

    def commit(self, title: str, files: dict[str, Entry]) -> str:
        commit = Commit(secrets.token_hex(20), self.refs.get("main"), title, files)
        self.commits[commit.oid] = commit
        self.refs["main"] = commit.oid
        return commit.oid


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
    """The server's state."""

    tokens: dict[str, set[str]] = field(default_factory=lambda: TOKENS)
    faults: list[Fault] = field(default_factory=list)
    requests: list[Seen] = field(default_factory=list)
    repositories: dict[tuple[str, str], Repository] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
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
            "HF_HUB_DISABLE_UPDATE_CHECK": "1",
            "HF_HUB_OFFLINE": "0",
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
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", "/no-login")
        monkeypatch.delenv("HF_TOKEN", raising=False)
        if token:
            monkeypatch.setenv("HF_TOKEN", token)

    def repository(self, kind: str, repo_id: str) -> Repository:
        if (kind, repo_id) not in self.repositories:
            raise Refusal(404, "RepoNotFound", "Repository not found")
        return self.repositories[kind, repo_id]

    def files(self, kind: str, repo_id: str, revision: str = "main") -> dict[str, bytes]:
        """The content of a revision, as a test wants to see it."""
        entries = self.repository(kind, repo_id).at(revision).files
        return {path: self.blobs[entry.oid] for path, entry in entries.items()}

    def history(self, kind: str, repo_id: str) -> list[str]:
        """Titles of the commits on main, the newest first."""
        repository = self.repository(kind, repo_id)
        titles, oid = [], repository.refs.get("main")
        while oid:
            titles.append(repository.commits[oid].title)
            oid = repository.commits[oid].parent
        return titles

    def interfere(self, path: str) -> None:
        """Commit a file as someone else would, to the repository that a request is about."""
        kind, user, name = path.removeprefix("/api/").split("/")[:3]
        repository = self.repository(kind.removesuffix("s"), f"{user}/{name}")
        repository.commit("by someone else", repository.at("main").files | {"theirs.txt": self.store(b"theirs")})

    def sent(self, since: int = 0) -> list[str]:
        """The requests that can change something."""
        return [f"{seen.method} {seen.path}" for seen in self.requests[since:] if seen.method not in ("GET", "HEAD")]

    def store(self, content: bytes) -> Entry:
        """Keep a small file under the name that git gives it."""
        oid = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        self.blobs[oid] = content
        return Entry(oid, len(content), lfs=False)

    @contextmanager
    def running(self) -> Iterator["HubServer"]:
        """Serve on a free port until the block ends."""
        from hub_routes import Gate  # which imports this module

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
