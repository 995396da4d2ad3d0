"""Receive files of a repository, several at a time, and check each while it arrives.

The client's own download (2.4.0) begins a file anew after an interruption. Here what has arrived stays in a partial file, and the next call
continues it, in the pieces in which the client writes (10 MiB).
"""

import shutil
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, BinaryIO, TypeAlias, cast

from sdrt.forking import ForkLock
from sdrt.models.hub.access import DownloadProgress, HubAccess, endpoint
from sdrt.models.hub.byte_sizes import in_words
from sdrt.models.hub.failures import CancelledError
from sdrt.models.hub.hashes import ContentHash, check_beginning, check_content
from sdrt.models.hub.hub_file import HubFile, Listing
from sdrt.models.hub.quiet_client import quiet_client

__all__ = ["Report", "free_space", "kept_bytes", "number_of_files", "receive", "transfer"]

# Hears how many bytes of a file are there, before and after each piece of it is written. What it raises ends the file.
Report: TypeAlias = Callable[[int], None]

_CONNECTIONS = 8  # as many as the client opens for a snapshot
_TICK = 0.2  # seconds; a wait without end would not hear of Ctrl-C on Windows
_PATIENCE = 1.0  # seconds in which threads may end that are in the middle of a piece


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
    progress.tell(files[0], 0)
    # the largest first, so that none is left alone at the end
    with closing(_together(sorted(files, key=lambda file: -file.size), fetch_one)) as news:
        for file, done in news:
            progress.tell(file, done)


class _Progress:
    """How much of all files has arrived."""

    def __init__(self, repo_id: str, files: Sequence[HubFile], access: HubAccess) -> None:
        self._repo_id, self._listen = repo_id, access.on_download
        self._total = sum(file.size for file in files)
        self._done: dict[str, int] = {}
        self._sum, self._told = 0, -1

    def tell(self, file: HubFile, done: int) -> None:
        """Tell that these bytes of a file are there, and nothing where that is no news."""
        self._sum += done - self._done.get(file.path, 0)
        self._done[file.path] = done
        # what arrives again, since a server knows no ranges, and what is too much are no progress
        now = min(self._sum, self._total)
        if self._listen is None or now <= self._told:
            return
        self._told = now
        try:
            self._listen(DownloadProgress(self._repo_id, file.path, now, self._total))
        except Exception as error:
            raise CancelledError from error


class _StoppedError(Exception):
    """Ends a thread whose work nobody wants any more."""


def _together(files: Sequence[HubFile], fetch_one: Callable[[HubFile, Report], None]) -> Generator[tuple[HubFile, int], None, None]:
    """Fetch files in several threads, and yield how many bytes there are of each; what one raises is raised here, and stops the others."""
    left, lock = iter(files), ForkLock()
    over = threading.Event()
    # bytes of a file; None: it is there; or the error that ended it
    news: SimpleQueue[tuple[HubFile, int | BaseException | None]] = SimpleQueue()

    def work() -> None:
        with quiet_client():
            while not over.is_set():
                with lock:
                    file = next(left, None)
                if file is None:
                    return
                try:
                    fetch_one(file, lambda done, file=file: report(file, done))  # type: ignore[misc]
                except BaseException as error:  # noqa: BLE001 -- it is raised in the thread that waits
                    news.put((file, error))
                    return
                news.put((file, None))

    def report(file: HubFile, done: int) -> None:
        if over.is_set():
            raise _StoppedError
        news.put((file, done))

    # daemons: whoever presses Ctrl-C does not wait for a Hub that hangs
    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(_CONNECTIONS, len(files)))]
    for thread in threads:
        thread.start()
    try:
        missing = len(files)
        while missing:
            file, what = _next(news)
            if isinstance(what, BaseException):
                raise what
            missing -= what is None
            yield file, file.size if what is None else what
    finally:
        over.set()
        deadline = time.monotonic() + _PATIENCE
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))


def _next(news: "SimpleQueue[tuple[HubFile, int | BaseException | None]]") -> tuple[HubFile, int | BaseException | None]:
    while True:
        try:
            return news.get(timeout=_TICK)
        except Empty:
            continue


def receive(listing: Listing, file: HubFile, incomplete: Path, access: HubAccess, report: Report) -> None:
    """Append to a partial file what it lacks, and check the whole.

    Raises
    ------
    WeightsError : what arrived is not what the Hub lists; it is removed
    OSError, and what the client raises : it did not arrive; the partial file stays
    """
    from huggingface_hub import hf_hub_url
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    start = kept_bytes(incomplete, file)
    url = hf_hub_url(listing.repo_id, file.path, revision=listing.commit, endpoint=endpoint())
    # compressed, a part of a file could not be asked for
    headers = {**build_hf_headers(token=access.token), "Accept-Encoding": "identity"}
    content = ContentHash(file).read(incomplete) if start else ContentHash(file)
    try:
        with incomplete.open("ab" if start else "wb") as stream:
            received = _Received(stream, content, report, file.size)
            _get(url, received, start, headers, file.size)
    except OSError as error:
        check_beginning(incomplete, file, listing.repo_id)
        if type(error) is OSError and error.errno is None and (size := incomplete.stat().st_size) < file.size:
            # the client compares sizes itself, in an error of no class of its own
            raise OSError(f"{file.path} ended after {in_words(size)} of {in_words(file.size)}") from error
        raise
    check_content(incomplete, file, listing.repo_id, None if received.began_anew else content)


def _get(url: str, received: "_Received", start: int, headers: dict[str, str], size: int) -> None:
    """Let the client write what it gets."""
    from huggingface_hub.file_download import http_get

    try:
        http_get(url, cast("BinaryIO", received), resume_size=start, headers=headers, expected_size=size)
    except ValueError as error:
        # it reads the numbers of an answer's headers as they come
        raise OSError(f"the answer cannot be read: {error}") from error


class _Received:
    """A file to write into that reports its size, takes the hash of what is written, and does not grow without end."""

    def __init__(self, stream: BinaryIO, content: ContentHash, report: Report, most: int) -> None:
        self._stream, self._content, self._report, self._most = stream, content, report, most
        self.began_anew = False

    def write(self, piece: bytes) -> int:
        self._report(self._stream.tell())
        written = self._stream.write(piece)
        self._content.update(piece)
        if self._stream.tell() > self._most:
            self._stream.flush()
            raise OSError("more arrives than the Hub lists")
        self._report(self._stream.tell())
        return written

    def truncate(self) -> int:
        """Drop what was there: the server sends the whole file where its end was asked for."""
        self.began_anew = True
        return self._stream.truncate()

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
