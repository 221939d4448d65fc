"""Carry out plans: at most one commit each, which replaces the old state as a whole or not at all, then the tag."""

import mmap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, get_token

from skinvision_hf.errors import HubError
from skinvision_hf.hub.failures import hub_errors
from skinvision_hf.hub.plans import Change, Plan
from skinvision_hf.hub.repositories import url_of

__all__ = ["Published", "Shipment", "Show", "refuse_token", "send", "send_all"]

Show = Callable[[Plan], object]
SPACE_SDK = "gradio"


@dataclass(frozen=True)
class Shipment:
    """What is ready to be sent.

    Attributes:
        plan: What it would change.
        folder: The files.
        message: First line of the commit.
    """

    plan: Plan
    folder: Path
    message: str


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
        done = f"{'Published' if self.changed else 'Unchanged'}: {self.url} (commit {self.commit[:12]})"
        return "\n".join([done, *(f"Note: {note}" for note in self.plan.notes)])


def send_all(api: HfApi, shipments: Sequence[Shipment], *, dry_run: bool, show: Show) -> list[Published]:
    """Show all plans, then carry them out, unless it is a dry run.

    Raises:
        HubError: As `send`.
    """
    for shipment in shipments:
        show(shipment.plan)
    return [unsent(shipment.plan) if dry_run else send(api, shipment) for shipment in shipments]


def send(api: HfApi, shipment: Shipment) -> Published:
    """Carry out one plan. A Space gets its variables first, so that its files never run with those of another model.

    Raises:
        HubError: If the Hub refuses, or the repository was changed since the plan was made.
    """
    plan = shipment.plan
    head = plan.head
    with hub_errors(plan.repo_id):
        if head is None:
            _create(api, plan)
        else:
            for name, value in plan.variables.items():
                api.add_space_variable(plan.repo_id, name, value)
        if plan.changes:
            head = api.create_commit(
                plan.repo_id,
                [_operation(change, shipment.folder) for change in plan.changes],
                commit_message=shipment.message,
                repo_type=plan.kind,
                parent_commit=plan.head,
            ).oid
        if plan.tag and not plan.tag_exists:
            api.create_tag(plan.repo_id, tag=plan.tag, revision=head, repo_type=plan.kind)
    return Published(plan, url_of(plan.repo_id, plan.kind), head, changed=bool(plan.changes))


def unsent(plan: Plan) -> Published:
    """The result of a dry run."""
    return Published(plan, url_of(plan.repo_id, plan.kind), commit=None, changed=False)


def refuse_token(folder: Path, token: str | None) -> None:
    """Check that no file holds the token with which it would be sent.

    Raises:
        HubError: If one does; the message names the file only.
    """
    secret = (token or get_token() or "").encode()
    for path in sorted(folder.rglob("*")):
        if secret and path.is_file() and path.stat().st_size:
            with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                if content.find(secret) >= 0:
                    name = path.relative_to(folder).as_posix()
                    raise HubError(f"{name} holds your token; nothing was sent; take it out, and make a new token")


def _create(api: HfApi, plan: Plan) -> None:
    if plan.kind == "space":
        variables = [{"key": name, "value": value} for name, value in plan.variables.items()]
        api.create_repo(
            plan.repo_id, repo_type="space", private=plan.private, space_sdk=SPACE_SDK, space_variables=variables
        )
    else:
        api.create_repo(plan.repo_id, repo_type=plan.kind, private=plan.private)


def _operation(change: Change, folder: Path) -> CommitOperationAdd | CommitOperationDelete:
    if change.action == "delete":
        return CommitOperationDelete(change.path)
    return CommitOperationAdd(change.path, folder / change.path)
