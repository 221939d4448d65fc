"""A small Hub server over HTTP for tests: repositories on disk, atomic commits, tags, LFS on a second origin, faults.

The API answers on `http://127.0.0.1:PORT`; large files live on `http://localhost:PORT`, which every HTTP client takes
for another origin, as the Hub's storage is. A test runs the server in a thread, gives the real client
`environment(...)` in a subprocess, and reads `server.requests` afterwards.
"""

import base64
import hashlib
import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

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
TOKENS: dict[str, dict[str, Any]] = {
    TOKEN: {"name": "ann", "role": "write", "orgs": ["clinic"]},
    "hf_readsecret": {"name": "ann", "role": "read"},
}
LFS_SUFFIXES = (".safetensors", ".onnx", ".wasm", ".parquet", ".png", ".jpg")


class Refusal(Exception):
    """An error answer of the Hub."""

    def __init__(self, status: int, code: str, message: str = "") -> None:
        self.response = JSONResponse(
            {"error": message or code}, status, {"X-Error-Code": code, "X-Error-Message": message or code}
        )


def commit_at(repository: dict[str, Any], revision: str) -> dict[str, Any]:
    oid = repository["refs"].get(revision) or repository["tags"].get(revision) or revision
    if oid not in repository["commits"]:
        raise Refusal(404, "RevisionNotFound", f"Invalid rev id: {revision}")
    return {"oid": oid, **repository["commits"][oid]}


