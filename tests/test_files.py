"""What is opened on disk: regular files alone, whose system errors are one line that names the path."""

import gc
import os
import socket
import sys
from collections.abc import Callable, Sized
from pathlib import Path

import pytest

from sdrt.errors import ConfigError, MissingFileError, ModelError, WeightsError
from sdrt.files import entries, exists, file_size, is_file, is_folder, map_file, open_file, read_bytes, read_range, read_text, user_path
from sdrt.limits import Limits
from sdrt.models import open_model
from sdrt.models.lora import open_lora
from sdrt.npy import read_npy

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such files")
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3438167534\n"


def read_whole(file: Path) -> Sized:
    return read_bytes(file)


def map_whole(file: Path) -> Sized:
    return map_file(file)


WAYS = pytest.mark.parametrize("read", [read_whole, read_text, map_whole])


@WAYS
def test_a_file_is_read_through_links(read: Callable[[Path], Sized], tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"text")
    if sys.platform != "win32":
        (tmp_path / "link").symlink_to("a")
        assert len(read(tmp_path / "link")) == 4
    assert is_file(tmp_path / "a")
    assert not is_folder(tmp_path / "a")
    assert is_folder(tmp_path)
    assert entries(tmp_path)[0] == tmp_path / "a"


@WAYS
def test_an_empty_file_is_empty(read: Callable[[Path], Sized], tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert len(read(tmp_path / "empty")) == 0


@WAYS
def test_a_pointer_of_git_lfs_is_named(read: Callable[[Path], Sized], tmp_path: Path) -> None:
    (tmp_path / "weight.bin").write_bytes(LFS)
    with pytest.raises(ModelError, match=r"weight\.bin: a Git-LFS pointer, not the file itself; run 'git lfs pull'"):
        read(tmp_path / "weight.bin")


@WAYS
def test_a_folder_or_nothing_is_no_file(read: Callable[[Path], Sized], tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="must be a file, got a folder"):
        read(tmp_path)
    for absent in (tmp_path / "none", tmp_path / "none" / "deeper"):
        assert not exists(absent)
        with pytest.raises(MissingFileError, match=r"none.*: not found"):
            read(absent)


@posix
@WAYS
def test_nothing_is_read_without_end(read: Callable[[Path], Sized], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        place = Path(os.path.relpath(tmp_path / "s"))  # names of sockets are short
        listening.bind(str(place) if len(str(place)) < 100 else str(tmp_path / "s")[-100:])
        for file, kind in ((tmp_path / "pipe", "a pipe"), (Path("/dev/zero"), "a device"), (tmp_path / "s", "cannot be read")):
            assert exists(file)
            assert not is_file(file)
            with pytest.raises(ModelError, match=kind):
                read(file)


@posix
@WAYS
def test_names_that_no_file_can_have_are_one_error(read: Callable[[Path], Sized], tmp_path: Path) -> None:
    (tmp_path / "circle").symlink_to("circle")
    names = [tmp_path / "circle", tmp_path / "circle" / "config.json", tmp_path / ("x" * 5000), tmp_path / "nul\0", tmp_path / "half\ud800"]
    for file in names:
        with pytest.raises(ModelError, match=r"cannot be read \((Too many|File name|no file)"):
            read(file)
    assert exists(names[0])
    for file in names[1:]:
        with pytest.raises(ModelError, match="cannot be read"):
            exists(file)


@pytest.fixture
def closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose inside is closed to this user; the tests may run as one to whom nothing is closed."""
    folder = tmp_path / "closed"
    folder.mkdir()
    (folder / "file").write_bytes(b"")

    def refuse(work: Callable[..., object]) -> Callable[..., object]:
        def refusing(path: object, *rest: object, **more: object) -> object:
            if isinstance(path, str | os.PathLike) and "closed" in Path(path).parts:
                raise PermissionError(13, "Permission denied", str(path))
            return work(path, *rest, **more)

        return refusing

    for name in ("stat", "lstat", "open", "listdir", "scandir"):
        monkeypatch.setattr(os, name, refuse(getattr(os, name)))
    return folder


@WAYS
def test_a_file_that_is_closed_to_this_user_is_one_error(read: Callable[[Path], Sized], closed: Path) -> None:
    for ask in (read, exists, is_file, is_folder):
        with pytest.raises(ModelError, match=r"file: cannot be read \(Permission denied\); check the name, and who may read it"):
            ask(closed / "file")
    with pytest.raises(ModelError, match="closed: cannot be read"):
        entries(closed)


def test_text_has_no_byte_order_mark_and_is_utf_8(tmp_path: Path) -> None:
    (tmp_path / "marked").write_bytes("\ufeffgrün".encode())
    assert read_text(tmp_path / "marked") == "grün"
    (tmp_path / "latin").write_bytes("grün".encode("latin-1"))
    with pytest.raises(ModelError, match="latin: must be text in UTF-8, got the byte 0xfc at 2"):
        read_text(tmp_path / "latin")


def test_sizes_are_limited_before_anything_is_read(tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as stream:
        stream.truncate(2**40)
    with pytest.raises(
        ModelError, match=r"sparse: the size in bytes must be at most 2147483648, got 1099511627776; raise it with .*file_bytes"
    ):
        read_bytes(tmp_path / "sparse")
    with pytest.raises(ModelError, match="json_bytes"):
        read_bytes(tmp_path / "sparse", Limits(json_bytes=5), "json_bytes")
    if sys.platform != "win32":
        assert len(map_file(tmp_path / "sparse")) == 2**40


def test_paths_of_callers_are_checked_and_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert user_path("model", "~/x") == tmp_path / "x"
    assert user_path("model", tmp_path) == tmp_path
    for wrong in (3, None, ["a"], b"x", "nul\0"):
        with pytest.raises(ConfigError, match="model must be a path, got "):
            user_path("model", wrong)
    with pytest.raises(ConfigError, match=r"model must be a path, got ''; pass '\.'"):
        user_path("model", "")
    with pytest.raises(ConfigError, match="whose home folder is unknown"):
        user_path("model", "~nobody-of-this-name/x")


def test_the_reader_closes_what_it_refuses(tmp_path: Path) -> None:
    (tmp_path / "pointer").write_bytes(LFS)
    for _ in range(20):
        with pytest.raises(ModelError):
            open_file(tmp_path / "pointer")
    # a file that was left open warns when it is collected, and warnings are errors here
    gc.collect()


def test_a_part_of_a_file_is_read_into_memory_and_never_less_than_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"0123456789")
    assert read_range(tmp_path / "file", 2, 3) == b"234"
    assert file_size(tmp_path / "file") == 10
    with pytest.raises(WeightsError, match=r"file: was cut short while in use; it ends at byte 10, before 12; fetch it again"):
        read_range(tmp_path / "file", 8, 4, WeightsError)


def test_a_file_that_a_caller_names_is_said_to_be_missing_and_no_part_of_a_model(tmp_path: Path) -> None:
    """A LoRA or an array of latents is fetched with no model."""
    with pytest.raises(MissingFileError, match=r"x\.npy: must be an array's file, got a name that is not there; correct the path$"):
        read_npy(tmp_path / "x.npy")
    with pytest.raises(ModelError, match=r"must be an array's file, got a folder; pass a file$"):
        read_npy(tmp_path)
    with pytest.raises(
        MissingFileError, match=r"x\.safetensors:abc: must be a LoRA's file, got a name that is not there; correct the path$"
    ):
        open_lora(tmp_path / "x.safetensors:abc", open_model("nano"))
