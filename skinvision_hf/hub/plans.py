"""What would change in a repository: compared file by file before anything is sent, then sent as one commit."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Literal

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, constants
from huggingface_hub.errors import RepositoryNotFoundError
from huggingface_hub.hf_api import RepoFile

from skinvision_hf.errors import HubError
from skinvision_hf.hub.failures import hub_errors

__all__ = ["Change", "Kind", "Plan", "Published", "make_plan", "send_plan"]

Kind = Literal["model", "dataset", "space"]
MAIN = "main"


@dataclass(frozen=True)
class Change:
    """One file of a commit.

    Attributes:
        action: `add`, `change` or `delete`.
        path: Path in the repository.
        size: Bytes to send; 0 for `delete`.
    """

    action: Literal["add", "change", "delete"]
    path: str
    size: int


@dataclass(frozen=True)
class Plan:
    """What one commit would do.

    Attributes:
        repo_id: The repository.
        kind: What kind of repository it is.
        head: Commit that the plan starts from; None when the repository is new.
        changes: Files to send or delete; empty when there is nothing to do.
        unchanged: Number of files that are there already.
        tag: Tag to set; None for none.
        tag_exists: Whether the tag is already on this very state.
    """

    repo_id: str
    kind: Kind
    head: str | None
    changes: tuple[Change, ...]
    unchanged: int
    tag: str | None = None
    tag_exists: bool = False

    def __str__(self) -> str:
        where = f"{self.kind} {self.repo_id}" + ("" if self.head else ", a new repository")
        lines = [f"To {where}:"]
        lines += [f"  {change.action:<6} {change.path} ({_bytes(change.size)})" for change in self.changes]
        lines.append(f"  {self.unchanged} files are there already" if self.changes else "  nothing has changed")
        if self.tag and not self.tag_exists:
            lines.append(f"  tag {self.tag}")
        return "\n".join(lines)


@dataclass(frozen=True)
class Published:
    """What was published.

    Attributes:
        plan: What was planned.
        url: Address of the repository.
        commit: The commit that holds the content; None after a dry run.
        changed: Whether a commit was made.
    """

    plan: Plan
    url: str
    commit: str | None
    changed: bool

    def __str__(self) -> str:
        if self.commit is None:
            return f"Dry run: nothing was sent to {self.url}"
        return f"{'Published' if self.changed else 'Unchanged'}: {self.url} (commit {self.commit[:12]})"


def make_plan(
    api: HfApi, repo_id: str, kind: Kind, folder: Path, *, owned: Sequence[str], marker: str, tag: str | None = None
) -> Plan:
    """Compare a folder with a repository.

    Args:
        api: The Hub's client.
        repo_id: The repository, which may not exist yet.
        kind: What kind of repository it is.
        folder: What it should hold.
        owned: Patterns of files that are deleted from the repository when the folder has them no longer.
        marker: A pattern that some file of every repository of this kind matches; a repository that holds other files
            and not this one was made for something else, and is left alone.
        tag: Tag that the result should bear.

    Raises:
        HubError: If the name is taken, the tag is on another state, or the Hub cannot be asked.
    """
    with hub_errors(repo_id):
        head, there, tags = _state(api, repo_id, kind)
    content = {path for path in there if path not in (".gitattributes", "README.md")}
    if content and not any(fnmatch(path, marker) for path in content):
        raise HubError(f"the {kind} {repo_id} exists and holds something else; choose another --repo_id")
    local = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    changes = [
        Change("change" if name in there else "add", name, path.stat().st_size)
        for name, path in local.items()
        if name not in there or not _is_same(there[name], path)
    ]
    unchanged = len(local) - len(changes)
    gone = [name for name in there if name not in local and any(fnmatch(name, pattern) for pattern in owned)]
    changes += [Change("delete", name, 0) for name in gone]
    if tag in tags and (changes or tags[tag] != head):
        raise HubError(f"the tag {tag} of {repo_id} is already on another state; choose another --tag")
    return Plan(repo_id, kind, head, tuple(changes), unchanged, tag, tag_exists=tag in tags)


def send_plan(
    api: HfApi, plan: Plan, folder: Path, *, message: str, private: bool = False, sdk: str | None = None
) -> Published:
    """Carry out a plan: at most one commit, which replaces the old state as a whole or not at all, then the tag.

    Args:
        api: The Hub's client.
        plan: From `make_plan` for the same folder.
        folder: What the repository should hold.
        message: First line of the commit.
        private: Whether a new repository is hidden from others.
        sdk: SDK of a new Space.

    Raises:
        HubError: If the Hub refuses, or the repository was changed since the plan was made.
    """
    head = plan.head
    with hub_errors(plan.repo_id):
        if head is None:
            api.create_repo(plan.repo_id, repo_type=plan.kind, private=private, space_sdk=sdk, exist_ok=True)
        if plan.changes:
            head = api.create_commit(
                plan.repo_id,
                [_operation(change, folder) for change in plan.changes],
                commit_message=message,
                repo_type=plan.kind,
                parent_commit=plan.head,
            ).oid
        if plan.tag and not plan.tag_exists:
            api.create_tag(plan.repo_id, tag=plan.tag, revision=head, repo_type=plan.kind)
    return Published(plan, url_of(plan.repo_id, plan.kind), head, changed=bool(plan.changes))


def url_of(repo_id: str, kind: Kind) -> str:
    """The address of a repository for a browser."""
    return f"{constants.ENDPOINT}/{constants.REPO_TYPES_URL_PREFIXES.get(kind, '')}{repo_id}"


def _state(api: HfApi, repo_id: str, kind: Kind) -> tuple[str | None, dict[str, RepoFile], dict[str, str]]:
    """Head, files by path and commits by tag; all empty for a repository that does not exist."""
    try:
        head = api.repo_info(repo_id, repo_type=kind).sha
    except RepositoryNotFoundError:
        return None, {}, {}
    tree = api.list_repo_tree(repo_id, recursive=True, revision=head, repo_type=kind)
    files = {item.path: item for item in tree if isinstance(item, RepoFile)}
    tags = {ref.name: ref.target_commit for ref in api.list_repo_refs(repo_id, repo_type=kind).tags}
    return head, files, tags


def _is_same(there: RepoFile, path: Path) -> bool:
    if there.size != path.stat().st_size:
        return False
    if there.lfs:
        return there.lfs.sha256 == _digest(hashlib.sha256(), path)
    # Git's own name of a file's content, which is no matter of security.
    return there.blob_id == _digest(hashlib.sha1(b"blob %d\0" % there.size, usedforsecurity=False), path)


def _digest(digest: "hashlib._Hash", path: Path) -> str:
    """Hash a file by parts, since a file of images has half a gigabyte."""
    with path.open("rb") as file:
        while part := file.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()


def _operation(change: Change, folder: Path) -> CommitOperationAdd | CommitOperationDelete:
    if change.action == "delete":
        return CommitOperationDelete(change.path)
    return CommitOperationAdd(change.path, folder / change.path)


def _bytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.1f} kB"
