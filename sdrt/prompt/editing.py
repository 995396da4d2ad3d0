r"""Parse prompts that change during a run, as AUTOMATIC1111's web UI writes them, into the text of each step.

============================  ==========================================================================================
``[red:blue:0.5]``            "red" for the first half of the steps, then "blue"
``[red:blue:10]``             "red" for the first 10 steps, then "blue"
``[blue:0.5]``                nothing, then "blue"
``[red::0.5]``                "red", then nothing
``[red|blue]``                "red" and "blue" in turn, step by step; any number of texts, of which some may be empty
``[a [b:c:5]:[d|e]:0.5]``     all of it nests, and brackets with weights may stand inside and outside
``\[``, ``\:``, ``\|``        the character itself, here; `sdrt.prompt.parse` takes the backslash away
============================  ==========================================================================================

A number with a point is a share of the steps, one without is a step; both are rounded down. From 0 on the second text holds from the first
step; beyond the last step it never does. A bracket that is never closed, or holds anything else, is text.

Source: AUTOMATIC1111/stable-diffusion-webui 1.10.1, ``modules/prompt_parser.py::get_learned_conditioning_prompt_schedules``, whose grammar
is ambiguous and read there by an Earley parser. This one is linear: a character that no bracket can hold makes text of every bracket that
is open. As there, a ``|`` outside alternating brackets, or a backslash at the end of a line, makes text of the whole prompt. Departures:
brackets nest at most 100 deep; a number beyond the range of floats means "never" (there it is an error); and where brackets or colons
without a partner stand beside an edit, as in ``[a:b:0.5]]:``, the edit is one (there it is now one, now text).
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TypeAlias

from sdrt.errors import ConfigError
from sdrt.prompt.syntax import DEEPEST, check_prompt
from sdrt.values import Integer

__all__ = ["Schedule", "changes", "schedule"]

# The last step of each text, counted from 1, and the text.
Schedule: TypeAlias = tuple[tuple[int, str], ...]

# Every alternative begins with a character of its own, so that a prompt is read once.
_TOKEN = re.compile(r"(?:[^\\\[\]():|]|\\.)+|[\[\]():|]")
_NUMBER = re.compile(r"\s*+(?P<number>[+-]?(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++)(?:[eE][+-]?[0-9]++)?)\s*+")
_STEPS = Integer(minimum=1)
_CLOSES = {"]": "[", ")": "("}


@dataclass(frozen=True)
class _Edit:
    """A text until a step, and another one from there on."""

    before: "_Parts"
    after: "_Parts"
    when: str


@dataclass(frozen=True)
class _Alternation:
    """Texts that take turns."""

    options: tuple["_Parts", ...]


_Parts: TypeAlias = Sequence[str | _Edit | _Alternation]


@dataclass
class _Bracket:
    """A bracket that is still open: its character, the marks between its parts, and the parts."""

    opens: str
    marks: list[str] = field(default_factory=list)
    parts: list[list[str | _Edit | _Alternation]] = field(default_factory=lambda: [[]])

    def takes(self, mark: str) -> bool:
        """Return whether another mark may stand here."""
        if self.opens == "(":
            return mark == ":" and not self.marks
        return self.marks in ([], [":"]) if mark == ":" else ":" not in self.marks

    def closed(self) -> list[str | _Edit | _Alternation] | None:
        """Return what the bracket means when it is closed; None if it is text."""
        if self.opens == "(" or not self.marks:
            return self.written(")" if self.opens == "(" else "]")
        if "|" in self.marks:
            return [_Alternation(tuple(self.parts))]
        before, after, when = self.parts if len(self.parts) == 3 else ([], *self.parts)
        number = _NUMBER.fullmatch("".join(part if isinstance(part, str) else "[" for part in when))
        return [_Edit(before, after, number["number"])] if number else None

    def written(self, close: str = "") -> list[str | _Edit | _Alternation]:
        """Return the bracket as text around what it holds."""
        first, *others = self.parts
        return [self.opens, *first, *(part for mark, each in zip(self.marks, others, strict=True) for part in (mark, *each)), close]


def schedule(prompt: str, steps: int) -> Schedule:
    """Return the text of each step of a run.

    Parameters
    ----------
    prompt : str
        A weighted prompt, without its LoRAs.
    steps : int, at least 1

    Returns
    -------
    tuple of (int, str)
        The last step at which a text holds, counted from 1, in rising order to ``steps``, and the text with its weights. A prompt without
        such brackets is one text. Neighbours may have the same text.

    Raises
    ------
    ConfigError : not a str, not a number of steps, or more than 100 brackets open at once

    >>> schedule("a [red:blue:0.25] (circle:1.2)", 20)
    ((5, 'a red (circle:1.2)'), (20, 'a blue (circle:1.2)'))
    >>> schedule("[a|b] dog", 3)
    ((1, 'a dog'), (2, 'b dog'), (3, 'a dog'))
    """
    steps = _STEPS.check("steps", steps)
    parts = _parse(check_prompt(prompt))
    lasts = sorted({steps, *_lasts(parts, steps)})
    return tuple((last, "".join(_texts(parts, last, steps))) for last in lasts)


def changes(prompt: str) -> bool:
    """Return whether a prompt may change during a run.

    >>> changes("a [red] circle"), changes("a [red:blue:0.5] circle")
    (False, True)
    """
    return any(not isinstance(part, str) for part in _parse(check_prompt(prompt)))


def _parse(prompt: str) -> _Parts:
    """Split a prompt into texts and what changes; a prompt that is text as a whole is returned as it is."""
    if "[" not in prompt:
        return (prompt,)
    root = _Bracket("")
    opened: list[_Bracket] = [root]

    def as_text() -> bool:
        """Make text of every open bracket; False if one has a mark that no text may have."""
        *brackets, last = opened
        for outer, inner in reversed(list(pairwise([*brackets, last]))):
            outer.parts[-1] += inner.written()
        del opened[1:]
        return not any("|" in bracket.marks for bracket in [*brackets, last])

    at = 0
    for token in _TOKEN.finditer(prompt):
        if token.start() != at:
            return (prompt,)
        at, text = token.end(), token[0]
        top = opened[-1]
        if text in ("[", "("):
            opened.append(_Bracket(text))
            if len(opened) > DEEPEST + 1:
                raise ConfigError(
                    f"brackets in a prompt must nest at most {DEEPEST} deep, got more at position {at}; close some, "
                    "write \\( for a literal bracket, or choose prompt_syntax='plain'"
                )
        elif text in (":", "|") and top is not root and top.takes(text):
            top.marks.append(text)
            top.parts.append([])
        elif text in _CLOSES and top.opens == _CLOSES[text] and (closed := top.closed()) is not None:
            opened.pop()
            opened[-1].parts[-1] += closed
        elif text == "|" or (text in (":", "]", ")") and not as_text()):
            return (prompt,)
        else:
            opened[-1].parts[-1].append(text)
    return tuple(root.parts[0]) if at == len(prompt) and as_text() else (prompt,)


def _last(when: str, steps: int) -> int:
    """Return the last step of the text before a number.

    >>> _last("0.5", 20), _last("5", 20), _last("-1", 20), _last("1e999", 20)
    (10, 5, 0, 20)
    """
    number = float(when) * steps if "." in when else float(when)
    return int(min(max(number, 0), steps))


def _lasts(parts: _Parts, steps: int) -> Iterator[int]:
    """Yield each step after which a text may change."""
    for part in parts:
        if isinstance(part, _Edit):
            yield from (*_lasts(part.before, steps), *_lasts(part.after, steps))
            if last := _last(part.when, steps):
                yield last
        elif isinstance(part, _Alternation):
            # whatever its options hold changes within these
            yield from range(1, steps + 1)


def _texts(parts: _Parts, step: int, steps: int) -> Iterator[str]:
    """Yield the texts of one step."""
    for part in parts:
        if isinstance(part, str):
            yield part
        elif isinstance(part, _Edit):
            yield from _texts(part.before if step <= _last(part.when, steps) else part.after, step, steps)
        else:
            yield from _texts(part.options[(step - 1) % len(part.options)], step, steps)
