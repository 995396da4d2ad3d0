"""Pictures in labelled rows and columns: each in its place, each label whole, outside the pictures, and readable."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sdrt.errors import ImageError
from sdrt.images import labelled_grid
from sdrt.limits import Limits


def colour(value: int, width: int = 64, height: int = 48) -> Image.Image:
    return Image.new("RGB", (width, height), (value, 0, 200))


def ink(sheet: Image.Image) -> np.ndarray:
    """Where letters are."""
    dark: np.ndarray = np.asarray(sheet).max(axis=2) < 100
    return dark


labels = st.lists(st.text(st.characters(max_codepoint=0x17F, exclude_categories=["Cc", "Cs"]), max_size=80), min_size=1, max_size=3)


@settings(max_examples=15)
@given(rows=labels, columns=labels)
def test_each_picture_is_in_its_place_and_no_letter_on_it(rows: list[str], columns: list[str]) -> None:
    count = len(rows) * len(columns)
    sheet = labelled_grid([colour(100 + k) for k in range(count)], rows, columns)
    pixels = np.asarray(sheet)
    for k in range(count):
        where = np.argwhere((pixels == (100 + k, 0, 200)).all(axis=2))
        (top, left), (bottom, right) = where.min(axis=0), where.max(axis=0)
        assert (bottom - top + 1, right - left + 1, len(where)) == (48, 64, 48 * 64), "whole"
        row, column = divmod(k, len(columns))
        if row:
            assert top > np.argwhere((pixels == (100 + k - len(columns), 0, 200)).all(axis=2))[:, 0].max()
        if column:
            assert left > np.argwhere((pixels == (100 + k - 1, 0, 200)).all(axis=2))[:, 1].max()


def test_labels_stand_beside_and_above_and_take_no_room_without_text() -> None:
    pictures = [colour(150)] * 4
    plain = labelled_grid(pictures, ["", ""], ["", ""])
    assert plain.size == (2 * 64 + 4, 2 * 48 + 4)
    assert not ink(plain).any()
    above = labelled_grid(pictures, ["", ""], ["seed: 1", "seed: 2"])
    assert (above.width, above.height > plain.height) == (plain.width, True)
    halves = np.split(ink(above)[: above.height - plain.height], [66], axis=1)
    assert all(half.sum() > 30 for half in halves), "a label above each column"
    beside = labelled_grid(pictures, ["seed: 1", "seed: 2"], ["", ""])
    assert (beside.width > plain.width, beside.height) == (True, plain.height)
    assert ink(beside)[:, : beside.width - plain.width].sum() > 60


def test_letters_grow_with_the_pictures_and_stay_readable() -> None:
    heights = []
    for size in (16, 256, 1024):
        rows = np.flatnonzero(ink(labelled_grid([colour(150, size, size)], columns=["H"])).any(axis=1))
        heights.append(len(rows))
    assert heights[0] >= 8
    assert heights == sorted(set(heights))


def test_a_long_label_is_wrapped_and_its_row_has_room_for_it() -> None:
    sheet = labelled_grid([colour(150)] * 2, ["word " * 30, "unbreakable" * 20])
    assert sheet.width < 64 + 300
    assert sheet.height > 2 * 48 + 4


def test_pictures_of_several_sizes_and_modes_are_in_the_middle() -> None:
    sheet = labelled_grid([colour(150, 20, 60), Image.new("L", (40, 20), 90)], columns=["", ""])
    assert sheet.size == (2 * 40 + 4, 60)
    assert np.asarray(sheet)[30, [10, 20, 44, 83]].tolist() == [[150, 0, 200]] * 2 + [[90, 90, 90]] * 2


@pytest.mark.parametrize(
    ("images", "options", "message"),
    [
        ([], {}, r"images must be 1 times 1 pictures, got 0"),
        ([colour(1)] * 3, {"rows": ["a", "b"]}, r"images must be 2 times 1 pictures, got 3; pass one for each row and column"),
        ([3], {}, r"each of images must be a PIL image, got int"),
        ([colour(1)], {"rows": [3]}, r"rows must be a list"),
        ([colour(1)] * 9, {"rows": ["a"] * 9, "limits": Limits(pixels=10_000)}, r"of the sheet must be at most 10000"),
    ],
)
def test_what_is_no_grid_is_one_line(images: Any, options: Any, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        labelled_grid(images, **options)
