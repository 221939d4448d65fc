"""What can go wrong between here and the Hub, each in one line with its remedy."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    # Base of what the client's HTTP library raises, whichever library that is.
    HTTPError,
    LocalEntryNotFoundError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from skinvision_hf.errors import HubError

__all__ = ["hub_errors", "staging_folder"]

# Whatever else the operating system refuses is about a file on this machine.
NETWORK = (HTTPError, LocalEntryNotFoundError, ConnectionError, TimeoutError)
AGAIN = "run the same command again: what has arrived is not sent twice, and the repository is never half-written"
STATUS = {
    401: "the Hub does not accept the token; make a new one at https://huggingface.co/settings/tokens and set HF_TOKEN",
    402: "the Hub asks for a paid plan for this; see https://huggingface.co/pricing",
    403: "the token may not write to {repo_id}; use a token with write access to that namespace, or another --repo_id",
    409: "{repo_id} was changed by someone else at the same moment; " + AGAIN,
    412: "{repo_id} got another commit in the meantime; nothing was written; look at it, then " + AGAIN,
    413: "a file is too large for the Hub",
    429: "the Hub asks to slow down; wait some minutes, then " + AGAIN,
}


@contextmanager
def hub_errors(repo_id: str) -> Iterator[None]:
    """Turn whatever the Hub's client raises inside the block into one `HubError`.

    Raises:
        HubError: With the remedy. It holds neither the token nor a header.
    """
    try:
        yield
    except (HTTPError, OSError, RuntimeError, ValueError) as error:
        raise HubError(_explain(error, repo_id)) from error


@contextmanager
def staging_folder() -> Iterator[Path]:
    """A temporary folder for what will be sent; it is gone after the block.

    Raises:
        HubError: If the disk is full or something else cannot be read or written.
    """
    try:
        with TemporaryDirectory(prefix="skinvision-") as folder:
            yield Path(folder)
    except OSError as error:
        raise HubError(
            f"cannot prepare what is to be sent in {gettempdir()} ({error}); free some space there, "
            "or set TMPDIR to another folder"
        ) from error


def _explain(error: BaseException, repo_id: str) -> str:
    # Uploads run in threads whose errors come back wrapped.
    while isinstance(error, RuntimeError) and error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, LocalTokenNotFoundError):
        return "there is no token; set HF_TOKEN to one with write access, or log in with 'hf auth login'"
    if isinstance(error, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set, so nothing can be sent; unset it"
    if isinstance(error, HFValidationError):
        return f"{repo_id!r} is no valid Hub id; use letters, digits, '-', '_' and '.' as in user/name"
    if isinstance(error, RevisionNotFoundError):
        return f"{repo_id} has no such revision; see its branches and tags on the Hub"
    if isinstance(error, RepositoryNotFoundError):
        return f"there is no {repo_id} on the Hub that this token can see; check the name and the token's rights"
    if isinstance(error, HfHubHTTPError):
        return _explain_status(error, repo_id)
    if isinstance(error, OSError) and not isinstance(error, NETWORK):
        return f"{error.filename or 'a file here'} cannot be read or written ({error.strerror or error}); then {AGAIN}"
    if isinstance(error, (HTTPError, OSError)):
        return f"the connection to the Hub broke ({type(error).__name__}); check the network, then {AGAIN}"
    first = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return f"the Hub refused {repo_id}: {first.rstrip('.')}; mend that, then {AGAIN}"


def _explain_status(error: HfHubHTTPError, repo_id: str) -> str:
    status = error.response.status_code
    if status in STATUS:
        return STATUS[status].format(repo_id=repo_id)
    if status >= 500:
        return f"the Hub has trouble (status {status}); wait a little, then {AGAIN}"
    said = (error.server_message or "").strip().splitlines()
    return f"the Hub refused {repo_id} (status {status}{': ' + said[0] if said else ''}); check the id and the token"
