"""The routes of the Hub's protocol, as huggingface_hub 2 speaks it, on a state that `hub_server.HubServer` keeps."""

import base64
import hashlib
import json
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import yaml
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

if TYPE_CHECKING:
    from hub_server import HubServer

LFS_SUFFIXES = (".safetensors", ".parquet", ".png", ".jpg")
POINTER_SIZE = 133


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
        item["lfs"] = {"oid": entry["lfs"], "size": entry["size"], "pointerSize": POINTER_SIZE}
    return item


def build_app(server: "HubServer") -> Starlette:
    """All routes."""

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
        repository["sdk"] = body.get("sdk")
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
        Route(api, info),
        Route(f"{api}/revision/{{revision}}", info),
        Route(f"{api}/tree/{{revision}}", tree),
        Route(f"{api}/tree/{{revision}}/{{path:path}}", tree),
        Route(f"{api}/preupload/{{revision}}", preupload, methods=["POST"]),
        Route(f"{api}/commit/{{revision}}", commit, methods=["POST"]),
        Route(f"{api}/tag/{{revision}}", tag, methods=["POST"]),
        Route("/{kind}/{user}/{name}.git/info/lfs/objects/batch", lfs_batch, methods=["POST"]),
        Route(f"{page}.git/info/lfs/objects/batch", lfs_batch, methods=["POST"]),
        Route(f"{page}/resolve/{{revision}}/{{path:path}}", resolve),
        Route(f"/{{kind}}{page}/resolve/{{revision}}/{{path:path}}", resolve),
    ]
    return Starlette(routes=routes, exception_handlers={Refusal: refuse})
