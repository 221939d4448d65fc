"""A private repository that holds what a folder holds, for a machine that may be gone tomorrow."""

import logging
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete

from skinvision_hf.errors import HubError
from skinvision_hf.hub.failures import hub_errors
from skinvision_hf.hub.sending import EMPTY, files_below, make_api
from skinvision_hf.training.checkpoints import SETTINGS_FILE

logger = logging.getLogger(__name__)


def pull_checkpoints(repo_id: str, folder: Path) -> None:
    """Download the checkpoints of a run into a folder; a repository that does not exist is made, as a private one.

    Raises:
        HubError: If the repository is public or holds something else, or the Hub refuses.
    """
    api = make_api(None)
    with hub_errors(repo_id):
        api.create_repo(repo_id, private=True, exist_ok=True)
        info = api.repo_info(repo_id)
        names = {sibling.rfilename for sibling in info.siblings or ()} - EMPTY
        if not info.private or (names and SETTINGS_FILE not in names):
            raise HubError(f"{repo_id} is public or holds something else than checkpoints; choose another --output_dir")
        api.snapshot_download(repo_id, revision=info.sha, local_dir=folder)


def push_checkpoints(folder: Path, repo_id: str) -> None:
    """Make a repository hold what a folder holds, in one commit, and drop the history, which would fill the storage.

    After an upload that broke off the repository is as it was before. A history that stays until the next time is only
    a warning in the log.

    Raises:
        HubError: If the Hub refuses the upload.
    """
    api, files = make_api(None), files_below(folder)
    # The client's own notes about the download are hidden files.
    adds = [CommitOperationAdd(name, path) for name, path in files.items() if not name.startswith(".")]
    with hub_errors(repo_id):
        gone = set(api.list_repo_files(repo_id)) - EMPTY - files.keys()
        operations = [*map(CommitOperationDelete, sorted(gone)), *adds]
        api.create_commit(repo_id, operations, commit_message="Save a checkpoint")
    try:
        with hub_errors(repo_id):
            api.super_squash_history(repo_id)
    except HubError as error:
        logger.warning("the checkpoint was sent, but the history of %s is still there: %s", repo_id, error)
