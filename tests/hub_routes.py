"""The routes of the tests' Hub: what huggingface_hub 2 asks, and the faults that strike before an answer."""

import base64
import hashlib
import json
from typing import Any

import yaml
from hub_server import LFS_SUFFIXES, Entry, HubServer, Refusal, Repository, Seen
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send


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
