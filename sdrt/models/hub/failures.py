"""Turn what goes wrong between here and the Hub into errors of one line, which say what to do.

The client raises what its HTTP library raises, and that was ``requests``, then ``httpx``, then ``httpx2``: their errors are known by the
name of the library.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from sdrt.errors import MissingFileError, ModelError, SdrtError
from sdrt.models.hub.access import HubAccess, endpoint
from sdrt.models.hub.address import Address
from sdrt.models.hub.byte_sizes import in_words
from sdrt.models.hub.masking import masked
from sdrt.printable import printable

__all__ = ["OFFLINE", "CancelledError", "DownloadFolder", "UnreachableError", "clear_failures", "disk_full", "hub_cache_folder"]

_NETWORK_LIBRARIES = {"requests", "urllib3", "httpx", "httpx2", "httpcore", "httpcore2", "ssl", "socket"}
_FULL = (errno.ENOSPC, errno.EDQUOT)
_UNWRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS)
_REASON_LENGTH = 200
OFFLINE = "HF_HUB_OFFLINE is set"
_NO_FOLDER = "no such folder, and "
_TRY_AGAIN = "try again, what has arrived is kept"


@dataclass(frozen=True)
class DownloadFolder:
    """Where files are written.

    Parameters
    ----------
    folder : Path
    instead : str
        What messages propose in its place.
    """

    folder: Path
    instead: str


def hub_cache_folder(access: HubAccess) -> DownloadFolder:
    """Return the Hub's cache as a place to write into."""
    return DownloadFolder(access.cache, "another folder (cache_dir, or HF_HUB_CACHE)")


class CancelledError(Exception):
    """Carry an exception of the caller's listener, its cause, past everything that handles errors of the network and the disk."""


class UnreachableError(MissingFileError):
    """The Hub does not answer, or not to this caller; what is in the cache can still be used.

    Parameters
    ----------
    what : str
        What was wanted.
    reason : str
        A clause, such as "the Hub limits requests".
    repair : str
    before : str
        What the message says before the reason, where the cache does not help.
    silent : bool
        Whether there was no answer at all.
    """

    def __init__(self, what: str, reason: str, repair: str, before: str = "", *, silent: bool = False) -> None:
        super().__init__(f"{what}: {before}{reason}; {repair}")
        self.reason, self.repair, self.silent = printable(reason), printable(repair), silent


@contextmanager
def clear_failures(address: Address, access: HubAccess, into: DownloadFolder | None = None) -> Iterator[None]:
    """Turn what the client and the disk raise in the ``with`` body into one-line errors; what a listener raised comes out as it is.

    Parameters
    ----------
    into : DownloadFolder or None
        Where the body writes what it fetches; None if it only asks.

    Raises
    ------
    UnreachableError : the Hub cannot be reached, or refuses
    MissingFileError : it has no such revision or file
    ModelError : no repository can have this name, or the disk refuses
    """
    try:
        yield
    except SdrtError:
        raise
    except CancelledError as cancelled:
        raise cancelled.__cause__ or cancelled from None
    except Exception as error:
        if (clear := _in_words(error, address, access, into)) is None:
            raise
        raise clear from error


def disk_full(address: Address, into: DownloadFolder, needed: int, free: int) -> ModelError:
    """Make the error of a disk that cannot hold what is fetched; amounts in bytes."""
    return _no_room(address, into, f"it needs {in_words(needed)}, and {in_words(free)} are free")


def _no_room(address: Address, into: DownloadFolder, lacking: str) -> ModelError:
    return ModelError(f"{address}: does not fit on the disk of {into.folder} ({lacking}); free some of it, or name {into.instead}")


