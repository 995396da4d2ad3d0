"""Wildcards are filled by a seed, the same everywhere, within limits."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdrt.errors import ConfigError
from sdrt.limits import Limits
from sdrt.prompt.wildcards import fill_wildcards, has_wildcards

LINES = {"colour": ("red", "blue", "green"), "things/shape": ("circle", "__colour__ square"), "a_b-c.d": ("x",)}


def fill(text: str, seed: int = 93) -> str:
    return fill_wildcards(text, seed, LINES.__getitem__)


def test_the_same_seed_draws_the_same_words_on_every_machine() -> None:
    # of SHA-256, written down once
    assert [fill("a __colour__ __things/shape__", seed) for seed in range(5)] == [
        "a red green square",
        "a blue blue square",
        "a blue blue square",
        "a red circle",
        "a red red square",
    ]


@given(st.integers(0, 2**63))
def test_words_come_from_the_lines(seed: int) -> None:
    first, second = fill("__colour__,__colour__", seed).split(",")
    assert {first, second} <= set(LINES["colour"])
    assert fill("__a_b-c.d__", seed) == "x"


def test_all_lines_are_drawn_alike() -> None:
    drawn = [fill("__colour__", seed) for seed in range(3000)]
    # 3,000 draws deviate from 1,000 each by 26; five times that
    assert all(abs(drawn.count(line) - 1000) < 130 for line in LINES["colour"])
    pairs = [fill("__colour__ __colour__", seed) for seed in range(3000)]
    assert len(set(pairs)) == 9


@given(
    st.lists(st.sampled_from([*"ab _/.*-\\", "__", "__a", "a__", "BREAK"]), max_size=12).map("".join).filter(lambda t: not has_wildcards(t))
)
def test_a_text_without_wildcards_stays_as_it_is(text: str) -> None:
    assert fill(text) == text


@pytest.mark.parametrize("text", ["snake__case__name", "__", "____", "__../x__", "__/x__", "__a*__", r"__a\b__", "__init", "x__colour__"])
def test_what_only_resembles_a_wildcard_is_text(text: str) -> None:
    assert not has_wildcards(text)


def test_wildcards_nest_and_grow_to_limits() -> None:
    with pytest.raises(ConfigError, match="wildcards must nest at most 10 deep, got a in a in a"):
        fill_wildcards("__a__", 1, lambda _: ("__a__",))
    with pytest.raises(ConfigError, match=r"a prompt must have at most 1000 wildcards, got more at __b__"):
        fill_wildcards("__b__ " * 1001, 1, lambda _: ("x",))
    start = time.perf_counter()
    with pytest.raises(ConfigError, match="wildcards"):
        fill_wildcards("__a__", 1, lambda _: ("__a__ " * 50,))
    with pytest.raises(ConfigError, match="the characters of a prompt with its wildcards must be at most 50"):
        fill_wildcards("__a__ " * 10, 1, lambda _: ("x" * 10,), Limits(prompt_characters=50))
    assert time.perf_counter() - start < 2


@pytest.mark.parametrize(("text", "seed"), [(3, 1), ("a", None), ("a", 1.5), ("a", "1")])
def test_other_values_are_refused(text: object, seed: object) -> None:
    with pytest.raises(ConfigError, match="must be"):
        fill_wildcards(text, seed, LINES.__getitem__)  # type: ignore[arg-type]
