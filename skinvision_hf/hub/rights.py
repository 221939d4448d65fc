"""Whether a token may write somewhere, and whether a tag is one, asked before any work is done."""

import re
from typing import Any

from huggingface_hub import HfApi
from huggingface_hub.utils import validate_repo_id

from skinvision_hf.errors import HubError
from skinvision_hf.hub.failures import hub_errors

__all__ = ["check_rights", "check_tag"]

WRITING_ROLES = ("admin", "write", "contributor")
# What git-check-ref-format(1) refuses in a name, or at its beginning or end.
BAD_TAG = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|\.lock(/|$)|^[-./@]$|^[-./]|[./]$")


def check_tag(tag: str | None) -> None:
    """Check that git takes a name for a tag; None is no tag.

    Raises:
        HubError: If it does not.
    """
    if tag is not None and (not tag or BAD_TAG.search(tag)):
        raise HubError(f"{tag!r} cannot be a tag; use letters, digits, '-', '_' and '.' as in v1.0")


def check_rights(api: HfApi, *repo_ids: str) -> None:
    """Check that the token may write to the namespaces of these repositories.

    Raises:
        HubError: If there is no token, the Hub does not know it, or it may not write there.
    """
    for repo_id in repo_ids:
        if repo_id.count("/") != 1:
            raise HubError(f"{repo_id!r} is no Hub id; write it as user/name")
        with hub_errors(repo_id):
            validate_repo_id(repo_id)
    with hub_errors(repo_ids[0]):
        account = api.whoami()
    for repo_id in repo_ids:
        _check(account, repo_id)


def _check(account: dict[str, Any], repo_id: str) -> None:
    namespace, user = repo_id.partition("/")[0], account["name"]
    organisations = {org["name"]: org.get("roleInOrg") for org in account.get("orgs", [])}
    if namespace != user and namespace not in organisations:
        raise HubError(
            f"the token is of {user}, who has no place in {namespace}; publish as {user}/{repo_id.partition('/')[2]}, "
            f"or use a token of {namespace}"
        )
    if namespace != user and organisations[namespace] not in (*WRITING_ROLES, None):
        raise HubError(f"{user} may only read in {namespace}; ask there for the right to write, or publish as {user}")
    token = account.get("auth", {}).get("accessToken", {})
    role = token.get("role")
    if role == "read" or (role == "fineGrained" and not _is_granted(token.get("fineGrained", {}), namespace, repo_id)):
        raise HubError(
            f"the token may not write to {repo_id}; make one with write access at "
            "https://huggingface.co/settings/tokens and set HF_TOKEN to it"
        )


def _is_granted(grants: dict[str, Any], namespace: str, repo_id: str) -> bool:
    """Whether a fine-grained token writes to the namespace or to this one repository."""
    scopes = grants.get("scoped", [])
    permissions = {p for s in scopes if s["entity"].get("name") in (namespace, repo_id) for p in s["permissions"]}
    return "repo.write" in permissions
