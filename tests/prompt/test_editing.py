"""Prompts that change: AUTOMATIC1111's own schedules, and properties for any text."""

import json
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdrt.errors import ConfigError
from sdrt.prompt import Schedule, changes, escape, parse, schedule

PEER = json.loads(Path(__file__).with_name("a1111_prompts.json").read_text())["editing"]

# Further answers of AUTOMATIC1111's grammar, in lark 1.2 with 10 steps.
FURTHER: dict[str, list[tuple[int, str]]] = {
    "[:5]": [(5, ""), (10, "")],
    "[::5]": [(5, ""), (10, "")],
    "[a:b:5.]": [(10, "a")],
    "[a:b:1e1]": [(10, "a")],
    "[a:b:.5e0]": [(5, "a"), (10, "b")],
    "[a:b:+3]": [(3, "a"), (10, "b")],
    "([a:b:5": [(10, "([a:b:5")],
    "[[a:b:5]": [(5, "[a"), (10, "[b")],
    "[a:b:5]]": [(5, "a]"), (10, "b]")],
    "[x (a] [b:c:5] ) y:z:7]": [(5, "[x (a] b ) y:z:7]"), (10, "[x (a] c ) y:z:7]")],
    "(a:b:c [d:e:3])": [(3, "(a:b:c d)"), (10, "(a:b:c e)")],
    "a: b [c:d:5]": [(5, "a: b c"), (10, "a: b d")],
    "[a|b:5]": [(10, "[a|b:5]")],
    "[a:b|5]": [(10, "[a:b|5]")],
    "a | b [c:d:5]": [(10, "a | b [c:d:5]")],
    "(a|b) [c:d:5]": [(10, "(a|b) [c:d:5]")],
    "[a:b:5] x\\": [(10, "[a:b:5] x\\")],
    "[a:b:5]\\\nx": [(10, "[a:b:5]\\\nx")],
    r"[a\:b:c:5]": [(5, r"a\:b"), (10, "c")],
    r"[\|x:y:5]": [(5, r"\|x"), (10, "y")],
    "[]": [(10, "[]")],
}

# Departure: an error there.
OURS = {"[a:b:1e999]": [(10, "a")], "[a:b:" + "9" * 400 + "]": [(10, "a")], "[a:b:-1e999]": [(10, "b")]}

MARKS = [*"ab ()[]\\:|.,19é\n", "[a:b:0.5]", "[a|b]", ":2]", ":0.3]", "(x:1.3)", "BREAK", "AND"]
TEXTS = st.lists(st.sampled_from(MARKS), max_size=20).map("".join)


@pytest.mark.parametrize("case", PEER, ids=lambda case: f"{case['prompt']} in {case['steps']}")
def test_a_prompt_changes_when_automatic1111_changes_it(case: dict[str, Any]) -> None:
    assert [list(each) for each in schedule(case["prompt"], case["steps"])] == case["schedule"]


@pytest.mark.parametrize(("text", "expected"), list((FURTHER | OURS).items()))
def test_borders_of_the_syntax(text: str, expected: list[tuple[int, str]]) -> None:
    assert schedule(text, 10) == tuple(expected)


@given(TEXTS, st.integers(1, 30))
def test_any_text_has_an_ordered_schedule_of_texts(text: str, steps: int) -> None:
    made: Schedule = schedule(text, steps)
    lasts = [last for last, _ in made]
    assert lasts[-1] == steps
    assert all(before < after for before, after in pairwise([0, *lasts]))
    for _, each in made:
        parse(each)
    if not changes(text):
        assert made == ((steps, text),)


@given(TEXTS.filter(lambda text: "[" not in text), st.integers(1, 30))
def test_a_text_without_square_brackets_stays_the_same(text: str, steps: int) -> None:
    assert schedule(text, steps) == ((steps, text),)


@given(TEXTS, st.integers(1, 30))
def test_an_escaped_text_stays_the_same(text: str, steps: int) -> None:
    assert not changes(escape(text))
    assert schedule(escape(text), steps) == ((steps, escape(text)),)


@given(st.lists(st.sampled_from(["red", "", "a, b", "(x:1.2)", "[q]"]), min_size=2, max_size=5), st.integers(1, 20))
def test_alternating_texts_take_turns(options: list[str], steps: int) -> None:
    made = schedule(f"a [{'|'.join(options)}] b", steps)
    assert made == tuple((step, f"a {options[(step - 1) % len(options)]} b") for step in range(1, steps + 1))


@given(st.integers(0, 40), st.integers(1, 30))
def test_a_number_is_the_last_step_of_the_first_text(when: int, steps: int) -> None:
    expected: Schedule = ((steps, "a"),) if when >= steps else ((when, "a"), (steps, "b")) if when else ((steps, "b"),)
    assert schedule(f"[a:b:{when}]", steps) == expected


@pytest.mark.parametrize("bracket", ["[", "[(", "[a:", "[a|"])
def test_brackets_nest_to_a_limit(bracket: str) -> None:
    assert schedule(bracket * (100 // bracket.count("[") // len(bracket)), 20)
    with pytest.raises(ConfigError, match="must nest at most 100 deep"):
        schedule(bracket * 500, 20)


# half a second for the whole limit of a prompt; a quadratic parser would take minutes
@pytest.mark.parametrize("part", ["]", "[a|b]", "[a:b:0.5]", ":5]", "[a:b:" + "9" * 50 + "]", "\\", "(]", "[x]", "[a:b:c:", "(a:b:"])
def test_any_length_takes_linear_time(part: str) -> None:
    start = time.perf_counter()
    schedule("[a:b:3]" + part * (20_000 // len(part)), 10)
    assert time.perf_counter() - start < 5


@pytest.mark.parametrize(("prompt", "steps"), [(None, 10), (3, 10), ("a", 0), ("a", -1), ("a", 1.5), ("a", True), ("a", "10")])
def test_other_values_are_refused(prompt: object, steps: object) -> None:
    with pytest.raises(ConfigError, match="must be"):
        schedule(prompt, steps)  # type: ignore[arg-type]