def git_oid(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def add_commit(repository: dict[str, Any], title: str, files: dict[str, Any]) -> str:
    parent = repository["refs"].get("main")
    date = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    body = {"parent": parent, "title": title, "date": date, "files": files}
    oid = hashlib.sha1(json.dumps(body).encode()).hexdigest()
    repository["commits"][oid] = body
    repository["refs"]["main"] = oid
    return oid


def tree_item(path: str, entry: dict[str, Any]) -> dict[str, Any]:
    item = {"type": "file", "path": path, "oid": entry["oid"], "size": entry["size"]}
    if entry["lfs"]:
        item["lfs"] = {"oid": entry["lfs"], "size": entry["size"], "pointerSize": 133}
    return item


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


def build_app(server: HubServer) -> Starlette:
    """The routes of the Hub's protocol, as huggingface_hub 2 speaks it."""

    def user(request: Request) -> dict[str, Any] | None:
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if given and given not in server.tokens:
            raise Refusal(401, "", "Invalid user token.")
        return server.tokens.get(given)

    def may_write(who: dict[str, Any] | None, namespace: str) -> bool:
        return bool(who) and who["role"] == "write" and namespace in (who["name"], *who.get("orgs", []))

    def repo_of(request: Request, *, write: bool = False) -> tuple[str, str, dict[str, Any]]:
        kind = request.path_params.get("kind", "models").removesuffix("s")
        namespace, repo_id = request.path_params["user"], "{user}/{name}".format(**request.path_params)
        who, repository = user(request), server.repository(kind, repo_id)
        if repository["private"] and not (who and namespace in (who["name"], *who.get("orgs", []))):
            raise Refusal(401, "RepoNotFound", "Repository not found")
        if write and not may_write(who, namespace):
            raise Refusal(403, "", f"You don't have the rights to write to {repo_id}")
        return kind, repo_id, repository

    async def create(request: Request) -> Response:
        body, who = await request.json(), user(request)
        kind, namespace = body.get("type") or "model", body.get("organization") or (who or {}).get("name", "")
        repo_id = f"{namespace}/{body['name']}"
        if not may_write(who, namespace):
            raise Refusal(403, "", f"You don't have the rights to create a {kind} under the namespace {namespace}")
        url = f"{server.url}/{'' if kind == 'model' else kind + 's/'}{repo_id}"
        if server.file_of(kind, repo_id).is_file():
            return JSONResponse({"error": "You already created this repo", "url": url}, 409)
        private = body.get("private") or body.get("visibility") == "private"
        repository = {"private": bool(private), "refs": {}, "tags": {}, "commits": {}, "variables": {}}
        attributes = "".join(f"*{suffix} filter=lfs\n" for suffix in LFS_SUFFIXES).encode()
        repository |= {"sdk": body.get("sdk"), "hardware": body.get("hardware")}
        repository["variables"] = {item["key"]: {"value": item["value"]} for item in body.get("variables", [])}
        server.store(git_oid(attributes), attributes)
        entry = {"oid": git_oid(attributes), "size": len(attributes), "lfs": None}
        add_commit(repository, "initial commit", {".gitattributes": entry})
        server.save(kind, repo_id, repository)
        return JSONResponse({"url": url})

    async def validate_yaml(request: Request) -> Response:
        splits = (await request.json())["content"].split("---\n")
        try:
            yaml.safe_load(splits[1] if len(splits) > 2 else "{}")
        except yaml.YAMLError as error:
            return JSONResponse({"errors": [{"message": str(error)}], "warnings": []}, 400)
        return JSONResponse({"errors": [], "warnings": []})

    async def info(request: Request) -> Response:
        kind, repo_id, repository = repo_of(request)
        commit = commit_at(repository, request.path_params.get("revision", "main"))
        card = commit["files"].get("README.md")
        splits = server.content(card).decode().split("---\n") if card else []
        data = yaml.safe_load(splits[1]) if len(splits) > 2 else {}
        answer = {"id": repo_id, "sha": commit["oid"], "private": repository["private"], "cardData": data, "tags": []}
        answer |= {"siblings": [{"rfilename": path} for path in commit["files"]], "lastModified": commit["date"]}
        if kind == "model":
            answer |= {key: data[key] for key in ("pipeline_tag", "library_name") if key in data}
        return JSONResponse(answer)

    async def tree(request: Request) -> Response:
        commit = commit_at(repo_of(request)[2], request.path_params["revision"])
        folder = request.path_params.get("path", "")
        prefix = f"{folder}/" if folder else ""
        inside = {path: entry for path, entry in commit["files"].items() if path.startswith(prefix)}
        if folder and not inside:
            raise Refusal(404, "EntryNotFound", f"{folder} does not exist on {commit['oid']}")
        deep = request.query_params.get("recursive", "").lower() in ("true", "1")
        children = {p: e for p, e in inside.items() if deep or "/" not in p.removeprefix(prefix)}
        folders = {prefix + p.removeprefix(prefix).split("/")[0] for p in inside.keys() - children.keys()}
        items = [
            {"type": "directory", "path": path, "oid": git_oid(path.encode()), "size": 0} for path in sorted(folders)
        ]
        return JSONResponse(items + [tree_item(path, entry) for path, entry in sorted(children.items())])

    async def preupload(request: Request) -> Response:
        files = commit_at(repo_of(request, write=True)[2], request.path_params["revision"])["files"]
        answer = []
        for item in (await request.json())["files"]:
            mode = "lfs" if item["path"].endswith(LFS_SUFFIXES) else "regular"
            old = files.get(item["path"])
            oid = (old["lfs"] or old["oid"]) if old else None
            answer.append({"path": item["path"], "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        return JSONResponse({"files": answer})

    async def lfs_batch(request: Request) -> Response:
        repo_of(request, write=True)
        answer = []
        for item in (await request.json())["objects"]:
            upload = {"href": f"{server.storage_url}/lfs/{item['oid']}"}
            known = (server.root / "blobs" / item["oid"]).is_file()
            answer.append(item | ({} if known else {"actions": {"upload": upload}}))
        return JSONResponse({"transfer": "basic", "objects": answer})

    async def lfs_put(request: Request) -> Response:
        content = await request.body()
        if hashlib.sha256(content).hexdigest() != request.path_params["oid"]:
            raise Refusal(400, "", "content does not match its name")
        server.store(request.path_params["oid"], content)
        return Response()

    async def lfs_get(request: Request) -> Response:
        return Response((server.root / "blobs" / request.path_params["oid"]).read_bytes())

    async def commit(request: Request) -> Response:
        lines = [json.loads(line) for line in (await request.body()).splitlines()]
        kind, repo_id, repository = repo_of(request, write=True)
        head = commit_at(repository, request.path_params["revision"])
        files, header = dict(head["files"]), lines[0]["value"]
        if header.get("parentCommit", head["oid"]) != head["oid"]:
            raise Refusal(412, "", "A commit has happened since. Please refresh and try again.")
        for line in lines[1:]:
            value = line["value"]
            if line["key"] == "file":
                content = base64.b64decode(value["content"])
                server.store(git_oid(content), content)
                files[value["path"]] = {"oid": git_oid(content), "size": len(content), "lfs": None}
            elif line["key"] == "lfsFile":
                if not (server.root / "blobs" / value["oid"]).is_file():
                    raise Refusal(400, "", f"LFS object {value['oid']} is missing")
                pointer = git_oid(value["oid"].encode())
                files[value["path"]] = {"oid": pointer, "size": value["size"], "lfs": value["oid"]}
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        oid = add_commit(repository, header["summary"], files)
        server.save(kind, repo_id, repository)
        return JSONResponse({"commitUrl": f"{server.url}/{repo_id}/commit/{oid}", "commitOid": oid})

    async def squash(request: Request) -> Response:
        kind, repo_id, repository = repo_of(request, write=True)
        files = commit_at(repository, repository["refs"].pop("main"))["files"]
        repository["commits"] = {}
        add_commit(repository, "squashed", files)
        server.save(kind, repo_id, repository)
        return JSONResponse({})

    async def tag(request: Request) -> Response:
        kind, repo_id, repository = repo_of(request, write=True)
        name = (await request.json())["tag"]
        if name in repository["tags"]:
            return JSONResponse({"error": f"Tag {name} exists"}, 409)
        repository["tags"][name] = commit_at(repository, request.path_params["revision"])["oid"]
        server.save(kind, repo_id, repository)
        return JSONResponse({})

    async def variables(request: Request) -> Response:
        request.path_params["kind"] = "spaces"
        kind, repo_id, repository = repo_of(request, write=True)
        if request.method == "POST":
            body = await request.json()
            repository["variables"][body["key"]] = {"value": body["value"]}
            server.save(kind, repo_id, repository)
        return JSONResponse(repository["variables"])

    async def hardware(request: Request) -> Response:
        request.path_params["kind"] = "spaces"
        kind, repo_id, repository = repo_of(request, write=True)
        repository["hardware"] = (await request.json())["flavor"]
        server.save(kind, repo_id, repository)
        return JSONResponse({"stage": "BUILDING", "hardware": {"requested": repository["hardware"]}})

    async def resolve(request: Request) -> Response:
        commit = commit_at(repo_of(request)[2], request.path_params["revision"])
        headers = {"X-Repo-Commit": commit["oid"]}
        entry = commit["files"].get(request.path_params["path"])
        if entry is None:
            return Response(status_code=404, headers=headers | {"X-Error-Code": "EntryNotFound"})
        if entry["lfs"]:
            headers |= {"X-Linked-Size": str(entry["size"]), "X-Linked-ETag": f'"{entry["lfs"]}"'}
            return RedirectResponse(f"{server.storage_url}/lfs/{entry['lfs']}", 302, headers)
        return Response(server.content(entry), headers=headers | {"ETag": f'"{entry["oid"]}"'})

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
