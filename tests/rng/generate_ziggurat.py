"""Read the tables of numpy's ziggurat method out of numpy, and write them to sdrt/rng/ziggurat.bin.

    python -m tests.rng.generate_ziggurat

A state of PCG64 is chosen so that its next word is a given one: the value that `Generator` makes of it shows the width of a layer, and
whether it takes further words shows where the layer ends. Written with numpy 2.4.6; the tables have been the same since numpy 1.17.
"""

from pathlib import Path
from typing import Any

import numpy as np

import sdrt.rng

FILE = Path(sdrt.rng.__file__).with_name("ziggurat.bin")
MULTIPLIER = 0x2360ED051FC65DA44385DF649FCCF645
INVERSE = pow(MULTIPLIER, -1, 2**128)


def probe(word: int, dtype: Any) -> tuple[float, bool]:
    """Return the normal that a word begins, and whether it takes that word alone."""
    source = np.random.PCG64(0)
    # the step after this one leads to the state that is the word itself, and whose output is its lower half, turned by nothing
    before = (word - 1) * INVERSE % 2**128
    held = dtype == np.float32
    state: Any = {"bit_generator": "PCG64", "state": {"state": before, "inc": 1}, "has_uint32": 0, "uinteger": 0}
    if held:
        state |= {"has_uint32": 1, "uinteger": word}
    source.state = state
    value = float(np.random.Generator(source).standard_normal(dtype=dtype))
    after: Any = source.state
    alone = after["state"]["state"] == (before if held else word)
    return value, alone


def table(bits: int, dtype: Any) -> tuple[list[float], list[int]]:
    """Return the width of a place and the limit of each layer."""
    widths, limits = [], []
    for layer in range(256):
        widths.append(probe(layer | 1 << 9, dtype)[0])
        low, high = 0, 2**bits
        while low < high:
            middle = (low + high) // 2
            if probe(layer | middle << 9, dtype)[1]:
                low = middle + 1
            else:
                high = middle
        limits.append(low)
    return widths, limits


def content() -> bytes:
    wide, narrow = table(52, np.float64), table(23, np.float32)
    arrays = np.array(wide[0], "<f8"), np.array(wide[1], "<u8"), np.array(narrow[0], "<f4"), np.array(narrow[1], "<u4")
    return b"".join(array.tobytes() for array in arrays)


if __name__ == "__main__":
    FILE.write_bytes(content())
