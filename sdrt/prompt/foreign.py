"""Find syntax of other programs in a prompt, which sdrt reads as text: the caller is told once instead of wondering.

Sources: AUTOMATIC1111/stable-diffusion-webui 1.10.1 (``modules/extra_networks.py``, ``modules/prompt_parser.py``), sd-dynamic-prompts
(choices and wildcards), ComfyUI (``embedding:``), sd-webui-regional-prompter (``ADDCOL``), damian0815/compel (``.and()``, ``.blend()``),
and the flags that Midjourney takes behind a prompt.
"""

import re

from sdrt.printable import shown
from sdrt.prompt.editing import changes
from sdrt.prompt.syntax import check_prompt

__all__ = ["foreign_syntax"]

# Each pattern runs in linear time: no repetition can match what the one before it matches.
_PATTERNS: dict[str, tuple[re.Pattern[str], str]] = {
    "prompt extra network": (re.compile(r"<\w{1,40}:[^<>]{1,300}>"), "a prompt loads LoRAs alone, and a negative prompt none"),
    "prompt composition": (
        re.compile(r"(?<=\S)\s+(?:AND|ADDBASE|ADDCOMM|ADDCOL|ADDROW)\b(?=\s*+\S)|\)\.(?:and|blend|swap)\("),
        "parts of a prompt are not composed",
    ),
    "prompt choice": (re.compile(r"\{[^{}|]*+\|[^{}]*+\}"), "none of the choices is drawn"),
    "prompt wildcard": (re.compile(r"(?<!\w)__\w(?:[^\W_]|[/*.-]|_(?!_)){0,100}__(?!\w)"), "sdrt generate --wildcards FOLDER fills it"),
    "prompt embedding": (re.compile(r"(?<![\w:])embedding:[\w.-]+"), "a textual inversion is written as its token alone"),
    "prompt flag": (re.compile(r"(?<!\S)--[a-z][a-z-]{0,20}(?!\S)"), "options are arguments of their own"),
}
# without AND, which is read
_COMPOSED = re.compile(r"(?<=\S)\s+(?:ADDBASE|ADDCOMM|ADDCOL|ADDROW)\b(?=\s*+\S)|\)\.(?:and|blend|swap)\(")
_SQUARE = re.compile(r"(?<!\\)\[([^\[\]]*+)\]")
_WHEN = re.compile(r"\s*+[+-]?(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++)\s*+")


def foreign_syntax(text: str, *, full: bool = False, negative: bool = False) -> dict[str, str]:
    """Return a remark on each kind of foreign syntax that a prompt holds; empty for most prompts.

    Parameters
    ----------
    text : str
        A prompt without its LoRAs, whose ``prompt_syntax`` is not "plain": under that everything is meant as text.
    full : bool
        Whether its ``prompt_syntax`` is "full", which reads texts that change, and the parts of a prompt.
    negative : bool
        Whether it is a negative prompt, which has no parts.

    >>> foreign_syntax("a [cat] and a (dog:1.2)")
    {}
    >>> foreign_syntax("a cat <hypernet:fur:0.8>")
    {'prompt extra network': "'<hypernet:fur:0.8>' is read as text: a prompt loads LoRAs alone, and a negative prompt none"}
    """
    found: dict[str, str] = {}
    for topic, (pattern, reason) in _PATTERNS.items():
        match = (_COMPOSED if topic == "prompt composition" and full and not negative else pattern).search(check_prompt(text))
        if match is not None and not _shouted(match[0], text):
            found[topic] = _remark(match[0].strip(), reason)
    for match in () if full and changes(text) else _SQUARE.finditer(text):
        _, colon, when = match[1].rpartition(":")
        if colon and _WHEN.fullmatch(when):
            found.setdefault("prompt editing", _remark(match[0], "this prompt stays the same over all steps"))
        elif "|" in match[1]:
            found.setdefault("prompt alternation", _remark(match[0], "this prompt stays the same over all steps"))
    return found


def _shouted(match: str, text: str) -> bool:
    """Whether a word in capitals stands in a text all of capitals, where it is a word like the others."""
    return match.isupper() and text.isupper()


def _remark(part: str, reason: str) -> str:
    return f"{shown(part)} is read as text: {reason}"
