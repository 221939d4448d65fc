"""One atomic commit for each repository, then its tag."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, RepoCard, constants, get_token
from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError
from huggingface_hub.utils import filter_repo_objects

from skinvision_hf._version import __version__
from skinvision_hf.card import Links
from skinvision_hf.errors import HubError
from skinvision_hf.files import atomic_write
from skinvision_hf.hub.failures import NO_TOKEN, hub_errors
from skinvision_hf.models.release import CARD_FILE

Kind = Literal["model", "dataset", "space"]
MARKER = "skinvision"
"""Tag in the metadata of each repository that this package publishes."""
REVISION = "MODEL_REVISION"
"""Variable of a Space: the commit or tag of the model that it shows."""
# What the Hub itself puts into a new repository.
EMPTY = {".gitattributes", CARD_FILE}


@dataclass(frozen=True)
class PublishOptions:
    """How to publish.

    Attributes:
        private: Hide a new repository from others; an existing one must be private already.
        tag: Tag for the commit of the model and the data set, such as `v1.0`; a tag never moves.
        token: Token with write access; that of HF_TOKEN or of the login when None.
        overwrite: Publish over a repository that holds something else; its files of other names stay.
        dry_run: Check everything on this machine, but ask the Hub for nothing; no token is needed.
    """

    private: bool = False
    tag: str | None = None
    token: str | None = None
    overwrite: bool = False
    dry_run: bool = False


@dataclass(frozen=True)
class Shipment:
    """A folder that is checked and ready to be sent.

    Attributes:
        owned: Patterns of files that are deleted from the repository when the folder lacks them.
        links: What the card links to.
        write_card: Writes the card again, with the links that the published one has already.
        revision: Of the model that a Space shows; "" becomes the tag or commit of the model sent before it.
        pin: Writes that revision into the files of a Space, and returns the Space's variables.
    """

    kind: Kind
    repo_id: str
    folder: Path
    message: str
    owned: Sequence[str]
    links: Links
    write_card: Callable[[Links], object]
    revision: str = ""
    pin: Callable[[str], Mapping[str, str]] = lambda _: {}
    sdk: str | None = None
    hardware: str | None = None
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """The repository's address."""
        return f"{constants.ENDPOINT}/{constants.REPO_TYPES_URL_PREFIXES.get(self.kind, '')}{self.repo_id}"

    @property
    def files(self) -> dict[str, Path]:
        """The files by their paths in the repository."""
        return files_below(self.folder)


@dataclass(frozen=True)
class Published:
    """What was published, or would be: the size of each file by its path, and the commit, which a dry run lacks."""

    kind: Kind
    url: str
    files: Mapping[str, int]
    commit: str | None = None
    changed: bool = False

    def __str__(self) -> str:
        if self.commit:
            return f"{'Published' if self.changed else 'Unchanged'}: {self.url} (commit {self.commit[:12]})"
        listed = [f"  {name} ({size / 1e3:,.1f} kB)" for name, size in self.files.items()]
        return "\n".join([f"Dry run, nothing was sent. The {self.kind} {self.url} would hold:", *listed])


class Head(NamedTuple):
    """What a repository holds before a publish: its newest commit, its files, and the commit of the tag asked for."""

    commit: str | None = None
    files: Sequence[str] = ()
    tagged: str | None = None


def files_below(folder: Path) -> dict[str, Path]:
    """The files of a folder by their paths in a repository, sorted."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path for path in paths}


def make_api(token: str | None) -> HfApi:
    """The Hub's client."""
    return HfApi(token=token, library_name="skinvision_hf", library_version=__version__)


def mark(folder: Path, text: str, **metadata: Any) -> None:
    """Write a card with the tag by which the next publish knows its own, and more metadata."""
    card = RepoCard(text)
    card.data["tags"] = [*dict.fromkeys([*(card.data.get("tags") or []), MARKER])]
    for name, value in metadata.items():
        card.data[name] = value
    atomic_write(folder / CARD_FILE, str(card))


def send_all(shipments: Sequence[Shipment], options: PublishOptions) -> list[Published]:
    """Look at all repositories, then publish one after the other.

    Raises:
        HubError: If there is no token, a repository holds something else, or the Hub refuses.
    """
    if options.dry_run:
        return [_result(shipment) for shipment in shipments]
    if not (options.token or get_token()):
        raise HubError(f"there is no token; {NO_TOKEN}")
    api = make_api(options.token)
    heads = []
    for shipment in shipments:
        with hub_errors(shipment.repo_id):
            heads.append(_look_up(api, shipment, options))
    done: dict[Kind, Published] = {}
    for shipment, head in zip(shipments, heads, strict=True):
        if shipment.kind == "space":
            revision = shipment.revision or options.tag or str(done["model"].commit)
            shipment = replace(shipment, variables=shipment.pin(revision))
        with hub_errors(shipment.repo_id):
            done[shipment.kind] = _send(api, shipment, head, options)
    return list(done.values())


