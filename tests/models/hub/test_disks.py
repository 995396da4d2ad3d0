"""Disks that fill, cannot be written, or cannot have such a name: one line each, and what has arrived is kept."""

import errno
import os
import shutil
import subprocess
import sys
from collections import namedtuple
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

import sdrt
from sdrt.errors import ConfigError, ModelError
from sdrt.models.hub import transfer
from tests.hub_repository import nano_files
from tests.hub_server import HubServer

UNET = "unet/diffusion_pytorch_model.safetensors"
MOUNT, UNMOUNT = shutil.which("mount"), shutil.which("umount")
Usage = namedtuple("Usage", "total used free")

# Both write into the folder that they get: one makes a folder in it, the other has its cache there.
CALLS: dict[str, tuple[Callable[[Path], object], str]] = {
    "download": (lambda folder: sdrt.download("someone/nano", folder), "another output folder"),
    "load": (lambda folder: _load(folder), r"another folder \(cache_dir, or HF_HUB_CACHE\)"),
}
each_call = pytest.mark.parametrize("name", list(CALLS))


def _load(folder: Path) -> object:
    os.environ["HF_HUB_CACHE"] = constants.HF_HUB_CACHE = str(folder)
    return sdrt.load("someone/nano")


@pytest.fixture(autouse=True)
def nano(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model at the Hub; the fixtures restore what `_load` sets."""
    hub.add("someone/nano", nano_files())
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 100_000)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MB, of which the weights of nano need more."""
    if not sys.platform.startswith("linux") or MOUNT is None or UNMOUNT is None:
        pytest.skip("only Linux mounts one so")
    folder = tmp_path / "small"
    folder.mkdir()
    if subprocess.run([MOUNT, "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], check=False, capture_output=True).returncode != 0:
        pytest.skip("this user, or this container, may not mount")
    yield folder
    subprocess.run([UNMOUNT, folder], check=True)


def remount(folder: Path, options: str) -> None:
    assert MOUNT is not None
    subprocess.run([MOUNT, "-o", f"remount,{options}", folder], check=True)


@each_call
def test_a_disk_that_is_too_small_is_told_before_anything_is_fetched(small_disk: Path, hub: HubServer, name: str) -> None:
    call, instead = CALLS[name]
    words = rf"does not fit on the disk of {small_disk} \(it needs 9.7 MB, and 2.\d MB are free\); free some of it, or name {instead}$"
    with pytest.raises(ModelError, match=rf"^someone/nano(@main)?: {words}"):
        call(small_disk)
    assert hub.contents() == []
    assert list(small_disk.iterdir()) == []


@each_call
def test_a_disk_that_fills_meanwhile(small_disk: Path, hub: HubServer, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """As when another program fills it; when there is room again, the same call goes on."""
    call, instead = CALLS[name]
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: Usage(10**12, 0, 10**12))
        words = rf"does not fit on the disk of {small_disk} \(it is full; what has arrived is kept\); free some of it, or name {instead}$"
        with pytest.raises(ModelError, match=rf"^someone/nano(@main)?: {words}"):
            call(small_disk)
    assert not (small_disk / "nano").exists()
    hub.requests.clear()
    remount(small_disk, "size=64m")
    assert call(small_disk) is not None
    assert [each.range_start for each in hub.contents() if each.content == UNET and each.range_start] != []


@each_call
def test_a_disk_that_is_read_only(small_disk: Path, name: str) -> None:
    call, instead = CALLS[name]
    remount(small_disk, "ro,size=64m")
    words = rf"cannot be written into {small_disk} \(Read-only file system\); name {instead}$"
    with pytest.raises(ModelError, match=rf"^someone/nano(@main)?: {words}"):
        call(small_disk)


def test_a_read_only_cache_is_one_all_the_same(small_disk: Path, hub: HubServer) -> None:
    remount(small_disk, "size=64m")
    _load(small_disk)
    remount(small_disk, "ro")
    hub.requests.clear()
    assert _load(small_disk) is not None
    assert hub.contents() == []


@each_call
@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, r"does not fit on the disk of \S+ \(it is full; what has arrived is kept\); free some of it, or name {}$"),
        (errno.EDQUOT, r"does not fit on the disk of \S+ \(it is full; what has arrived is kept\); free some of it, or name {}$"),
        (errno.EROFS, r"cannot be written into \S+ \(Read-only file system\); name {}$"),
        (errno.EACCES, r"cannot be written into \S+ \(Permission denied\); name {}$"),
        (errno.EIO, r"cannot be fetched into \S+ \(Input/output error\); name {}$"),
    ],
)
def test_what_a_disk_answers_in_the_middle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, number: int, words: str) -> None:
    """The same without a disk that can be mounted."""
    call, instead = CALLS[name]
    write = transfer._Received.write

    def refuse(self: Any, piece: bytes) -> int:
        if self._stream.tell() >= 300_000:
            raise OSError(number, os.strerror(number))
        return write(self, piece)

    with monkeypatch.context() as patch:
        patch.setattr(transfer._Received, "write", refuse)
        with pytest.raises(ModelError, match=rf"^someone/nano(@main)?: {words.format(instead)}"):
            call(tmp_path / "new")
    assert not (tmp_path / "new" / "nano").exists()
    assert call(tmp_path / "new") is not None


@each_call
def test_a_file_in_the_place_of_the_folder(tmp_path: Path, name: str) -> None:
    call, _ = CALLS[name]
    (tmp_path / "file").write_text("")
    with pytest.raises(
        ModelError, match=r"^someone/nano(@main)?: cannot be fetched into \S+ \((File exists|Not a directory)\); name another"
    ):
        call(tmp_path / "file")


@pytest.mark.parametrize("folder", ["n" * 300, "/".join(["deep" * 10] * 150)])
def test_a_path_that_is_too_long(hub: HubServer, tmp_path: Path, folder: str) -> None:
    with pytest.raises((ConfigError, ModelError), match="File name too long") as caught:
        sdrt.download("someone/nano", tmp_path / folder)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_file_whose_name_is_too_long_for_the_disk(hub: HubServer, tmp_path: Path) -> None:
    hub.add("someone/long", {"a.safetensors": b"a", f"{'n' * 300}.json": b"b"})
    with pytest.raises(ModelError, match=r"^someone/long: cannot be fetched into \S+ \(File name too long\); name another output folder$"):
        sdrt.download("someone/long", tmp_path / "new", everything=True)
    assert not (tmp_path / "new" / "long").exists()
