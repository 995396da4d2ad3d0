"""Receive files of a repository: small ones several at a time, since each costs a round trip or two, large ones alone.

The client's own download (2.4.0) begins a file anew after an interruption. Here what has arrived stays in a partial file, and the next call
goes on behind it, by the pieces in which the client writes (10 MiB).
"""

import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any, BinaryIO, TypeAlias, cast

from sdrt.forking import ForkLock
from sdrt.models.hub.access import DownloadProgress, HubAccess, endpoint
from sdrt.models.hub.byte_sizes import in_words
from sdrt.models.hub.failures import CancelledError
from sdrt.models.hub.hashes import check_beginning, check_content
from sdrt.models.hub.hub_file import HubFile, Listing
from sdrt.models.hub.quiet_client import quiet_client

__all__ = ["Report", "free_space", "kept_bytes", "number_of_files", "receive", "transfer"]

# Hears how many bytes of a file are there.
Report: TypeAlias = Callable[[int], None]

_SMALL = 1_000_000  # bytes
_CONNECTIONS = 8  # as many as the client opens for a snapshot


def transfer(listing: Listing, files: Sequence[HubFile], access: HubAccess, fetch_one: Callable[[HubFile, Report], None]) -> None:
    """Fetch files, and tell ``access.on_download`` how far that is, always in this thread.

    Parameters
    ----------
    listing : Listing
    files : sequence of HubFile
        At least one.
    access : HubAccess
    fetch_one : callable
        Brings one file to its place; it is called in several threads at once. What it raises ends everything.
    """
    progress = _Progress(listing.repo_id, files, access)
    progress.begin(files[0])
    small = [file for file in files if file.size < _SMALL]
    with quiet_client():
        for file in _together(small, fetch_one):
            progress.add(file, file.size)
        for file in files:
            if file.size >= _SMALL:
                fetch_one(file, partial(progress.tell, file))
                progress.add(file, file.size)


class _Progress:
    """How much of all files has arrived."""

    def __init__(self, repo_id: str, files: Sequence[HubFile], access: HubAccess) -> None:
        self._repo_id, self._listen = repo_id, access.on_download
        self._total = sum(file.size for file in files)
        self._whole = 0
        self._told = -1

    def begin(self, first: HubFile) -> None:
        self.tell(first, 0)

    def tell(self, file: HubFile, done: int) -> None:
        """Tell that these bytes of a file are there, and nothing where that is no news."""
        now = min(self._whole + done, self._total)
        if self._listen is None or now == self._told:
            return
        self._told = now
        try:
            self._listen(DownloadProgress(self._repo_id, file.path, now, self._total))
        except Exception as error:
            raise CancelledError from error

    def add(self, file: HubFile, size: int) -> None:
        self._whole += size
        self.tell(file, 0)


def _together(files: Sequence[HubFile], fetch_one: Callable[[HubFile, Report], None]) -> Iterator[HubFile]:
    """Fetch files in several threads, and yield each that is there; the first error is raised here, when all threads have ended."""
    left, lock = iter(files), ForkLock()
    over = threading.Event()
    ended: SimpleQueue[tuple[HubFile, BaseException | None]] = SimpleQueue()

    def work() -> None:
        while not over.is_set():
            with lock:
                file = next(left, None)
            if file is None:
                return
            try:
                fetch_one(file, lambda _: None)
            except BaseException as error:  # noqa: BLE001 -- it is raised in the thread that waits
                over.set()
                ended.put((file, error))
                return
            ended.put((file, None))

    # daemons: whoever presses Ctrl-C does not wait for a Hub that hangs
    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(_CONNECTIONS, len(files)))]
    for thread in threads:
        thread.start()
    try:
        for _ in files:
            file, error = ended.get()
            if error is not None:
                for thread in threads:
                    thread.join()
                raise error
            yield file
    finally:
        over.set()


def receive(listing: Listing, file: HubFile, incomplete: Path, access: HubAccess, report: Report) -> None:
    """Append to a partial file what it lacks, and check the whole.

    Raises
    ------
    WeightsError : what arrived is not what the Hub lists; it is removed
    OSError, and what the client raises : it did not arrive; the partial file stays
    """
    from huggingface_hub import hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    start = kept_bytes(incomplete, file)
    url = hf_hub_url(listing.repo_id, file.path, revision=listing.commit, endpoint=endpoint())
    # compressed, a part of a file could not be asked for
    headers = {**build_hf_headers(token=access.token), "Accept-Encoding": "identity"}
    try:
        with incomplete.open("ab" if start else "wb") as stream:
            counted = cast("BinaryIO", _Counted(stream, report))
            http_get(url, counted, resume_size=start, headers=headers, expected_size=file.size)
    except OSError as error:
        check_beginning(incomplete, file, listing.repo_id)
        if type(error) is OSError and error.errno is None and (size := incomplete.stat().st_size) < file.size:
            # the client compares sizes itself, in an error of no class of its own
            raise OSError(f"{file.path} ended after {in_words(size)} of {in_words(file.size)}") from error
        raise
    check_content(incomplete, file, listing.repo_id)


class _Counted:
    """A file to write into that reports its size after each piece."""

    def __init__(self, stream: BinaryIO, report: Report) -> None:
        self._stream, self._report = stream, report

    def write(self, piece: bytes) -> int:
        written = self._stream.write(piece)
        self._report(self._stream.tell())
        return written

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def kept_bytes(incomplete: Path, file: HubFile) -> int:
    """Return how many bytes of a file an interrupted call left; more than it has are those of something else."""
    size = incomplete.stat().st_size if incomplete.is_file() else 0
    return size if size <= file.size else 0


def free_space(folder: Path) -> int:
    """Return how many bytes are free where a folder is, or will be."""
    place = next(each for each in (folder, *folder.absolute().parents) if each.is_dir())
    return shutil.disk_usage(place).free


def number_of_files(files: Sequence[HubFile]) -> str:
    """Say how many files there are, and how large.

    >>> number_of_files([HubFile("a", 1200)])
    '1.2 kB in 1 file'
    """
    return f"{in_words(sum(file.size for file in files))} in {len(files)} file{'' if len(files) == 1 else 's'}"