def _look_up(api: HfApi, shipment: Shipment, options: PublishOptions) -> Head:
    """What is there now. The new card keeps the links of the published one."""
    repo_id, kind = shipment.repo_id, shipment.kind
    try:
        info = api.repo_info(repo_id, repo_type=kind)
    except RepositoryNotFoundError:
        return Head()
    names = [sibling.rfilename for sibling in info.siblings or ()]
    metadata = info.card_data.to_dict() if info.card_data else {}
    if set(names) - EMPTY and MARKER not in (metadata.get("tags") or []) and not options.overwrite:
        raise HubError(f"the {kind} {repo_id} holds something else; choose another --repo_id, or add --overwrite")
    if options.private and not info.private:
        raise HubError(f"the {kind} {repo_id} is public; make it private at {shipment.url}/settings first")
    tagged = _tagged(api, shipment, options.tag)
    if tagged and tagged != info.sha:
        raise HubError(f"the tag {options.tag} of {repo_id} is on an earlier commit; choose another --tag")
    if CARD_FILE in names:
        card = Path(api.hf_hub_download(repo_id, CARD_FILE, repo_type=kind, revision=info.sha))
        text = card.read_text(encoding="utf-8", errors="replace")
        shipment.write_card(_keep_links(shipment.links, text, metadata.get("datasets") if kind == "space" else None))
    return Head(info.sha, names, tagged)


def _tagged(api: HfApi, shipment: Shipment, tag: str | None) -> str | None:
    """The commit that a tag is on; a Space has no tags."""
    if tag is None or shipment.kind == "space":
        return None
    try:
        return api.repo_info(shipment.repo_id, repo_type=shipment.kind, revision=tag).sha
    except RevisionNotFoundError:
        return None


def _keep_links(given: Links, text: str, datasets: Sequence[str] | None) -> Links:
    """Take the links that are not given from the published card."""

    def linked(prefix: str) -> str | None:
        address = re.escape(f"{constants.ENDPOINT}/{prefix}")
        found = re.search(rf"\[([\w.-]+/[\w.-]+)\]\({address}\1\)", text)
        return found[1] if found else None

    return Links(
        model_id=given.model_id or linked(""),
        dataset_id=given.dataset_id or (datasets[0] if datasets else linked("datasets/")),
        space_id=given.space_id or linked("spaces/"),
    )


def _send(api: HfApi, shipment: Shipment, head: Head, options: PublishOptions) -> Published:
    repo_id, kind, files = shipment.repo_id, shipment.kind, shipment.files
    # Variables come before the files, so that new files never run with those of another model.
    if head.commit is None:
        variables = [{"key": name, "value": value} for name, value in shipment.variables.items()]
        api.create_repo(
            repo_id,
            repo_type=kind,
            private=options.private,
            space_sdk=shipment.sdk,
            space_hardware=shipment.hardware,
            space_variables=variables or None,
        )
    elif kind == "space":
        if shipment.hardware:
            api.request_space_hardware(repo_id, shipment.hardware)
        present = {name: variable.value for name, variable in api.get_space_variables(repo_id).items()}
        for name, value in shipment.variables.items():
            if present.get(name) != value:
                api.add_space_variable(repo_id, name, value)
    gone = [name for name in filter_repo_objects(head.files, allow_patterns=list(shipment.owned)) if name not in files]
    # `upload_folder` would do this, but with Xet it splits slow uploads into several commits.
    commit = api.create_commit(
        repo_id,
        [CommitOperationDelete(name) for name in gone] + [CommitOperationAdd(*item) for item in files.items()],
        commit_message=shipment.message,
        repo_type=kind,
        parent_commit=head.commit,
    ).oid
    if head.tagged and head.tagged != commit:
        raise HubError(
            f"{repo_id} has the new commit {commit[:12]}, but the tag {options.tag} is on an earlier one; publish "
            "again with another --tag"
        )
    if options.tag and kind != "space" and not head.tagged:
        api.create_tag(repo_id, tag=options.tag, revision=commit, repo_type=kind)
    return _result(shipment, commit, changed=commit != head.commit)


def _result(shipment: Shipment, commit: str | None = None, *, changed: bool = False) -> Published:
    sizes = {name: path.stat().st_size for name, path in shipment.files.items()}
    return Published(shipment.kind, shipment.url, sizes, commit, changed)
