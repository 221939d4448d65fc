"""A small Hub server over HTTP for tests: repositories, atomic commits, tags, LFS on a second origin, faults.

The API answers on `http://127.0.0.1:PORT`; large files live on `http://localhost:PORT`, which every HTTP client takes
for another origin, as the Hub's storage is. A test runs the server in a thread, gives the real client
`environment(...)` in a subprocess, and reads `server.requests` afterwards.
"""

import base64
import hashlib
import json
import re
import secrets
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import uvicorn
import yaml
from huggingface_hub import constants
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

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


def build_app(server: HubServer) -> Starlette:
    """The routes of the Hub's protocol, as huggingface_hub 2 speaks it."""

    def namespaces(request: Request) -> set[str]:
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if given and given not in server.tokens:
            raise Refusal(401, "", "Invalid user token.")
        return server.tokens.get(given, set())

    def repo_of(request: Request, *, kind: str = "models", write: bool = False) -> Repository:
        kind = request.path_params.get("kind", kind).removesuffix("s")
        repo_id, may_write = "{user}/{name}".format(**request.path_params), namespaces(request)
        repository = server.repository(kind, repo_id)
        if repository.private and request.path_params["user"] not in may_write:
            raise Refusal(401, "RepoNotFound", "Repository not found")
        if write and request.path_params["user"] not in may_write:
            raise Refusal(403, "", f"You don't have the rights to write to {repo_id}")
        return repository

    async def create(request: Request) -> Response:
        body = await request.json()
        kind, namespace = body.get("type") or "model", body["organization"]
        repo_id = f"{namespace}/{body['name']}"
        if namespace not in namespaces(request):
            raise Refusal(403, "", f"You don't have the rights to create a {kind} under the namespace {namespace}")
        url = f"{server.url}/{'' if kind == 'model' else kind + 's/'}{repo_id}"
        if (kind, repo_id) in server.repositories:
            return JSONResponse({"error": "You already created this repo", "url": url}, 409)
        private = bool(body.get("private") or body.get("visibility") == "private")
        variables = {item["key"]: {"value": item["value"]} for item in body.get("variables", [])}
        repository = Repository(private, body.get("sdk"), body.get("hardware"), variables)
        attributes = "".join(f"*{suffix} filter=lfs\n" for suffix in LFS_SUFFIXES).encode()
        repository.commit("initial commit", {".gitattributes": server.store(attributes)})
        server.repositories[kind, repo_id] = repository
        return JSONResponse({"url": url})

    async def validate_yaml(_: Request) -> Response:
        return JSONResponse({"errors": [], "warnings": []})

    async def info(request: Request) -> Response:
        repository = repo_of(request)
        commit = repository.at(request.path_params.get("revision", "main"))
        card = commit.files.get("README.md")
        splits = server.blobs[card.oid].decode().split("---\n") if card else []
        data = yaml.safe_load(splits[1]) if len(splits) > 2 else {}
        answer = {"id": "{user}/{name}".format(**request.path_params), "sha": commit.oid, "cardData": data, "tags": []}
        answer |= {"private": repository.private, "siblings": [{"rfilename": path} for path in commit.files]}
        return JSONResponse(answer | {key: data[key] for key in ("pipeline_tag", "library_name") if key in data})

    async def tree(request: Request) -> Response:
        commit = repo_of(request).at(request.path_params["revision"])
        folder = request.path_params.get("path", "")
        prefix = f"{folder}/" if folder else ""
        inside = {path: entry for path, entry in commit.files.items() if path.startswith(prefix)}
        if folder and not inside:
            raise Refusal(404, "EntryNotFound", f"{folder} does not exist on {commit.oid}")
        deep = request.query_params.get("recursive", "").lower() in ("true", "1")
        items: dict[str, dict[str, Any]] = {}
        for path, entry in inside.items():
            name, slash, _ = path.removeprefix(prefix).partition("/")
            if slash and not deep:
                items[name] = {"type": "directory", "path": prefix + name, "oid": "0" * 40, "size": 0}
            else:
                items[path] = {"type": "file", "path": path, "oid": entry.oid, "size": entry.size}
                if entry.lfs:
                    items[path]["lfs"] = {"oid": entry.oid, "size": entry.size, "pointerSize": 133}
        return JSONResponse(list(items.values()))

    async def preupload(request: Request) -> Response:
        files, answer = repo_of(request, write=True).at(request.path_params["revision"]).files, []
        for item in (await request.json())["files"]:
            mode = "lfs" if item["path"].endswith(LFS_SUFFIXES) else "regular"
            oid = files[item["path"]].oid if item["path"] in files else None
            answer.append({"path": item["path"], "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        return JSONResponse({"files": answer})

    async def lfs_batch(request: Request) -> Response:
        repo_of(request, write=True)
        answer = []
        for item in (await request.json())["objects"]:
            upload = {"href": f"{server.storage_url}/lfs/{item['oid']}"}
            answer.append(item | ({} if item["oid"] in server.blobs else {"actions": {"upload": upload}}))
        return JSONResponse({"transfer": "basic", "objects": answer})

    async def lfs_put(request: Request) -> Response:
        content = await request.body()
        if hashlib.sha256(content).hexdigest() != request.path_params["oid"]:
            raise Refusal(400, "", "content does not match its name")
        server.blobs[request.path_params["oid"]] = content
        return Response()

    async def lfs_get(request: Request) -> Response:
        return Response(server.blobs[request.path_params["oid"]])

    async def commit(request: Request) -> Response:
        lines = [json.loads(line) for line in (await request.body()).splitlines()]
        repository = repo_of(request, write=True)
        head = repository.at(request.path_params["revision"])
        files, header = dict(head.files), lines[0]["value"]
        if header.get("parentCommit", head.oid) != head.oid:
            raise Refusal(412, "", "A commit has happened since. Please refresh and try again.")
        for line in lines[1:]:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = server.store(base64.b64decode(value["content"]))
            elif line["key"] == "lfsFile":
                if value["oid"] not in server.blobs:
                    raise Refusal(400, "", f"LFS object {value['oid']} is missing")
                files[value["path"]] = Entry(value["oid"], value["size"], lfs=True)
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        oid = repository.commit(header["summary"], files)
        url = "{0}/{user}/{name}/commit/{1}".format(server.url, oid, **request.path_params)
        return JSONResponse({"commitUrl": url, "commitOid": oid})

    async def squash(request: Request) -> Response:
        repository = repo_of(request, write=True)
        files = repository.at(repository.refs.pop("main")).files
        repository.commits = {}
        repository.commit("squashed", files)
        return JSONResponse({})

    async def tag(request: Request) -> Response:
        repository, name = repo_of(request, write=True), (await request.json())["tag"]
        if name in repository.tags:
            return JSONResponse({"error": f"Tag {name} exists"}, 409)
        repository.tags[name] = repository.at(request.path_params["revision"]).oid
        return JSONResponse({})

    async def variables(request: Request) -> Response:
        repository = repo_of(request, kind="spaces", write=True)
        if request.method == "POST":
            body = await request.json()
            repository.variables[body["key"]] = {"value": body["value"]}
        return JSONResponse(repository.variables)

    async def hardware(request: Request) -> Response:
        repository = repo_of(request, kind="spaces", write=True)
        repository.hardware = (await request.json())["flavor"]
        return JSONResponse({"stage": "BUILDING", "hardware": {"requested": repository.hardware}})

    async def resolve(request: Request) -> Response:
        commit = repo_of(request).at(request.path_params["revision"])
        headers = {"X-Repo-Commit": commit.oid}
        entry = commit.files.get(request.path_params["path"])
        if entry is None:
            return Response(status_code=404, headers=headers | {"X-Error-Code": "EntryNotFound"})
        if entry.lfs:
            headers |= {"X-Linked-Size": str(entry.size), "X-Linked-ETag": f'"{entry.oid}"'}
            return RedirectResponse(f"{server.storage_url}/lfs/{entry.oid}", 302, headers)
        return Response(server.blobs[entry.oid], headers=headers | {"ETag": f'"{entry.oid}"'})

    async def refuse(_: Request, refusal: Exception) -> Response:
        assert isinstance(refusal, Refusal)
        return refusal.response

    api, page = "/api/{kind:str}/{user}/{name}", "/{user}/{name}"
    routes = [
        Route("/api/repos/create", create, methods=["POST"]),
        Route("/api/validate-yaml", validate_yaml, methods=["POST"]),
        Route("/lfs/{oid}", lfs_put, methods=["PUT"]),
        Route("/lfs/{oid}", lfs_get),
        Route("/api/spaces/{user}/{name}/variables", variables, methods=["GET", "POST"]),
        Route("/api/spaces/{user}/{name}/hardware", hardware, methods=["POST"]),
        Route(api, info),
        Route(f"{api}/revision/{{revision}}", info),
        Route(f"{api}/tree/{{revision}}", tree),
        Route(f"{api}/tree/{{revision}}/{{path:path}}", tree),
        Route(f"{api}/preupload/{{revision}}", preupload, methods=["POST"]),
        Route(f"{api}/commit/{{revision}}", commit, methods=["POST"]),
        Route(f"{api}/super-squash/{{revision}}", squash, methods=["POST"]),
        Route(f"{api}/tag/{{revision}}", tag, methods=["POST"]),
        Route("/{kind}/{user}/{name}.git/info/lfs/objects/batch", lfs_batch, methods=["POST"]),
        Route(f"{page}.git/info/lfs/objects/batch", lfs_batch, methods=["POST"]),
        Route(f"{page}/resolve/{{revision}}/{{path:path}}", resolve),
        Route(f"/{{kind}}{page}/resolve/{{revision}}/{{path:path}}", resolve),
    ]
    pages_may_ask = Middleware(CORSMiddleware, allow_origins=["*"])
    return Starlette(routes=routes, middleware=[pages_may_ask], exception_handlers={Refusal: refuse})
