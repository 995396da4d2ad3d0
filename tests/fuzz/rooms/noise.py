"""Noise streams, their states, and Brownian paths."""

import json
from typing import Any

import numpy as np

from sdrt import rng
from tests.fuzz.damage import damaged_json
from tests.fuzz.drawing import Draw
from tests.fuzz.values import FLAG, NUMBER, WHOLE, Declared, any_value, ascii_of, has_nan, near, wrong_kinds

# numpy's and torch's own take a flag for 0 or 1
SEED = Declared("a whole number or a flag", lambda value: WHOLE.admits(value) or FLAG.admits(value))


def streams(draw: Draw) -> str | None:
    """Streams by name, and what they are asked for."""
    name: Any = draw.choice(rng.names()) if draw.chance(0.7) else any_value(draw)
    seed: Any = draw.choice((0, 1, 2**32, 2**63, 2**64, -1)) if draw.chance(0.4) else any_value(draw)
    options = {draw.choice(("threads", "unknown")): any_value(draw)} if draw.chance(0.2) else {}
    draw.note(f"stream({ascii_of(name)}, {ascii_of(seed)}, {ascii_of(options)})")
    stream = rng.stream(name, seed, **options)
    if wrong := wrong_kinds({"seed": seed, **options}, {"seed": SEED, "threads": WHOLE}):
        return wrong
    shape: Any = (
        draw.choice(((1, 4, 2, 2), 5, (), 0, (0, 3), -1, (2, -1), 16.0, (1.5,), 10**12, (10**6, 10**6)))
        if draw.chance(0.7)
        else any_value(draw)
    )
    dtype: Any = (
        "float32" if draw.chance(0.5) else draw.choice(("float64", "float16", "bfloat16", "int8", "x", None, np.float32, any_value(draw)))
    )
    draw.note(f"normal({ascii_of(shape)}, {ascii_of(dtype)})")
    found = stream.normal(shape, dtype)
    stream.advance(3)
    return "NaN drawn" if has_nan(found) else None


def states(draw: Draw) -> str | None:
    """States that were stored, and came back as others."""
    stream = rng.stream(draw.choice(rng.names()), 3)
    stream.normal(draw.randint(1, 20))
    if draw.chance(0.1):
        state = any_value(draw)
        draw.note(ascii_of(state))
    else:
        data, _ = damaged_json(draw, json.loads(json.dumps(stream.state)))
        try:
            state = json.loads(data.decode("utf-8-sig"))
        except (ValueError, RecursionError):
            return None
    if draw.chance(0.5):
        restored: Any = rng.from_state(state)
    else:
        stream.restore(state)
        restored = stream
    return "NaN drawn" if has_nan(restored.normal(7)) else None


def arrays(draw: Draw) -> str | None:
    """Streams of arrays."""
    good = np.ones((1, 4, 2, 2), np.float32)
    bad: tuple[Any, ...] = (
        np.array([np.nan]),
        np.ones(3, np.int32),
        np.ones((0, 2)),
        [good, good],
        [],
        good.astype(object),
        good.astype(np.complex64),
    )
    pieces: Any = draw.choice((good, *bad)) if draw.chance(0.6) else any_value(draw)
    draw.note(ascii_of(pieces))
    stream = rng.from_arrays(pieces)
    found = stream.normal(draw.choice(((1, 4, 2, 2), (4, 2, 2), 3, (5,))))
    return "NaN drawn" if has_nan(found) else None


def brownian(draw: Draw) -> str | None:
    """Brownian paths."""
    good: dict[str, Any] = {"shape": (4, 2), "t0": 0.03, "t1": 14.6, "seed": 3}
    given = dict(good)
    for name in draw.some(list(good), 2):
        given[name] = near(draw, good[name]) if draw.chance(0.4) else any_value(draw)
        draw.note(f"{name} = {ascii_of(given[name])}")
    tree = rng.BrownianTree(**given)
    times = [draw.choice((14.6, 2.0, 0.03, any_value(draw))) for _ in range(2)]
    draw.note(ascii_of(times))
    found = draw.choice((tree.increment, tree.normal_between))(*times)
    kinds = {"t0": NUMBER, "t1": NUMBER}
    return "NaN drawn" if has_nan(found) else wrong_kinds(given, kinds)


GENERATORS = {"noise-streams": streams, "noise-states": states, "noise-arrays": arrays, "brownian": brownian}
