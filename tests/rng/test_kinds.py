"""Whatever is passed to a stream, or stands in a state, is read, or refused by an SdrtError."""

import copy
import json
import random
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import sdrt.rng
from sdrt.errors import ArrayContractError, ConfigError, SdrtError
from sdrt.rng import BrownianTree
from sdrt.rng.torch_stream import TorchStream

every_stream = pytest.mark.parametrize("name", sdrt.rng.names())

# Values of every kind that JSON or a caller can hold.
VALUES: list[Any] = [None, True, 0, -1, 3, 2.5, float("nan"), float("inf"), 10**30, -(10**30), 10**5000, "", "5", "nan", [], [1], {}]
VALUES += [{"a": 1}, b"5", [None], [10**30], ["5"], np.float32(2.5), np.array(3.5), np.zeros(3), object(), set()]


class Raising:
    """An object that fails whatever it is asked."""

    def __index__(self) -> int:
        raise KeyError("index")

    def __repr__(self) -> str:
        raise KeyError("repr")


@pytest.mark.parametrize("value", [*VALUES, Raising()], ids=lambda value: type(value).__name__)
@pytest.mark.parametrize(
    "call",
    [
        lambda value: sdrt.rng.stream(value, 0),
        lambda value: sdrt.rng.stream("torch", value),
        lambda value: sdrt.rng.stream("numpy", value),
        lambda value: sdrt.rng.stream("nv", 1, threads=value),
        lambda value: sdrt.rng.stream("nv", 1).normal(value),
        lambda value: sdrt.rng.stream("torch", 1).normal((2, value)),
        lambda value: sdrt.rng.stream("torch", 1).normal(3, value),
        lambda value: sdrt.rng.stream("numpy", 1).advance(value),
        lambda value: sdrt.rng.stream("nv", 1).advance(value),
        lambda value: sdrt.rng.from_arrays(value).normal(3),
        lambda value: sdrt.rng.from_arrays([value]),
        lambda value: sdrt.rng.from_state(value),
        lambda value: sdrt.rng.canonical_name(value),
        lambda value: TorchStream(0).uniform(value),
        lambda value: TorchStream(0).integers(0, value, 3),
        lambda value: TorchStream(0).permutation(value),
        lambda value: BrownianTree(value, 0.1, 1.0, 3),
        lambda value: BrownianTree((2, 3), value, 20.0, 3),
        lambda value: BrownianTree((2, 3), 0.1, 1.0, value),
        lambda value: BrownianTree((2, 3), 0.1, 1.0, 3).increment(0.5, value),
        lambda value: BrownianTree((2, 3), 0.1, 1.0, 3).normal_between(0.5, value),
    ],
)
def test_any_value_is_taken_or_refused_in_one_line(call: Callable[[Any], object], value: Any) -> None:
    message = ""
    try:
        call(value)
    except SdrtError as error:
        message = str(error)
    assert "\n" not in message
    assert len(message) < 600


def mutated(value: Any, rnd: random.Random) -> Any:
    """One entry somewhere in a JSON value, replaced or dropped."""
    if isinstance(value, dict) and value and rnd.random() < 0.85:
        key = rnd.choice(list(value))
        if rnd.random() < 0.2:
            return {name: entry for name, entry in value.items() if name != key}
        return {**value, key: mutated(value[key], rnd)}
    if isinstance(value, list) and value and rnd.random() < 0.6:
        at = rnd.randrange(len(value))
        return [*value[:at], mutated(value[at], rnd), *value[at + 1 :]]
    return copy.copy(rnd.choice(VALUES))


@every_stream
def test_a_mutated_state_is_read_or_refused(name: str) -> None:
    rnd = random.Random(name)
    whole = json.loads(json.dumps(sdrt.rng.stream(name, 5).state))
    refused = 0
    for _ in range(300):
        state = mutated(whole, rnd)
        stream = sdrt.rng.stream(name, 5)
        for restore in (sdrt.rng.from_state, stream.restore):
            try:
                restore(state)
            except ConfigError:
                refused += 1
        assert np.isfinite(stream.normal(5)).all()
    assert refused > 300


def test_a_shape_may_be_of_numpys_integers() -> None:
    expected = sdrt.rng.stream("torch", 1).normal((2, 3))
    shapes: list[Any] = [(np.int64(2), np.uint8(3)), np.array([2, 3]), [2, 3], iter((2, 3))]
    for shape in shapes:
        np.testing.assert_array_equal(sdrt.rng.stream("torch", np.int32(1)).normal(shape), expected)


@pytest.mark.parametrize("shape", [(10**6, 10**6), 2**31, (2**63, 2**63), (1,) * 33])
@every_stream
def test_a_shape_beyond_any_memory_is_refused_at_once(name: str, shape: Any) -> None:
    with pytest.raises(ConfigError, match="noise"):
        sdrt.rng.stream(name, 0).normal(shape)


@pytest.mark.parametrize("name", ["nv", "NV", "nvidia", "NVIDIA", "Nvidia"])
def test_names_are_read_in_any_case_and_as_others_write_them(name: str) -> None:
    np.testing.assert_array_equal(sdrt.rng.stream(name, 5).normal(4), sdrt.rng.stream("nv", 5).normal(4))
    assert sdrt.rng.canonical_name(name) == "nv"


def test_what_is_no_array_is_named() -> None:
    with pytest.raises(ArrayContractError, match="noise must be a numpy array of floats or a list of them, got 3"):
        sdrt.rng.from_arrays(3)  # type: ignore[arg-type]


def test_a_value_too_large_for_the_draw_is_refused() -> None:
    stream = sdrt.rng.from_arrays(np.array([1e300]))
    with pytest.raises(ArrayContractError, match="array 0 as float32 holds 1 values of 1 that are NaN or infinite"):
        stream.normal(1)
    assert stream.normal(1, "float64") == 1e300


@every_stream
def test_strict_floating_point_and_warnings_change_nothing(name: str) -> None:
    expected = [sdrt.rng.stream(name, 3).normal(size, dtype) for size in (5, 40) for dtype in ("float32", "float64", "float16")]
    tree = BrownianTree((3, 4), 0.03, 14.6, 5).normal_between(14.6, 2.0)
    with np.errstate(all="raise"), warnings.catch_warnings():
        warnings.simplefilter("error")
        strict = [sdrt.rng.stream(name, 3).normal(size, dtype) for size in (5, 40) for dtype in ("float32", "float64", "float16")]
        np.testing.assert_array_equal(BrownianTree((3, 4), 0.03, 14.6, 5).normal_between(14.6, 2.0), tree)
    for ours, theirs in zip(strict, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
