"""Downloads a release from the Hub; the only module that does."""

from pathlib import Path
from typing import Any

from huggingface_hub import model_info, snapshot_download
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    # Base of what the client's HTTP library raises, whichever library that is.
    HTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from skinvision_hf.errors import ModelError
from skinvision_hf.models.release import CONFIG_FILE, RELEASE_FILES, read_config

# The client's patterns cross folders, ours do not.
DEEP = "*/*/*"
TIMEOUT = 5.0
"""Seconds to wait for the Hub before the local cache is used."""


def download_release(repo_id: str, revision: str | None, token: str | bool | None, **cache: Any) -> Path:
    """Download a release, unless the cache holds it, and return its folder there; see `resolve_release`.

    Raises:
        ModelError: If there is no such release, or the Hub cannot be reached.
    """
    if repo_id.count("/") != 1 or repo_id.startswith((".", "/", "~")):
        raise ModelError(f"{repo_id} is neither a folder nor a Hub id such as user/name; check the path")
    options = {"revision": revision, "token": token, **cache}
    try:
        if not (cache["local_files_only"] or _answers(repo_id, revision, token)):
            # Without a network, what is in the cache counts; the client itself would go on trying.
            options["local_files_only"] = True
        # First alone, before hundreds of megabytes of another kind of model are downloaded.
        read_config(Path(snapshot_download(repo_id, allow_patterns=CONFIG_FILE, **options)), repo_id)
        return Path(snapshot_download(repo_id, allow_patterns=list(RELEASE_FILES), ignore_patterns=DEEP, **options))
    except (HTTPError, OSError, HFValidationError) as error:
        raise ModelError(_explain(error, repo_id, revision)) from error


def _answers(repo_id: str, revision: str | None, token: str | bool | None) -> bool:
    """Whether the Hub can be reached; what it refuses is raised."""
    try:
        model_info(repo_id, revision=revision, timeout=TIMEOUT, token=token)
    except (HTTPError, OfflineModeIsEnabled) as error:
        if isinstance(error, HfHubHTTPError) and error.response.status_code < 500:
            raise
        return False
    return True


def _explain(error: Exception, repo_id: str, revision: str | None) -> str:
    if isinstance(error, HFValidationError):
        return f"{repo_id} is neither a folder nor a valid Hub id (user/name)"
    if isinstance(error, RevisionNotFoundError):
        return f"{repo_id} has no revision {revision!r}; see its branches and tags on the Hub"
    if isinstance(error, RepositoryNotFoundError):
        return (
            f"there is no model {repo_id} on the Hub that you can read; check the name, or log in with 'hf auth login' "
            "if it is private"
        )
    if isinstance(error, (LocalEntryNotFoundError, OfflineModeIsEnabled)):
        return (
            f"{repo_id} is not in the local cache and the Hub cannot be reached; check the network, try again later, "
            "or leave out the model to use the bundled release"
        )
    if isinstance(error, HfHubHTTPError):
        status = error.response.status_code
        remedy = "set HF_TOKEN to a valid token, or log in with 'hf auth login'" if status == 401 else "try again later"
        return f"the Hub answered with status {status} for {repo_id}; {remedy}"
    return f"cannot download {repo_id}: {error.__class__.__name__}; check the network"
