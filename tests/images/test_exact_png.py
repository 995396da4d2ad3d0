"""The own PNG encoder: Pillow reads back what was written, and the bytes depend on nothing but that."""

import hashlib
import io
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import sdrt
from sdrt.errors import ImageError
from sdrt.images.deflate import deflate
from sdrt.images.exact_png import exact_png
from sdrt.images.huffman import canonical_codes, code_lengths

MODES = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}


@st.composite
def byte_arrays(draw: st.DrawFn) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    """Runs of all lengths, of few or many values."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    values = random.integers(0, draw(st.sampled_from([1, 2, 5, 256])), draw(st.integers(0, 400)), np.uint8)
    return np.repeat(values, random.integers(1, draw(st.sampled_from([2, 5, 600])), len(values)))


@settings(max_examples=60)
@given(byte_arrays())
def test_zlib_reads_what_was_deflated(data: np.ndarray[tuple[int], np.dtype[np.uint8]]) -> None:
    assert zlib.decompress(deflate(data)) == data.tobytes()


@pytest.mark.parametrize("count", [3, 4, 5, 258, 259, 260, 261, 262, 263, 516, 517, 518, 519, 2**18 - 1, 2**18, 2**18 + 1, 600_000])
def test_runs_of_every_length(count: int) -> None:
    """Where a match begins to pay, where it is cut, and where a block ends."""
    data = np.full(count, 7, np.uint8)
    assert zlib.decompress(deflate(data)) == data.tobytes()


@given(st.lists(st.integers(0, 10**6), min_size=2, max_size=286), st.sampled_from([9, 15]))
def test_code_lengths_are_a_whole_code(counts: list[int], longest: int) -> None:
    """Kraft's sum is 1, nothing is longer than allowed, and what is commoner is not longer."""
    lengths = code_lengths(counts, longest)
    used = [length for length in lengths if length]
    assert max(used, default=0) <= longest
    if len(used) > 1:
        assert sum(2.0**-length for length in used) == 1
    pairs = sorted((count, -length) for count, length in zip(counts, lengths, strict=True) if count)
    assert [length for _, length in pairs] == sorted(length for _, length in pairs)


def test_no_code_begins_another() -> None:
    lengths = code_lengths([1, 1, 2, 3, 5, 8, 13, 21], 15)
    words = [f"{code:0{length}b}"[::-1] for code, length in zip(canonical_codes(lengths), lengths, strict=True)]
    assert not any(a != b and b.startswith(a) for a in words for b in words)


@settings(max_examples=30)
@given(st.sampled_from(list(MODES)), st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1), st.text(max_size=20))
def test_pillow_reads_the_same_picture_and_texts(mode: str, height: int, width: int, seed: int, text: str) -> None:
    random = np.random.default_rng(seed)
    pixels = np.cumsum(random.integers(-3, 4, (height, width, MODES[mode])), axis=1).astype(np.uint8)
    image = Image.fromarray(pixels.squeeze(-1) if mode == "L" else pixels, mode)
    texts = {"parameters": text.replace("\0", ""), "sdrt": "{}"}
    with Image.open(io.BytesIO(exact_png(image, texts))) as found:
        assert (found.mode, found.size, found.tobytes()) == (image.mode, image.size, image.tobytes())
        assert found.text == texts  # type: ignore[attr-defined]


def test_every_filter_is_used_and_undone() -> None:
    """Rows of noise, of slopes to the right, downwards, in both directions, and of an edge."""
    random = np.random.default_rng(3)
    y, x = np.mgrid[:40, :64].astype(np.int64)
    rows = [random.integers(0, 256, (40, 64)), 3 * x + random.integers(0, 2, (40, 64)), 5 * y + 40 * (x % 7), 2 * x + 3 * y, 90 * (x > y)]
    blended = np.cumsum(random.integers(-2, 3, (40, 64)), axis=0) + np.cumsum(random.integers(-2, 3, (40, 64)), axis=1)
    pixels = np.concatenate([*rows, blended]).astype(np.uint8)
    content = exact_png(Image.fromarray(pixels), {})
    [body] = [content[at + 4 : at + 4 + int.from_bytes(content[at - 4 : at], "big")] for at in (content.index(b"IDAT"),)]
    assert {*zlib.decompress(body)[:: 1 + pixels.shape[1]]} == {0, 1, 2, 3, 4}
    with Image.open(io.BytesIO(content)) as found:
        np.testing.assert_array_equal(np.asarray(found), pixels)


def test_the_bytes_are_always_these() -> None:
    """One digest, on every machine and with every zlib."""
    y, x = np.mgrid[:90, :70]
    pixels = np.stack([x * y // 7, 3 * x + y, y // 20 * 40], axis=-1).astype(np.uint8)
    content = exact_png(Image.fromarray(pixels), {"parameters": "a café", "sdrt": "漢字"})
    assert hashlib.sha256(content).hexdigest() == "8a4f1e03cd5b38b7553dd4147df9416824570dc8f08d105b7ab90ceeb1c3e6be"


def test_files_are_about_as_small_as_pillows() -> None:
    """Of a drawn picture; zlib finds patterns that repeat, which no drawn picture has."""
    with sdrt.load("nano") as pipe:
        [image] = pipe.generate("a red circle", num_inference_steps=4, seed=7).images
    stream = io.BytesIO()
    image.save(stream, "png")
    assert len(exact_png(image, {})) < 1.1 * len(stream.getvalue())


def test_another_mode_is_refused() -> None:
    with pytest.raises(ImageError, match="image must be of mode L, RGB, LA, RGBA for an exact PNG, got CMYK; convert it to RGB first"):
        exact_png(Image.new("CMYK", (2, 2)), {})


def test_exact_results_are_saved_by_it(tmp_path: Path) -> None:
    with sdrt.load("nano", numerics="exact") as pipe:
        result = pipe.generate("a red circle", num_inference_steps=1, seed=5)
    [file] = result.save(tmp_path)
    assert file.read_bytes() == exact_png(result.images[0], result.texts[0])
    assert sdrt.Settings.from_file(file).numerics == "exact"
