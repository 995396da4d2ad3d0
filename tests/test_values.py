"""The gate for values: each kind admits what it declares, as a plain Python value, and refuses everything else in one line."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdrt.errors import ConfigError, WeightsError
from sdrt.values import (
    Anything,
    Choice,
    Either,
    FilePath,
    Flag,
    Function,
    Instance,
    Integer,
    Kind,
    ListOf,
    MappingOf,
    Nullable,
    Number,
    Text,
    read_values,
)


class Hostile:
    """An object that fails at whatever is asked of it."""

    def _fail(self, *_: object) -> Any:
        raise KeyError("hostile")

    __index__ = __float__ = __fspath__ = __eq__ = __bool__ = __len__ = __iter__ = _fail
    __hash__ = None  # type: ignore[assignment]


# For each kind, what it admits with the value that comes out, and what it refuses.
ADMITTED: list[tuple[Kind[Any], object, object]] = [
    (Integer(), np.int64(3), 3),
    (Integer(), 2**70, 2**70),
    (Integer(minimum=1, maximum=4), 4, 4),
    (Integer(whole_floats=True), 2.0, 2),
    (Number(), np.float32(3), 3.0),
    (Number(), 7, 7),
    (Number(minimum=0, maximum=1), 1.0, 1.0),
    (Number(infinite=True), math.inf, math.inf),
    (Flag(), np.True_, True),
    (Text(), "", ""),
    (Text(length=None), "a" * 20_000, "a" * 20_000),
    (Function(), len, len),
    (Instance(Path), Path("a"), Path("a")),
    (FilePath(), "a/b", Path("a/b")),
    (FilePath(), Path("a"), Path("a")),
    (Choice("a", 1, None), None, None),
    (Choice("a", 1), 1, 1),
    (Nullable(Integer()), None, None),
    (Either(Flag(), Text()), "x", "x"),
    (ListOf(Integer()), np.arange(3), (0, 1, 2)),
    (ListOf(Number(), minimum=2, maximum=2), [1, 0.5], (1, 0.5)),
    (MappingOf(Flag()), {"a": True}, {"a": True}),
    (Anything(), None, None),
]


def refuses(kind: Kind[Any], *values: object) -> list[tuple[Kind[Any], object]]:
    return [(kind, value) for value in values]


REFUSED = [
    *refuses(Integer(), True, 2.0, "3", None, [], np.zeros(2), math.nan, 2**4_000, Hostile()),
    *refuses(Integer(minimum=1, maximum=4, whole_floats=True), 0, 5, 2.5, math.inf, math.nan, True, "2"),
    *refuses(Number(), True, "1", None, math.nan, math.inf, 1j, [], np.zeros(1), np.float32("nan"), np.True_, Hostile()),
    *refuses(Number(minimum=0, maximum=1), -0.1, 1.1),
    *refuses(Number(minimum=0, above=True), 0),
    *refuses(Number(infinite=True), math.nan),
    *refuses(Flag(), 1, 0, "true", "false", None, [], Hostile()),
    *refuses(Text(length=3, empty=False), "", "four", b"abc", 3, None, Hostile()),
    *refuses(Text(length=None, empty=False), "", "\ud800"),
    *refuses(Instance(Path), Path, "a", None, Hostile()),
    *refuses(Function(), "len", None, 3, Hostile()),
    *refuses(FilePath(), 3, None, b"a", "a\0b", ["a"], Hostile()),
    *refuses(Choice("a", 1), True, 1.0, "b", None, np.zeros(3), Hostile()),
    *refuses(Nullable(Integer()), "none"),
    *refuses(Either(Flag(), Text()), 1),
    *refuses(ListOf(Integer(), minimum=1, maximum=2), [], [1, 2, 3], ["a"], "12", 3, None, np.zeros((2, 2)), Hostile()),
    *refuses(MappingOf(Flag()), {"a": 1}, {1: True}, [], None, Hostile()),
]


@pytest.mark.parametrize(("kind", "value", "expected"), ADMITTED)
def test_a_value_of_the_kind_comes_out_as_a_plain_python_value(kind: Kind[Any], value: object, expected: object) -> None:
    got = kind.check("x", value)
    assert got == expected
    assert type(got) is type(expected)


@pytest.mark.parametrize(("kind", "value"), REFUSED)
def test_any_other_value_is_refused_by_the_rule(kind: Kind[Any], value: object) -> None:
    with pytest.raises(ConfigError) as caught:
        kind.check("the_name", value, "leave it out")
    message = str(caught.value)
    assert message.startswith(f"the_name must be {kind.describe()}, got ")
    assert message.endswith("; leave it out")


@pytest.mark.parametrize(
    ("kind", "count"),
    [
        (ListOf(Flag()), ""),
        (ListOf(Flag(), minimum=2), "of at least 2 "),
        (ListOf(Flag(), minimum=1, maximum=4), "of 1 to 4 "),
        (ListOf(Flag(), minimum=2, maximum=2), "of 2 "),
    ],
)
def test_the_length_of_a_list_is_said_with_both_ends(kind: ListOf, count: str) -> None:
    assert kind.describe() == f"a list {count}whose entries are each true or false"


# Anything that JSON or a caller may bring.
ANY_VALUE = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.just(Hostile())),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
)


@given(st.sampled_from([kind for kind, *_ in ADMITTED]), ANY_VALUE)
def test_a_kind_admits_or_refuses_and_does_nothing_else(kind: Kind[Any], value: object) -> None:
    try:
        got = kind.check("x", value)
    except ConfigError:
        return
    if not isinstance(kind, Anything):
        assert kind.check("x", got) == got


def test_values_are_read_by_declaration() -> None:
    kinds: dict[str, Kind[Any]] = {"steps": Integer(minimum=1), "scale": Number()}
    assert read_values("", {"steps": 2, "other": "kept out"}, kinds) == {"steps": 2}
    with pytest.raises(WeightsError, match=r"^config.json: steps must be a whole number of at least 1, got 0; fetch it again$"):
        read_values("config.json: ", {"steps": 0}, kinds, "fetch it again", WeightsError)
