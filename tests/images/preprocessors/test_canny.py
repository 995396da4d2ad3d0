"""Canny's edges are OpenCV's, byte for byte."""

import hashlib
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdrt.arrays import U8
from sdrt.errors import ConfigError
from sdrt.images import canny
from sdrt.images.preprocessors.canny import canny_pixels

# SHA-256, its first 12 digits, of cv2.Canny(pixels, low, high) of opencv-python-headless 5.0.0 and 4.10.0.84, which agree, on picture(seed,
# height, width) in colours and on its first channel alone.
# fmt: off
VECTORS: dict[tuple[int, int, int, float, float], tuple[str, str]] = {
    (0, 48, 64, 100, 200): ("922abe31c309", "c3f3bd3c3d4d"),
    (1, 33, 57, 100, 200): ("22f82f22a9d5", "0dbdc180c574"),
    (2, 128, 96, 60, 120): ("3859502a5c6c", "8dcda9abc957"),
    (4, 64, 64, 20, 60): ("ae37a157f1bd", "a25a61983b44"),
    (5, 5, 7, 0, 0): ("09e0625cfebd", "55053f51282a"),
    (3, 1, 30, 50.7, 50.7): ("aaa446749b03", "8bcd23c7c719"),
    (6, 30, 1, 10, 300): ("850bea0ddfc8", "0679246d6c42"),
    (1, 200, 120, 0, 255): ("fa2ead053f26", "b41ac4e4d982"),
    (8, 96, 128, 30, 90): ("918ea9a91fc2", "a819915517c3"),
}
# fmt: on


def picture(seed: int, height: int, width: int) -> U8:
    """Blocks of colour, some with soft edges, and a little noise: whole numbers alone, so that it is the same everywhere."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 256, (-(-height // 8) + 1, -(-width // 8) + 1, 3)).repeat(8, axis=0).repeat(8, axis=1)
    for reach in range(1, 1 + seed % 3):
        blocks = (blocks[:-reach] + blocks[reach:]) // 2
        blocks = (blocks[:, :-reach] + blocks[:, reach:]) // 2
    pixels: U8 = np.clip(blocks[:height, :width] + rng.integers(-9, 10, (height, width, 3)), 0, 255).astype(np.uint8)
    return pixels


def mark(edges: U8) -> str:
    return hashlib.sha256(np.ascontiguousarray(edges).tobytes()).hexdigest()[:12]


@pytest.mark.parametrize(("case", "marks"), VECTORS.items(), ids=str)
def test_edges_equal_opencv(case: tuple[int, int, int, float, float], marks: tuple[str, str]) -> None:
    seed, height, width, low, high = case
    pixels = picture(seed, height, width)
    grey = pixels[:, :, :1].repeat(3, axis=2)
    assert (mark(canny_pixels(pixels, low, high)), mark(canny_pixels(grey, low, high))) == marks
    np.testing.assert_array_equal(np.asarray(canny(pixels, low, high)), canny_pixels(pixels, low, high))
    np.testing.assert_array_equal(np.asarray(canny(pixels[:, :, 0].copy(), low, high)), canny_pixels(grey, low, high))


@given(st.integers(0, 2**32), st.integers(3, 40), st.integers(3, 40))
def test_weak_edges_stay_where_they_lead_to_a_strong_one(seed: int, height: int, width: int) -> None:
    pixels = picture(seed, height, width)
    weak, both, strong = (canny_pixels(pixels, *each) > 0 for each in ((60, 60), (60, 200), (200, 200)))
    reached = strong
    while True:
        around = np.pad(reached, 1)
        grown = np.any([around[y : y + height, x : x + width] for y in range(3) for x in range(3)], axis=0) & weak
        if (grown == reached).all():
            break
        reached = grown
    np.testing.assert_array_equal(both, reached)


def test_thresholds_that_fall_are_refused() -> None:
    with pytest.raises(ConfigError, match=re.escape("low must be at most high, got 200 and 100; exchange them")):
        canny(picture(0, 8, 8), 200, 100)
