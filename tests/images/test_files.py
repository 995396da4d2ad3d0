"""Pictures get good names, and none takes another's place."""

import errno
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sdrt.errors import ImageError
from sdrt.images import grid, picture_name, save_new_png
from sdrt.images.files import check_file, check_folder, make_folder
from sdrt.images.png import read_text, save_png


@pytest.mark.parametrize(
    ("prompt", "name"),
    [
        ("a red circle", "a_red_circle.93.png"),
        ("../../etc/passwd", "etc_passwd.93.png"),
        ("!?", "picture.93.png"),
        ("円と四角", "円と四角.93.png"),
        ("x" * 500, "x" * 120 + ".93.png"),
        ("円" * 200, "円" * 40 + ".93.png"),
    ],
)
def test_file_names_are_good_on_every_file_system(prompt: str, name: str) -> None:
    assert picture_name(prompt, 93) == name


def colour(value: int) -> Image.Image:
    return Image.new("RGB", (4, 6), (value, 0, 0))


@pytest.fixture(params=[True, False], ids=["hard links", "no hard links"])
def _links(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if not request.param:

        def refused(self: Path, target: Path) -> None:
            raise PermissionError("this file system has no hard links")

        monkeypatch.setattr(Path, "hardlink_to", refused)


@pytest.mark.usefixtures("_links")
def test_a_taken_name_is_numbered(tmp_path: Path) -> None:
    files = [save_new_png(colour(k), tmp_path / "a.7.png", {"k": str(k)}) for k in range(3)]
    assert [file.name for file in files] == ["a.7.png", "a.7-2.png", "a.7-3.png"]
    assert [read_text(file)["k"] for file in files] == ["0", "1", "2"]
    assert sorted(tmp_path.iterdir()) == sorted(files)


@pytest.mark.usefixtures("_links")
def test_two_threads_that_want_one_name_get_two(tmp_path: Path) -> None:
    start = threading.Barrier(8)

    def save(k: int) -> None:
        start.wait()
        save_new_png(colour(k), tmp_path / "a.png", {"k": str(k)})

    threads = [threading.Thread(target=save, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(read_text(file)["k"] for file in tmp_path.iterdir()) == [str(k) for k in range(8)]


def test_a_folder_that_is_not_there_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"a\.png: cannot be written \(No such file or directory\); choose another place"):
        save_new_png(colour(0), tmp_path / "no" / "a.png", {})


@pytest.mark.parametrize(("count", "size"), [(1, (4, 6)), (2, (9, 6)), (3, (9, 13)), (4, (9, 13)), (5, (14, 13)), (9, (14, 20))])
def test_a_grid_is_as_square_as_its_number_allows(count: int, size: tuple[int, int]) -> None:
    sheet = grid([colour(k + 1) for k in range(count)], gap=1)
    assert sheet.size == size
    reds = np.unique(np.asarray(sheet)[..., 0])
    assert reds.tolist() == [*range(1, count + 1), *([255] if count > 1 else [])]


@pytest.mark.parametrize("title", ["con", "PRN", "aux", "nul", "com1", "COM9", "lpt0", "com²"])
def test_names_of_windows_devices_are_prefixed(title: str) -> None:
    """Windows takes ``con.93.png`` for the console, whatever follows the first dot."""
    assert picture_name(title, 93) == f"_{title.lower()}.93.png"
    assert picture_name(f"{title} art", 93) == f"{title.lower()}_art.93.png"


def test_what_can_be_written_is_found_out_without_a_trace(tmp_path: Path) -> None:
    check_folder(tmp_path)
    check_file(tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []
    assert make_folder(tmp_path / "a" / "b") == [tmp_path / "a" / "b", tmp_path / "a"]
    assert make_folder(tmp_path / "a" / "b") == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no/a.png", "no: no such folder; make it first"),
        ("folder", "folder: cannot be written (it is a folder); choose another name"),
        ("file/a.png", "file: no such folder"),
        ("x" * 300, "cannot be written (File name too long)"),
        ("a\0.png", "cannot be written (no file can have this name)"),
        ("loop/a.png", "loop"),
    ],
)
def test_what_cannot_be_written_is_found_out_before(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(ImageError) as raised:
        check_file(tmp_path / name)
    assert message in str(raised.value)


def test_a_read_only_folder_is_found_out_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(self: Path, *_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "open", refused)
    for check in (check_folder, check_file):
        with pytest.raises(ImageError, match=r"cannot be written \(Read-only file system\); choose another place"):
            check(tmp_path / "a.png" if check is check_file else tmp_path)


@pytest.mark.parametrize("folder", ["file", "file/inside", "a\0b", "x" * 300, "loop", 3, None])
def test_what_cannot_be_a_folder_is_one_line(tmp_path: Path, folder: object) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(ImageError, match=r"cannot be made a folder|a folder must be a path"):
        make_folder(tmp_path / folder if isinstance(folder, str) and "\0" not in folder else folder)  # type: ignore[arg-type]


RED = Image.new("RGB", (4, 4), "red")


@pytest.mark.parametrize(
    ("image", "name", "text", "message"),
    [
        (np.zeros((4, 4, 3), np.uint8), "a.png", {}, "image must be a PIL image, got ndarray"),
        (None, "a.png", {}, "image must be a PIL image, got NoneType"),
        (Image.new("RGB", (0, 4)), "a.png", {}, "image must have pixels, got a picture of 0x4"),
        (Image.new("LAB", (4, 4)), "a.png", {}, "image cannot be written as PNG (cannot write mode LAB as PNG)"),
        (RED, 3, {}, "file must be a path, got 3"),
        (RED, "a\0.png", {}, "file must be a path, got 'a\\x00.png'"),
        (RED, "x" * 300, {}, "cannot be written (File name too long)"),
        (RED, "a.png", {"sdrt": 3}, "text must be a mapping whose values are each"),
        (RED, "a.png", {"sdrt": "\udcff"}, "text must be a mapping whose values are each"),
        (RED, "a.png", ["sdrt"], "text must be a mapping"),
        (RED, "a.png", {"": "a"}, "a key of text must be"),
        (RED, "a.png", {"x" * 80: "a"}, "a key of text must be"),
        (RED, "a.png", {"円": "a"}, "a key of text must be ASCII"),
        (RED, "a.png", {"a\0b": "a"}, "a key of text must be ASCII"),
    ],
)
def test_what_cannot_be_saved_is_one_line_and_leaves_nothing(tmp_path: Path, image: Any, name: Any, text: Any, message: str) -> None:
    for save in (save_png, save_new_png):
        with pytest.raises(ImageError) as raised:
            save(image, tmp_path / name if isinstance(name, str) and "\0" not in name else name, text)
        assert message in str(raised.value)
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("title", "seed"), [(b"a", 1), (None, 1), ("a", "1"), ("a", 1.5), ("a", None), ("a", 10**300), ("\udcff", 1)])
def test_what_is_no_name_is_one_line(title: Any, seed: Any) -> None:
    with pytest.raises(ImageError, match="must be"):
        picture_name(title, seed)


@pytest.mark.parametrize("images", [[], None, [None], ["a.png"], [RED, 3], Image.new("RGB", (4, 4)), [Image.new("RGB", (0, 4))]])
def test_what_is_no_grid_is_one_line(images: Any) -> None:
    with pytest.raises(ImageError, match="must"):
        grid(images)
    for gap in (-1, 1.5, "4", 10**9):
        with pytest.raises(ImageError, match="gap must be a whole number from 0 to 10000"):
            grid([RED, RED], gap)  # type: ignore[arg-type]


def test_a_grid_takes_pictures_of_any_mode() -> None:
    modes = ("1", "L", "P", "RGBA", "CMYK", "I;16", "LA")
    assert grid([RED, *(Image.new(mode, (4, 4)) for mode in modes)]).size == (20, 20)
    assert grid(iter([RED, RED])).size == (12, 4)
