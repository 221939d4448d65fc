"""What would change in a repository: compared file by file before anything is sent."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

from huggingface_hub.hf_api import RepoFile

from skinvision_hf.errors import HubError
from skinvision_hf.files import sha256
from skinvision_hf.hub.repositories import Kind, Repository

__all__ = ["Change", "Plan", "make_plan"]


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
        private: Whether the repository is, or will be, hidden from others.
        variables: Variables of a Space to set before the commit, by name; only those that differ.
        notes: What is left to do by hand.
    """

    repo_id: str
    kind: Kind
    head: str | None
    changes: tuple[Change, ...]
    unchanged: int
    tag: str | None = None
    tag_exists: bool = False
    private: bool = False
    variables: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        visibility = "private" if self.private else "public"
        where = f" ({visibility})" if self.head else f", a new {visibility} repository"
        lines = [f"To {self.kind} {self.repo_id}{where}:"]
        lines += [f"  {change.action:<6} {change.path} ({_bytes(change.size)})" for change in self.changes]
        lines.append(f"  {self.unchanged} files are there already" if self.changes else "  no file has changed")
        lines += [f"  variable {name} = {value}" for name, value in self.variables.items()]
        if self.tag and not self.tag_exists:
            lines.append(f"  tag {self.tag}")
        return "\n".join([*lines, *(f"  note: {note}" for note in self.notes)])


def make_plan(
    there: Repository,
    folder: Path,
    *,
    owned: Sequence[str],
    tag: str | None = None,
    variables: Mapping[str, str] | None = None,
    notes: Sequence[str] = (),
) -> Plan:
    """Compare a folder with a repository.

    Args:
        there: The repository, from `look_up`.
        folder: What it should hold.
        owned: Patterns of files that are deleted from the repository when the folder has them no longer; each star
            stays within one folder.
        tag: Tag that the result should bear.
        variables: Variables of a Space that it should have.
        notes: What is left to do by hand.

    Raises:
        HubError: If the tag is on another state.
    """
    local = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    changes = [
        Change("change" if name in there.files else "add", name, path.stat().st_size)
        for name, path in local.items()
        if name not in there.files or not _is_same(there.files[name], path)
    ]
    unchanged = len(local) - len(changes)
    gone = [name for name in there.files if name not in local and any(_matches(name, pattern) for pattern in owned)]
    changes += [Change("delete", name, 0) for name in gone]
    if tag in there.tags and changes:
        raise HubError(f"the tag {tag} of {there.repo_id} is already on another state; choose another --tag")
    return Plan(
        repo_id=there.repo_id,
        kind=there.kind,
        head=there.head,
        changes=tuple(changes),
        unchanged=unchanged,
        tag=tag,
        tag_exists=tag in there.tags,
        private=there.private,
        variables={name: value for name, value in (variables or {}).items() if there.variables.get(name) != value},
        notes=tuple(notes),
    )


def _matches(path: str, pattern: str) -> bool:
    """Match folder by folder, so that `figures/*` is nothing deeper."""
    splits, patterns = path.split("/"), pattern.split("/")
    return len(splits) == len(patterns) and all(map(fnmatchcase, splits, patterns))


def _is_same(there: RepoFile, path: Path) -> bool:
    if there.size != path.stat().st_size:
        return False
    if there.lfs:
        return there.lfs.sha256 == sha256(path)
    # Git's own name of a file's content, which is no matter of security.
    digest = hashlib.sha1(b"blob %d\0" % there.size, usedforsecurity=False)
    digest.update(path.read_bytes())
    return there.blob_id == digest.hexdigest()


def _bytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.1f} kB"
