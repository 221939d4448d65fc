"""What the Hub refuses, in one line with its remedy."""

from collections.abc import Iterator
from contextlib import contextmanager

from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    # Base of what the client's HTTP library raises, whichever library that is.
    HTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)

from skinvision_hf.errors import HubError

NETWORK = (HTTPError, LocalEntryNotFoundError, ConnectionError, TimeoutError)
NO_TOKEN = "set HF_TOKEN to a token with write access, or log in with 'hf auth login'"
AGAIN = "run the same command again; each publish is one commit, and files that arrived are not sent twice"
STATUS = {
    401: f"the Hub does not accept the token; {NO_TOKEN}",
    402: "the Hub asks for a paid plan: since July 2026 free accounts cannot create Gradio Spaces; publish with "
    "--kind static, which is free, or from an account with a plan (https://huggingface.co/pricing)",
    403: "the token may not write to {repo_id}; use one with write access to that namespace, or another --repo_id",
    409: "{repo_id} was changed at the same moment; " + AGAIN,
    412: "{repo_id} got another commit in the meantime, so nothing was written; look at it, then " + AGAIN,
    429: "the Hub asks to slow down; wait some minutes, then " + AGAIN,
}


@contextmanager
def hub_errors(repo_id: str) -> Iterator[None]:
    """Turn what the Hub's client raises inside the block into one `HubError`, which holds no token and no header.

    Raises:
        HubError: With cause and remedy.
        OSError: If a file on this machine cannot be read or written.
    """
    try:
        yield
    except (HTTPError, OSError, RuntimeError, ValueError) as error:
        cause: BaseException = error
        # Uploads run in threads whose errors come back wrapped.
        while isinstance(cause, RuntimeError) and cause.__cause__ is not None:
            cause = cause.__cause__
        if isinstance(cause, OSError) and not isinstance(cause, NETWORK):
            raise cause from error
        raise HubError(_explain(cause, repo_id)) from error


def _explain(error: BaseException, repo_id: str) -> str:
    if isinstance(error, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set, so nothing can be sent; unset it"
    if isinstance(error, HFValidationError):
        return f"{repo_id!r} is not a Hub id; write it as user/name, with letters, digits, '-', '_' and '.'"
    if isinstance(error, RepositoryNotFoundError):
        return f"this token finds no {repo_id} on the Hub; check the name and the token's rights"
    if isinstance(error, HfHubHTTPError):
        return _explain_status(error, repo_id)
    if isinstance(error, NETWORK):
        return f"the connection to the Hub broke ({type(error).__name__}); check the network, then {AGAIN}"
    first = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return f"the Hub refused {repo_id}: {first.rstrip('.')}"


def _explain_status(error: HfHubHTTPError, repo_id: str) -> str:
    status = error.response.status_code
    if status in STATUS:
        return STATUS[status].format(repo_id=repo_id)
    if status >= 500:
        return f"the Hub has trouble (status {status}); wait a little, then {AGAIN}"
    said = (error.server_message or "").strip().splitlines()
    return f"the Hub refused {repo_id} (status {status}{': ' + said[0] if said else ''}); check the id and the token"
