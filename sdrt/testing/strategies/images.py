"""Pictures, masks and sizes."""

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

__all__ = ["masks", "pictures", "sizes"]

U8 = npt.NDArray[np.uint8]


def sizes(least: int = 64, most: int = 1024, divisor: int = 8) -> st.SearchStrategy[tuple[int, int]]:
    """Draw (height, width): multiples of ``divisor``, the usual ones among them."""
    side = st.integers(-(-least // divisor), most // divisor).map(lambda count: count * divisor)
    usual = [(h, w) for h, w in ((512, 512), (768, 512), (512, 768), (1024, 1024)) if least <= min(h, w) <= max(h, w) <= most]
    usual = [size for size in usual if not any(side % divisor for side in size)]
    return st.one_of(st.tuples(side, side), st.sampled_from(usual)) if usual else st.tuples(side, side)


def pictures(max_side: int = 96, channels: int = 3) -> st.SearchStrategy[U8]:
    """Draw u8[h,w,channels] of any size: noise, one colour, a ramp, or stripes of one pixel."""
    side = st.integers(1, max_side)
    return st.builds(
        _picture, side, side, st.just(channels), st.integers(0, 2**32 - 1), st.sampled_from(["noise", "plain", "ramp", "stripes"])
    )


def _picture(h: int, w: int, channels: int, seed: int, kind: str) -> U8:
    chosen = np.random.RandomState(seed)
    if kind == "noise":
        return chosen.randint(0, 256, (h, w, channels)).astype(np.uint8)
    colour, other = chosen.randint(0, 256, (2, channels)).astype(np.float64)
    weight = {"plain": np.zeros(w), "ramp": np.linspace(0, 1, w), "stripes": np.arange(w) % 2}[kind]
    row = colour + weight[:, None] * (other - colour)
    return np.broadcast_to(np.rint(row), (h, w, channels)).astype(np.uint8)


def masks(height: int, width: int) -> st.SearchStrategy[U8]:
    """Draw u8[height,width]: nothing, everything, one or more rectangles, soft ones too, or single pixels."""
    corner = st.tuples(st.integers(0, height - 1), st.integers(0, width - 1))
    rectangle = st.tuples(corner, corner, st.sampled_from([255, 255, 128, 1]))

    def make(base: int, rectangles: list[tuple[tuple[int, int], tuple[int, int], int]]) -> U8:
        mask = np.full((height, width), base, np.uint8)
        for (top, left), (bottom, right), value in rectangles:
            (y, y_end), (x, x_end) = sorted((top, bottom)), sorted((left, right))
            mask[y : y_end + 1, x : x_end + 1] = value
        return mask

    return st.builds(make, st.sampled_from([0, 0, 0, 255]), st.lists(rectangle, max_size=4))
