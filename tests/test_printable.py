"""Text that is safe to print: one line, no control characters, never endless; and every error goes through it."""

import copy
import pickle
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdrt import errors
from sdrt.printable import MESSAGE_LENGTH, VALUE_LENGTH, printable, shown

# Every code point, halves of surrogate pairs among them.
ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=300)


@given(ANY_TEXT, st.integers(min_value=12, max_value=400))
def test_text_is_one_line_without_controls_and_can_be_encoded(text: str, length: int) -> None:
    got = printable(text, length)
    assert len(got) <= length
    assert got.splitlines() in ([got], [])
    assert not {unicodedata.category(character) for character in got} & {"Cc", "Cs", "Zl", "Zp"}
    got.encode("utf-8")


@given(st.text(st.characters(categories=("L", "N", "P", "S", "Zs"))))
def test_what_can_be_printed_stays_as_it_is(text: str) -> None:
    assert printable(text) == text or len(text) > MESSAGE_LENGTH


def test_what_turns_text_around_is_escaped() -> None:
    assert printable("gnp\u202e.exe") == "gnp\\u202e.exe"
    assert printable("\u2066a\u2069\ufeff\x9b31m") == "\\u2066a\\u2069\\ufeff\\x9b31m"


def test_a_long_message_keeps_its_beginning_and_its_repair() -> None:
    got = printable("model.safetensors: must be " + "x" * 10_000 + "; fetch it again")
    assert got.startswith("model.safetensors: must be")
    assert got.endswith("; fetch it again")


@given(st.one_of(ANY_TEXT, st.lists(st.integers()), st.binary(), st.dictionaries(ANY_TEXT, st.floats())))
def test_a_shown_value_is_short_and_printable(value: object) -> None:
    got = shown(value)
    assert len(got) <= VALUE_LENGTH
    assert got == printable(got)


def test_a_value_whose_repr_fails_is_shown_by_its_class() -> None:
    class Broken:
        def __repr__(self) -> str:
            raise KeyError("none")

    assert shown(Broken()) == "a Broken whose repr fails"
    # whole numbers of more than 4,300 digits have no repr either
    assert shown(10**5000) == "a int whose repr fails"


@pytest.mark.parametrize("name", errors.__all__)
def test_every_error_is_one_printable_line_and_can_be_pickled(name: str) -> None:
    error = getattr(errors, name)("weights\x1b[2J.safetensors: tensor 'a\nb' is missing" + "!" * 5000)
    assert "\n" not in str(error)
    assert "\x1b" not in str(error)
    assert len(str(error)) <= MESSAGE_LENGTH
    assert str(copy.copy(error)) == str(pickle.loads(pickle.dumps(error))) == str(error)  # noqa: S301 -- its own bytes