def _in_words(error: Exception, address: Address, access: HubAccess, into: DownloadFolder | None) -> SdrtError | None:
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HFValidationError, OfflineModeIsEnabled, RevisionNotFoundError

    if isinstance(error, HFValidationError):
        return ModelError(f"{address}: no such file or folder, and no repository can have this name; check it")
    if isinstance(error, UnicodeEncodeError):
        # of all that is sent the token alone is not checked before
        return ModelError(f"{address}: the token (HF_TOKEN, or the Hub client's login) must be plain letters and digits; correct it")
    if isinstance(error, OfflineModeIsEnabled):
        return UnreachableError(
            str(address), OFFLINE, "unset it, or fetch the model elsewhere", "no such folder, nor in the Hub's cache, and "
        )
    if isinstance(error, RevisionNotFoundError):
        return MissingFileError(
            f"{address.repo_id}: has no revision {address.revision or access.revision or 'main'!r}; name a branch, a tag or a commit"
        )
    if isinstance(error, EntryNotFoundError):
        return MissingFileError(f"{address}: the repository has no such file; look at {masked(endpoint())}/{address.repo_id}/tree/main")
    if isinstance(error, HfHubHTTPError) or getattr(error, "response", None) is not None:
        return _refused(error, address, access)
    if type(error).__module__.partition(".")[0] in _NETWORK_LIBRARIES or isinstance(error, ConnectionError | TimeoutError):
        if into is not None:
            return UnreachableError(str(address), f"the connection broke ({_network_words(error)})", _TRY_AGAIN)
        reason = f"the Hub at {masked(endpoint())} does not answer ({_network_words(error)})"
        return UnreachableError(str(address), reason, "check the name and the network, and try again", _NO_FOLDER, silent=True)
    if isinstance(error, OSError):
        return _disk_error(error, address, into or hub_cache_folder(access))
    if into is None:
        # nothing but the client works here, and it trusts its environment and what it is answered
        reason = f"the Hub at {masked(endpoint())} cannot be asked, or its answer cannot be read ({_first_line(error)})"
        return UnreachableError(str(address), reason, "check HF_ENDPOINT and the proxies in the environment, and try again", _NO_FOLDER)
    return None


def _refused(error: Any, address: Address, access: HubAccess) -> SdrtError:
    """Return the error for an answer of the Hub that is a refusal."""
    from huggingface_hub.errors import DisabledRepoError, GatedRepoError, RepositoryNotFoundError

    page = f"{masked(endpoint())}/{address.repo_id}"
    has_token = _has_token(access)
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, DisabledRepoError):
        return UnreachableError(str(address), "the Hub has disabled this repository", f"see {page}")
    if isinstance(error, GatedRepoError):
        reason = f"the repository is gated, and {'the account of this token is not admitted' if has_token else 'no token was sent'}"
        return UnreachableError(str(address), reason, f"accept its conditions at {page}, and set HF_TOKEN to a token of that account")
    if isinstance(error, RepositoryNotFoundError):
        if has_token:
            reason, repair = "the Hub has no such repository that this token may read", "check the name, and the token"
        else:
            reason, repair = "the Hub has no public repository of this name", "check it, or set HF_TOKEN for a private one"
        return UnreachableError(str(address), reason, repair, _NO_FOLDER)
    if status in (401, 403):
        reason = f"the Hub refuses {'the token' if has_token else 'whoever sends no token'} ({status})"
        return UnreachableError(str(address), reason, "set HF_TOKEN to a valid token" + (", or unset it" if has_token else ""))
    if status == 429:
        wait = error.response.headers.get("retry-after")
        after = f" in {wait} seconds" if wait and wait.isdigit() else " later"
        return UnreachableError(
            str(address), "the Hub limits how often it is asked (429)", f"try again{after}, or set HF_TOKEN for a higher limit"
        )
    # the text of the error has the address, which for a large file holds a signature
    words = f"{status} {HTTPStatus(status).phrase}" if status in list(HTTPStatus) else _first_line(error)
    return UnreachableError(str(address), f"the Hub fails to answer ({words})", "try again later")


def _disk_error(error: OSError, address: Address, into: DownloadFolder) -> SdrtError | None:
    if error.errno in _FULL:
        return _no_room(address, into, "it is full; what has arrived is kept")
    if error.errno in _UNWRITABLE:
        return ModelError(f"{address}: cannot be written into {into.folder} ({error.strerror}); name {into.instead}")
    if error.errno is not None:
        return ModelError(f"{address}: cannot be fetched into {into.folder} ({error.strerror}); name {into.instead}")
    return UnreachableError(str(address), f"did not arrive whole ({_first_line(error)})", _TRY_AGAIN)


def _has_token(access: HubAccess) -> bool:
    from huggingface_hub import get_token

    return bool(access.token or get_token())


def _network_words(error: BaseException) -> str:
    """Return what the system said below the libraries of HTTP, each of which wraps it in words of its own."""
    first = root = error
    while (cause := root.__cause__ or root.__context__) is not None:
        root = cause
    said = root.strerror if isinstance(root, OSError) else None
    return printable(said, _REASON_LENGTH) if said else _first_line(first)


def _first_line(error: BaseException) -> str:
    first = masked(str(error).strip().partition("\n")[0]).rstrip(".")
    return printable(first, _REASON_LENGTH) if first else type(error).__name__
