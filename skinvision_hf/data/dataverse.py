"""The official files of HAM10000 from Harvard Dataverse: named by its API, resumed when broken off, and verified."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from tqdm.auto import tqdm

from skinvision_hf.errors import DataError, describe

DOI = "doi:10.7910/DVN/DBW86T"
SERVER = "https://dataverse.harvard.edu"
# The rest of the data set's page belongs to the ISIC challenge, or is not an image.
WANTED = ("HAM10000_images", "HAM10000_metadata")
MASKS = "HAM10000_segmentations"
ATTEMPTS = 5


@dataclass(frozen=True)
class _RemoteFile:
    identifier: int
    name: str
    size: int | None  # in bytes, where the server says it
    md5: str
    original: bool  # whether to ask for the file as it was uploaded; the server keeps tables in a format of its own


def download_ham10000(folder: str | Path, *, masks: bool = False, server: str = SERVER) -> Path:
    """Download metadata and images, and verify them; files that are there already are kept.

    Args:
        folder: Where to. A download that broke off goes on there.
        masks: Download the lesion masks too.
        server: Address of the Dataverse installation.

    Returns:
        The folder, which `load_ham10000` reads.

    Raises:
        DataError: If the server cannot be reached or answers otherwise than expected, a file arrives damaged, or the
            folder cannot be written.
    """
    folder = Path(folder)
    with httpx.Client(base_url=server, follow_redirects=True, timeout=httpx.Timeout(30.0, read=120.0)) as client:
        files = _list_files(client, masks=masks)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for file in files:
                _fetch(client, file, folder / file.name)
        except OSError as error:
            raise DataError(f"cannot write {describe(error, folder)}; choose another folder, or make room") from error
    return folder


def _list_files(client: httpx.Client, *, masks: bool) -> list[_RemoteFile]:
    host = client.base_url.host
    try:
        answer = client.get("/api/datasets/:persistentId/", params={"persistentId": DOI})
        answer.raise_for_status()
        files = [_describe(entry["dataFile"]) for entry in answer.json()["data"]["latestVersion"]["files"]]
    except httpx.HTTPError as error:
        raise DataError(f"cannot get the files of HAM10000 from {host} ({_reason(error)}); try again later") from error
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{host} answers in an unknown form; download {DOI} by hand and give the folder") from error
    wanted = [file for file in files if file.name.startswith((*WANTED, MASKS) if masks else WANTED)]
    if not all(any(file.name.startswith(name) for file in wanted) for name in WANTED):
        raise DataError(f"{host} lists no images or no metadata under {DOI}; try again later")
    return wanted


def _describe(entry: dict[str, Any]) -> _RemoteFile:
    """A table's checksum is that of the file as it was uploaded."""
    original = bool(entry.get("tabularData") or entry.get("originalFileFormat"))
    name, size = entry["filename"], entry.get("filesize")
    if original:
        name, size = entry.get("originalFileName") or f"{Path(name).stem}.csv", entry.get("originalFileSize")
    return _RemoteFile(entry["id"], Path(name).name, size, entry["md5"].lower(), original)


def _fetch(client: httpx.Client, file: _RemoteFile, path: Path) -> None:
    if path.is_file() and _md5(path) == file.md5:
        return
    partial = path.with_name(path.name + ".part")
    for attempt in range(ATTEMPTS):
        try:
            _receive(client, file, partial)
            break
        except httpx.TransportError as error:
            if attempt == ATTEMPTS - 1:
                problem = f"the download of {file.name} was interrupted ({_reason(error)})"
                raise DataError(f"{problem}; run the same command again to continue") from error
        except httpx.HTTPStatusError as error:
            raise DataError(f"cannot download {file.name} ({_reason(error)}); try again later") from error
    if _md5(partial) != file.md5:
        partial.unlink()
        raise DataError(f"{file.name} arrived damaged: its md5 is not {file.md5}; run the same command again")
    partial.replace(path)


def _receive(client: httpx.Client, file: _RemoteFile, partial: Path) -> None:
    """Append what is missing to a partial file, or start anew where the server cannot go on in the middle."""
    there = partial.stat().st_size if partial.is_file() else 0
    if there and there == file.size:
        return
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={there}-"} if there else {})
    parameters = {"format": "original"} if file.original else {}
    with client.stream("GET", f"/api/access/datafile/{file.identifier}", params=parameters, headers=headers) as answer:
        if answer.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # All of it is here; the checksum tells whether it is right.
        answer.raise_for_status()
        there = there if answer.status_code == httpx.codes.PARTIAL_CONTENT else 0
        with (
            partial.open("ab" if there else "wb") as target,
            tqdm(total=file.size, initial=there, desc=file.name, unit="B", unit_scale=True) as bar,
        ):
            for chunk in answer.iter_raw():
                target.write(chunk)
                bar.update(len(chunk))


def _md5(path: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file, tqdm(total=path.stat().st_size, desc="verify", unit="B", unit_scale=True) as bar:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
            bar.update(len(chunk))
    return digest.hexdigest()


def _reason(error: httpx.HTTPError) -> str:
    if isinstance(error, httpx.HTTPStatusError):
        return f"status {error.response.status_code}"
    return str(error) or type(error).__name__
