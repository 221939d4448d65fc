"""What is in a repository now, asked before anything is prepared for it, and whether it is one of ours."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from huggingface_hub import HfApi, constants
from huggingface_hub.errors import RepositoryNotFoundError
from huggingface_hub.hf_api import RepoFile

from skinvision_hf.card import Links
from skinvision_hf.errors import HubError
from skinvision_hf.hub.failures import hub_errors
from skinvision_hf.models.release import CARD_FILE, CONFIG_FILE, SilentBar, is_release_config

__all__ = ["MARKER", "Kind", "Repository", "look_up", "url_of"]

Kind = Literal["model", "dataset", "space"]
MARKER = "skinvision"
"""Tag in the metadata of each data set and Space that this package publishes."""
# What the Hub itself puts into a new repository.
EMPTY = (".gitattributes", CARD_FILE)


@dataclass(frozen=True)
class Repository:
    """The state of a repository.

    Attributes:
        repo_id: Its name.
        kind: What kind of repository it is.
        head: The newest commit; None when there is no such repository.
        private: Whether it is hidden from others.
        files: Files by path.
        tags: Commits by tag.
        branches: Names of its branches.
        variables: Variables of a Space by name.
        card: The text of its README.md; empty without one.
        metadata: The metadata of its card.
        ours: Whether this package published it, or it is empty.
    """

    repo_id: str
    kind: Kind
    head: str | None = None
    private: bool = False
    files: Mapping[str, RepoFile] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    branches: frozenset[str] = frozenset({"main"})
    variables: Mapping[str, str] = field(default_factory=dict)
    card: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    ours: bool = True

    def keep_links(self, links: Links) -> Links:
        """Take the links that are not given from the card that is there, so that a new one does not lose them."""
        datasets = self.metadata.get("datasets") if self.kind == "space" else None
        present = {
            "model_id": self._link(""),
            "dataset_id": datasets[0] if datasets else self._link("datasets/"),
            "space_id": self._link("spaces/"),
        }
        return replace(links, **{name: value for name, value in present.items() if getattr(links, name) is None})

    def _link(self, prefix: str) -> str | None:
        """The first repository of a kind that the card links to by its own name."""
        found = re.search(rf"\[([\w.-]+/[\w.-]+)\]\({re.escape(constants.ENDPOINT)}/{prefix}\1\)", self.card)
        return found[1] if found else None


def look_up(
    api: HfApi, repo_id: str, kind: Kind, *, private: bool = False, tag: str | None = None, overwrite: bool = False
) -> Repository:
    """Look at a repository that something is to be published in.

    Args:
        api: The Hub's client.
        repo_id: The repository, which may not exist yet.
        kind: What kind of repository it is.
        private: Whether it is to be hidden from others.
        tag: Tag that the result shall bear.
        overwrite: Accept a repository that holds something else.

    Raises:
        HubError: If it holds something else or is public, the tag is taken, or the Hub cannot be asked.
    """
    with hub_errors(repo_id):
        there = _state(api, repo_id, kind)
    if not there.ours and not overwrite:
        raise HubError(
            f"the {kind} {repo_id} exists and holds something else; choose another --repo_id, or add --overwrite to "
            "publish over it"
        )
    if private and there.head and not there.private:
        raise HubError(
            f"the {kind} {repo_id} exists and is public; make it private at {url_of(repo_id, kind)}/settings, or leave "
            "--private out"
        )
    if private and not there.head:
        there = replace(there, private=True)
    if tag in there.branches:
        raise HubError(f"{tag} is a branch of {repo_id}; choose another --tag")
    if tag and there.tags.get(tag, there.head) != there.head:
        raise HubError(f"the tag {tag} of {repo_id} is already on another state; choose another --tag")
    return there


def url_of(repo_id: str, kind: Kind) -> str:
    """The address of a repository for a browser."""
    return f"{constants.ENDPOINT}/{constants.REPO_TYPES_URL_PREFIXES.get(kind, '')}{repo_id}"


def _state(api: HfApi, repo_id: str, kind: Kind) -> Repository:
    try:
        info = api.repo_info(repo_id, repo_type=kind)
    except RepositoryNotFoundError:
        return Repository(repo_id, kind)
    tree = api.list_repo_tree(repo_id, recursive=True, revision=info.sha, repo_type=kind)
    refs = api.list_repo_refs(repo_id, repo_type=kind)
    there = Repository(
        repo_id,
        kind,
        head=info.sha,
        private=bool(info.private),
        files={item.path: item for item in tree if isinstance(item, RepoFile)},
        tags={ref.name: ref.target_commit for ref in refs.tags},
        branches=frozenset({"main", *(ref.name for ref in refs.branches)}),
        variables={key: v.value for key, v in api.get_space_variables(repo_id).items()} if kind == "space" else {},
        metadata=info.card_data.to_dict() if info.card_data else {},
    )
    there = replace(there, card=_read(api, there, CARD_FILE))
    return replace(there, ours=_is_ours(api, there))


def _is_ours(api: HfApi, there: Repository) -> bool:
    """By what it says of itself: a model by its diagnoses, data sets and Spaces by their tag."""
    if not any(path not in EMPTY for path in there.files):
        return True
    if there.kind != "model":
        return MARKER in (there.metadata.get("tags") or [])
    try:
        return is_release_config(json.loads(_read(api, there, CONFIG_FILE)))
    except ValueError:
        return False


def _read(api: HfApi, there: Repository, name: str) -> str:
    """A small text file of a repository; empty when it has none. Nothing is kept in the cache."""
    if name not in there.files:
        return ""
    with TemporaryDirectory() as folder:
        path = api.hf_hub_download(
            there.repo_id, name, repo_type=there.kind, revision=there.head, cache_dir=folder, tqdm_class=SilentBar
        )
        return Path(path).read_text(encoding="utf-8", errors="replace")
