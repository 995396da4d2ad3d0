"""Syntax of other programs is found; what only resembles it is not."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

import sdrt
from sdrt.errors import ConfigError
from sdrt.limits import Limits
from sdrt.prompt import chunk_prompt, foreign_syntax
from sdrt.tokenizer import ClipTokenizer


@pytest.mark.parametrize(
    ("text", "topic", "quoted"),
    [
        ("a cat <lora:fur:0.8>", "prompt extra network", "<lora:fur:0.8>"),
        ("<hypernet:style:1> a cat", "prompt extra network", "<hypernet:style:1>"),
        ("a [cat:dog:0.5]", "prompt editing", "[cat:dog:0.5]"),
        ("a [cat:10]", "prompt editing", "[cat:10]"),
        ("a [(red:1.2) cat::.25 ] b", "prompt editing", "[(red:1.2) cat::.25 ]"),
        ("a [cat|dog]", "prompt alternation", "[cat|dog]"),
        ("a cat AND a dog", "prompt composition", "AND"),
        ("a cat AND a dog :0.6", "prompt composition", "AND"),
        ("a cat\nADDCOL\na dog", "prompt composition", "ADDCOL"),
        ('("a cat", "a dog").blend(1, 1)', "prompt composition", ").blend("),
        ("a {cat|dog}", "prompt choice", "{cat|dog}"),
        ("a {2$$cat|dog|bird}", "prompt choice", "{2$$cat|dog|bird}"),
        ("a __animal__", "prompt wildcard", "__animal__"),
        ("a __my/wild_animals-*__, red", "prompt wildcard", "__my/wild_animals-*__"),
        ("a cat, embedding:style.pt", "prompt embedding", "embedding:style.pt"),
        ("a cat --ar 16:9", "prompt flag", "--ar"),
    ],
)
def test_foreign_syntax_is_named_and_quoted(text: str, topic: str, quoted: str) -> None:
    [(found, remark)] = foreign_syntax(text).items()
    assert found == topic
    assert remark.startswith(f"'{quoted}' is read as text: ")
    read = topic in ("prompt editing", "prompt alternation") or quoted == "AND"
    assert foreign_syntax(text, full=True) == ({} if read else {topic: remark})
    assert foreign_syntax(text, full=True, negative=True) == ({} if read and quoted != "AND" else {topic: remark})


def test_a_prompt_that_is_text_as_a_whole_says_so_of_what_would_change() -> None:
    assert foreign_syntax("a | b [cat:dog:0.5]", full=True) == foreign_syntax("a | b [cat:dog:0.5]") != {}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a [cat], a [[dog]], (red:1.3) BREAK [blue",
        r"a \[cat|dog\]",
        "a cat and a dog",
        "A CAT AND A DOG",
        "AND a cat AND",
        "BRAND new, sAND",
        "a | b",
        "{cat}",
        "snake_case __ and __init",
        "a < b: c > d",
        "i <3 u",
        "time: 12:30 [noon: sun]",
        "an embedding: of words",
        "well -- no",
        "--",
    ],
)
def test_what_resembles_it_is_not_named(text: str) -> None:
    assert foreign_syntax(text) == {}


@given(st.lists(st.sampled_from([*"ab []{}<>|:_\\", "AND", "--a", "0.5", "__", "embedding:", "<lora:"]), max_size=30).map("".join))
def test_any_text_gets_remarks_of_one_line(text: str) -> None:
    for topic, remark in foreign_syntax(text).items():
        assert topic.startswith("prompt ")
        assert "\n" not in remark
        assert len(remark) < 250


@pytest.mark.parametrize(
    "part", ["[", "[a", "]", "{", "{|", "__a", "_", "<a:", "<", " AND", "a AND ", ":1", "[:", "--", " ", "embedding:", ")."]
)
def test_any_length_takes_linear_time(part: str) -> None:
    start = time.perf_counter()
    foreign_syntax(part * (100_000 // len(part)))
    assert time.perf_counter() - start < 2


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("BREAK " * 800, "the chunks of a prompt must be at most 128, got 801"),
        ("red " * 20_000, "the chunks of a prompt must be at most 128, got 267"),
        ("a" * 100_001, "the characters of a prompt must be at most 100000, got 100001"),
        ("(" * 99_999, "brackets in a prompt must nest at most 100 deep"),
    ],
)
def test_a_prompt_beyond_the_limits_is_refused_at_once(text: str, named: str) -> None:
    start = time.perf_counter()
    with pytest.raises(ConfigError, match=named):
        chunk_prompt(text, ClipTokenizer.clip())
    assert time.perf_counter() - start < 5


def test_a_picture_records_the_remarks_of_its_prompts_unless_they_are_plain() -> None:
    with sdrt.load("nano") as pipe:
        settings = pipe.resolve("a cat ADDCOL a dog", negative_prompt="{a|b}")
        plain = pipe.resolve("a cat AND a dog", prompt_syntax="plain")
    assert {"prompt composition", "prompt choice"} <= settings.remarks.keys()
    assert "prompt composition" not in plain.remarks


def test_a_limit_can_be_raised() -> None:
    with pytest.raises(ConfigError, match=r"sdrt\.Limits\(prompt_chunks=4\)"), sdrt.load("nano", limits=Limits(prompt_chunks=3)) as pipe:
        pipe.resolve("BREAK " * 3 + "red")
    with sdrt.load("nano", limits=Limits(prompt_chunks=4)) as pipe:
        pipe.resolve("BREAK " * 3 + "red")


def test_a_noise_stream_is_recorded_by_its_own_name() -> None:
    with sdrt.load("nano") as pipe:
        settings = pipe.resolve("red", rng="NVIDIA", sampler_rng="Torch")
    assert (settings.rng, settings.sampler_rng) == ("nv", "torch")
