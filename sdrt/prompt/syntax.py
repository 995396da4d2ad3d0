r"""Parse the syntax of weighted prompts, as AUTOMATIC1111's web UI does.

========================  ==========================================================================================
``(word)``, ``[word]``    multiply the weight by 1.1, divide it by 1.1
``(word:1.3)``            multiply the weight by 1.3; any number, including 0 and negative ones
``((a) b)``               brackets nest, and their weights multiply
``\(``, ``\]``, ``\\``    the character itself; a backslash before anything else disappears
``BREAK``                 start a new chunk with the text that follows
========================  ==========================================================================================

A bracket that is never closed extends to the end of the prompt; a closing bracket without a partner is text.

What changes during the run (`sdrt.prompt.editing`) is resolved before; LoRAs are taken out of a prompt first (`sdrt.prompt.loras`).

Source: AUTOMATIC1111/stable-diffusion-webui 1.10.1, ``modules/prompt_parser.py::parse_prompt_attention``. Departures: ``BREAK`` inside
brackets also starts a chunk (there it becomes a word), a malformed weight, as in ``(a:1.2.3)``, is text (there it is an error), and
brackets nest at most 100 deep. `sdrt.prompt.foreign_syntax` finds the syntax of other programs.
"""

import math
import re
from dataclasses import dataclass
from itertools import groupby
from typing import Literal, TypeAlias

from sdrt.errors import ConfigError
from sdrt.printable import shown

__all__ = ["DEEPEST", "Piece", "PromptSyntax", "check_prompt", "escape", "parse"]

PromptSyntax: TypeAlias = Literal["full", "weighted", "plain"]

_ROUND, _SQUARE = 1.1, 1 / 1.1

# Largest number of open brackets. Each scales all text after it, so time grows with depth times length; 1.1 to this power is 13,781.
DEEPEST = 100

# Possessive quantifiers: a long run of digits without a closing bracket is scanned only once.
_MARK = re.compile(
    r"\\(?P<escaped>[()\[\]\\]?)"
    r"|(?P<open>[(\[])"
    r"|:\s*+(?P<weight>[+-]?(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++))\s*+\)"
    r"|(?P<close>[)\]])"
)
_BREAK = re.compile(r"\bBREAK\b")
_WORD = re.compile(r"\b(?:BREAK|AND)\b")
_SYNTAX = re.compile(r"[()\[\]\\]|\bBREAK\b")
_LITERAL = re.compile(r"[()\[\]\\]")


@dataclass(frozen=True)
class Piece:
    """Adjacent text of one weight.

    Parameters
    ----------
    text : str
        The text for the tokenizer, with brackets removed and escapes resolved.
    weight : float
        Finite; 1 means no emphasis.
    """

    text: str
    weight: float = 1.0


@dataclass
class _Run:
    """Text whose weight may still change; a text of None is a BREAK."""

    text: str | None
    weight: float = 1.0


def parse(text: str) -> tuple[tuple[Piece, ...], ...]:
    r"""Split a prompt at each ``BREAK`` into sections of weighted pieces.

    Raises
    ------
    ConfigError : not a str, a weight beyond the range of floats, or more than 100 brackets open at once

    >>> [section] = parse("a (red:1.3) [circle]")
    >>> [(piece.text, round(piece.weight, 3)) for piece in section]
    [('a ', 1.0), ('red', 1.3), (' ', 1.0), ('circle', 0.909)]
    >>> parse(r"a \(red\) circle BREAK ((blue")
    ((Piece(text='a (red) circle', weight=1.0),), (Piece(text='blue', weight=1.2100000000000002),))
    """
    if not _SYNTAX.search(check_prompt(text)):
        return ((Piece(text),),)
    runs: list[_Run] = []
    # The index in `runs` at which each open bracket begins.
    opened: dict[str, list[int]] = {"(": [], "[": []}

    def scale(start: int, factor: float) -> None:
        for run in runs[start:]:
            run.weight *= factor

    at = 0
    for mark in _MARK.finditer(text):
        _add_text(runs, text[at : mark.start()])
        at = mark.end()
        if (escaped := mark["escaped"]) is not None:
            runs.append(_Run(escaped))
        elif mark["open"]:
            opened[mark["open"]].append(len(runs))
            if sum(map(len, opened.values())) > DEEPEST:
                raise ConfigError(
                    f"brackets in a prompt must nest at most {DEEPEST} deep, got more at position {at}; close some, "
                    "write \\( for a literal bracket, or choose prompt_syntax='plain'"
                )
        elif mark["weight"] and opened["("]:
            scale(opened["("].pop(), float(mark["weight"]))
        elif mark["close"] == ")" and opened["("]:
            scale(opened["("].pop(), _ROUND)
        elif mark["close"] == "]" and opened["["]:
            scale(opened["["].pop(), _SQUARE)
        else:
            _add_text(runs, mark[0])
    _add_text(runs, text[at:])
    for bracket, factor in (("(", _ROUND), ("[", _SQUARE)):
        for start in opened[bracket]:
            scale(start, factor)
    return _sections(runs)


def escape(text: str) -> str:
    r"""Escape a text so that `parse` returns it with weight 1, and nothing in it changes or divides a prompt.

    >>> escape(r"a :) BREAK")
    'a :\\) B\\REAK'
    """
    return _WORD.sub(lambda word: f"{word[0][0]}\\{word[0][1:]}", _LITERAL.sub(r"\\\g<0>", check_prompt(text)))


def check_prompt(text: object) -> str:
    """Return a prompt if it is a text; ConfigError otherwise."""
    if not isinstance(text, str):
        raise ConfigError(f"a prompt must be a str, got {type(text).__name__}; pass texts one by one")
    return text


def _add_text(runs: list[_Run], text: str) -> None:
    """Append text, split at each BREAK; white space around the word is dropped."""
    parts = _BREAK.split(text)
    for k, part in enumerate(parts):
        if k:
            runs.append(_Run(None))
            part = part.lstrip()
        runs.append(_Run(part.rstrip() if k + 1 < len(parts) else part))


def _sections(runs: list[_Run]) -> tuple[tuple[Piece, ...], ...]:
    sections: list[list[_Run]] = [[]]
    for run in runs:
        if run.text is None:
            sections.append([])
        elif run.text:
            sections[-1].append(run)
    if bad := [run.text for section in sections for run in section if not math.isfinite(run.weight)]:
        raise ConfigError(
            f"the weight of {shown(bad[0])} must be within the range of floats, got one beyond it; use weights such as 0.5 or 1.3"
        )
    return tuple(
        tuple(Piece("".join(run.text or "" for run in same), weight) for weight, same in groupby(section, lambda run: run.weight))
        or (Piece(""),)
        for section in sections
    )
