"""JSON from others: what Python's reader lets through or stumbles over is one error; everything else reads as it does."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdrt.errors import ConfigError, ModelError
from sdrt.json_text import DEPTH, parse_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(VALUES)
def test_what_python_writes_is_read(value: object) -> None:
    assert parse_json(json.dumps(value), "x") == value
    assert parse_json("\ufeff" + json.dumps(value, indent=1), "x") == value


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "Expecting value"),
        ("{", "Expecting property name"),
        ("[1] 2", "Extra data"),
        ('{"a": 1, "b": {"c": 1, "c": 2}}', "the name 'c' stands twice in one object"),
        ('{"a": NaN}', "NaN is not valid JSON"),
        ("[" * 2000 + "]" * 2000, "nested deeper than"),
        ("[" * 100_000, "nested deeper than|Expecting value"),
        ('{"a":' * (DEPTH + 1) + "1" + "}" * (DEPTH + 1), f"nested deeper than {DEPTH}"),
        ("[" * (DEPTH + 1) + "]" * (DEPTH + 1), f"nested deeper than {DEPTH}"),
        ("1" * 5000, "Exceeds the limit"),
        ('"\x01"', "Invalid control character"),
    ],
)
def test_what_is_no_json_is_one_line(text: str, reason: str) -> None:
    with pytest.raises(ModelError, match=rf"^config\.json: not readable as JSON \(({reason}).*\); fetch it again$") as caught:
        parse_json(text, "config.json")
    assert len(str(caught.value)) < 300


def test_nesting_up_to_the_bound_and_brackets_in_texts_are_read() -> None:
    deep = "[" * DEPTH + "]" * DEPTH
    assert json.dumps(parse_json(deep, "x")) == deep
    assert parse_json('{"' + "[{" * 1000 + '": 1}', "x") == {"[{" * 1000: 1}
    assert parse_json('"' + "[" * 1000 + '"', "x") == "[" * 1000


def test_infinity_is_read_as_diffusers_writes_it() -> None:
    assert parse_json('{"lambda_min_clipped": -Infinity}', "x") == {"lambda_min_clipped": -math.inf}


def test_the_caller_chooses_error_and_repair() -> None:
    with pytest.raises(ConfigError, match="; write it again"):
        parse_json("{", "recipe", "write it again", ConfigError)
