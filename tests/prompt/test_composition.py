"""Prompts of several parts: AUTOMATIC1111's own reading, and properties for any text."""

import json
import math
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdrt.errors import ConfigError
from sdrt.prompt import PromptPart, escape, is_composed, parse, prompt_parts

PEER = json.loads(Path(__file__).with_name("a1111_prompts.json").read_text())["AND"]

# Derived from AUTOMATIC1111's regular expressions, which take the shortest text before a weight.
FURTHER = {
    "a :1:2": [("a :1", 2.0)],
    "a :1 :2 ": [("a :1", 2.0)],
    "a : +.5 ": [("a", 0.5)],
    "a :2.": [("a", 2.0)],
    "a :1e5": [("a :1e5", 1.0)],
    "a :": [("a :", 1.0)],
    ":2": [("", 2.0)],
    "a\nAND\nb": [("a", 1.0), ("\nb", 1.0)],
    r"a A\ND b": [(r"a A\ND b", 1.0)],
}

TEXTS = st.lists(st.sampled_from([*"ab ()[]\\:|.,19é\n", "AND", " AND ", ":0.5", " :-1", "BREAK"]), max_size=20).map("".join)


@pytest.mark.parametrize("case", PEER, ids=lambda case: repr(case["prompt"]))
def test_a_prompt_has_the_parts_that_automatic1111_reads(case: dict[str, Any]) -> None:
    assert [[part.text, part.weight] for part in prompt_parts(case["prompt"])] == case["parts"]


@pytest.mark.parametrize(("text", "expected"), list(FURTHER.items()))
def test_borders_of_the_syntax(text: str, expected: list[tuple[str, float]]) -> None:
    assert prompt_parts(text) == tuple(PromptPart(*each) for each in expected)


@given(TEXTS)
def test_any_text_has_parts_of_finite_weights(text: str) -> None:
    parts = prompt_parts(text)
    assert is_composed(text) == (len(parts) > 1)
    assert all(math.isfinite(part.weight) for part in parts)
    assert all(part.text in text for part in parts)


@given(TEXTS)
def test_an_escaped_text_is_one_part(text: str) -> None:
    assert not is_composed(escape(text))
    assert "".join(piece.text for section in parse(escape(text)) for piece in section) == text


@given(st.lists(st.tuples(st.sampled_from(["a", "a (b:1.2)", "", "x y"]), st.floats(-9, 9)), min_size=1, max_size=6))
def test_parts_are_those_that_were_written(parts: list[tuple[str, float]]) -> None:
    written = " AND ".join(f"{text} :{weight:.3f}" for text, weight in parts)
    assert [(part.text.strip(), part.weight) for part in prompt_parts(written)] == [(text, float(f"{w:.3f}")) for text, w in parts]


def test_a_weight_beyond_the_range_is_refused() -> None:
    with pytest.raises(ConfigError, match="must be within the range of floats"):
        prompt_parts("a :" + "9" * 400)


@pytest.mark.parametrize("part", ["AND ", ":1", "a :1 ", " ", ":", "1.", "a AND"])
def test_any_length_takes_linear_time(part: str) -> None:
    start = time.perf_counter()
    prompt_parts(part * (20_000 // len(part)))
    assert time.perf_counter() - start < 2
