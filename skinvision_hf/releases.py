"""Where a release comes from: the package itself, a folder, or the Hub. The only module that reads from the Hub."""

from pathlib import Path

from huggingface_hub import snapshot_download
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

__all__ = ["RELEASE_FILES", "bundled_release", "resolve_release"]

# What belongs to a release; anything else in a repository is not downloaded.
RELEASE_FILES = ["*.json", "*.jsonl", "*.safetensors", "predictions.csv", "README.md", "figures/*", "examples/*"]


def bundled_release() -> Path:
    """Return the folder of the release that ships with the package.

    Raises:
        ModelError: If this copy of the package carries none.
    """
    folder = Path(__file__).parent / "pretrained"
    if not (folder / "config.json").is_file():
        raise ModelError(
            "this copy of skinvision_hf carries no bundled release; install the package again, "
            "or name a folder or a Hub id"
        )
    return folder


def resolve_release(
    ref: str | Path | None = None,
    *,
    revision: str | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
    token: str | bool | None = None,
) -> Path:
    """Find a release and return its local folder, downloading it from the Hub when it is not here yet.

    Args:
        ref: None for the bundled release, a folder, or a Hub id such as `user/skinvision-efficientnet-b0`.
        revision: Branch, tag or commit on the Hub.
        cache_dir: Where downloads are kept; the Hub's own cache by default.
        local_files_only: Use the cache and ask no server.
        token: Token for private repositories; the saved login by default.

    Returns:
        A folder with at least `config.json`.

    Raises:
        ModelError: If there is no such folder, repository or revision, or it cannot be reached.
    """
    if ref is None:
        folder = bundled_release()
    elif Path(ref).is_dir():
        folder = Path(ref)
    else:
        folder = _download(str(ref), revision, cache_dir, local_files_only=local_files_only, token=token)
    if not (folder / "config.json").is_file():
        raise ModelError(f"{ref} is no SkinVision release: it has no config.json")
    return folder


def _download(
    repo_id: str,
    revision: str | None,
    cache_dir: str | Path | None,
    *,
    local_files_only: bool,
    token: str | bool | None,
) -> Path:
    if repo_id.count("/") != 1 or repo_id.startswith((".", "/", "~")):
        raise ModelError(f"{repo_id} is neither a folder nor a Hub id such as user/name; check the path")
    try:
        return Path(
            snapshot_download(
                repo_id,
                revision=revision,
                cache_dir=cache_dir,
                local_files_only=local_files_only,
                token=token,
                allow_patterns=RELEASE_FILES,
            )
        )
    except HFValidationError as error:
        raise ModelError(f"{repo_id} is neither a folder nor a valid Hub id (user/name)") from error
    except RevisionNotFoundError as error:
        raise ModelError(f"{repo_id} has no revision {revision!r}; see its branches and tags on the Hub") from error
    except RepositoryNotFoundError as error:
        raise ModelError(
            f"there is no model {repo_id} on the Hub that you can read; check the name, or log in with 'hf auth login' "
            "if it is private"
        ) from error
    except (LocalEntryNotFoundError, OfflineModeIsEnabled) as error:
        raise ModelError(
            f"{repo_id} is not in the local cache and the Hub cannot be reached; check the network, try again later, "
            "or leave the model out to use the bundled release"
        ) from error
    except HfHubHTTPError as error:
        status = error.response.status_code
        remedy = "set HF_TOKEN to a valid token, or log in with 'hf auth login'" if status == 401 else "try again later"
        raise ModelError(f"the Hub answered with status {status} for {repo_id}; {remedy}") from error
    except (HTTPError, OSError) as error:
        raise ModelError(f"cannot download {repo_id}: {error.__class__.__name__}; check the network") from error
