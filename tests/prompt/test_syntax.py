"""The syntax of weighted prompts: the results of AUTOMATIC1111's parser, and properties for any text."""

import re
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdrt.errors import ConfigError
from sdrt.prompt import Piece, escape, parse

# The examples in the docstring of AUTOMATIC1111's parse_prompt_attention (1.10.1, modules/prompt_parser.py), to the last bit.
A1111: dict[str, list[tuple[str, float]]] = {
    "normal text": [("normal text", 1.0)],
    "an (important) word": [("an ", 1.0), ("important", 1.1), (" word", 1.0)],
    "(unbalanced": [("unbalanced", 1.1)],
    r"\(literal\]": [("(literal]", 1.0)],
    "(unnecessary)(parens)": [("unnecessaryparens", 1.1)],
    "a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).": [
        ("a ", 1.0),
        ("house", 1.5730000000000004),
        (" ", 1.1),
        ("on", 1.0),
        (" a ", 1.1),
        ("hill", 0.55),
        (", sun, ", 1.1),
        ("sky", 1.4641000000000006),
        (".", 1.1),
    ],
}

# Derived from the rules in the module's docstring.
OURS: dict[str, list[tuple[str, float]]] = {
    "": [("", 1.0)],
    "()": [("", 1.0)],
    "[a]": [("a", 1 / 1.1)],
    "(a:-1)": [("a", -1.0)],
    "(a:0)b": [("a", 0.0), ("b", 1.0)],
    "(a: .5 )": [("a", 0.5)],
    "(a:+2.)": [("a", 2.0)],
    "a) b]": [("a) b]", 1.0)],
    "a:1.3)": [("a:1.3)", 1.0)],
    "[a:1.3)": [("a:1.3)", 1 / 1.1)],
    "(a:1.2.3)": [("a:1.2.3", 1.1)],
    "(a:b:2)": [("a:b", 2.0)],
    "([a)]": [("a", 1.1 / 1.1)],
    r"a\b\\c\:": [(r"ab\c:", 1.0)],
    r"(a\)b:2)": [("a)b", 2.0)],
    "BREAKS xBREAK break": [("BREAKS xBREAK break", 1.0)],
    "a [b:c:0.5]": [("a ", 1.0), ("b:c:0.5", 1 / 1.1)],
}

TEXTS = st.lists(st.sampled_from([*"ab ()[]\\:.,19é円\n", "BREAK", "(x:1.3)"]), max_size=20).map("".join)


def flat(text: str) -> list[tuple[str, float]]:
    [section] = parse(text)
    return [(piece.text, piece.weight) for piece in section]


@pytest.mark.parametrize("text", A1111)
def test_weights_are_those_of_automatic1111(text: str) -> None:
    assert flat(text) == A1111[text]


@pytest.mark.parametrize("text", OURS)
def test_the_edges(text: str) -> None:
    found, want = flat(text), OURS[text]
    assert [piece for piece, _ in found] == [piece for piece, _ in want]
    assert [weight for _, weight in found] == pytest.approx([weight for _, weight in want], rel=1e-15)


@pytest.mark.parametrize(
    ("text", "sections"),
    [
        ("a BREAK b", [[("a", 1.0)], [("b", 1.0)]]),
        ("a,BREAK\n b", [[("a,", 1.0)], [("b", 1.0)]]),
        ("BREAK a", [[("", 1.0)], [("a", 1.0)]]),
        ("a BREAK", [[("a", 1.0)], [("", 1.0)]]),
        ("a BREAK BREAK b", [[("a", 1.0)], [("", 1.0)], [("b", 1.0)]]),
        ("(a BREAK b:2) c", [[("a", 2.0)], [("b", 2.0), (" c", 1.0)]]),
        (r"a B\REAK b", [[("a BREAK b", 1.0)]]),
    ],
)
def test_break_starts_a_section(text: str, sections: list[list[tuple[str, float]]]) -> None:
    assert [[(piece.text, piece.weight) for piece in section] for section in parse(text)] == sections


@given(TEXTS)
def test_an_escaped_text_is_that_text(text: str) -> None:
    assert parse(escape(text)) == ((Piece(text),),)


@given(TEXTS)
def test_only_syntax_is_lost(text: str) -> None:
    """All other text of a prompt is preserved in order, in pieces that are neither empty nor of their neighbour's weight."""
    sections = parse(text)
    words = re.sub(r"\bBREAK\b|[()\[\]\\\s]|:\s*[+-]?[.0-9]+\s*\)", "", text)
    found = "".join(piece.text for section in sections for piece in section)
    kept = iter(re.sub(r"\s", "", found))
    assert all(letter in kept for letter in words)
    for section in sections:
        assert all(piece.text for piece in section) or section == (Piece(""),)
        assert all(one.weight != two.weight for one, two in pairwise(section))


@given(TEXTS)
def test_brackets_round_a_whole_prompt_multiply_every_weight(text: str) -> None:
    """Only for a prompt that closes its brackets: an open bracket would take the closing one as its own."""
    safe = escape(text)
    inner = f"a ({safe} x:1.5) [y]"
    for around, factor in (("({})", 1.1), ("[{}]", 1 / 1.1), ("({}:0.3)", 0.3)):
        for one, two in zip(parse(inner)[0], parse(around.format(inner))[0], strict=True):
            assert two.text == one.text
            assert two.weight == pytest.approx(one.weight * factor, rel=1e-15)


@given(st.text(st.sampled_from(list("ab é円:.,19-")), max_size=20))
def test_without_syntax_a_prompt_is_one_piece(text: str) -> None:
    assert parse(text) == ((Piece(text),),)


def test_a_weight_beyond_floats_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"the weight of 'red' must be within the range of floats"):
        parse(f"a (red:{'9' * 400})")


def test_brackets_nest_a_hundred_deep() -> None:
    [(text, weight)] = flat("(" * 60 + "[" * 40 + "red")
    assert text == "red"
    assert weight == pytest.approx(1.1**20)
    with pytest.raises(
        ConfigError, match=r"brackets in a prompt must nest at most 100 deep, got more at position 101; close some, write \\\( for"
    ):
        parse("(" * 101 + "red")


@settings(max_examples=20)
@given(st.sampled_from(["(a:" + "1" * 50_000, ":" * 50_000, " " * 50_000 + "(", "(a:" + " " * 50_000, "\\" * 50_001]))
def test_a_hostile_prompt_is_read_once(text: str) -> None:
    """Each of these takes minutes if a pattern backtracks; nothing is timed, the suite would hang."""
    assert len(parse(text)) == 1
