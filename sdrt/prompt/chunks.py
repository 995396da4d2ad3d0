"""Split prompts of any length into rows of the text encoder's length: start token, 75 tokens, end token, padding."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias, get_args

import numpy as np

from sdrt.arrays import F64, I32
from sdrt.limits import DEFAULT_LIMITS, Limits
from sdrt.prompt.syntax import Piece, check_prompt, parse
from sdrt.tokenizer import ClipTokenizer
from sdrt.values import Choice

__all__ = ["Chunks", "LongPrompts", "chunk_prompt"]

LongPrompts: TypeAlias = Literal["chunk", "pad", "truncate"]

# AUTOMATIC1111's default: a full chunk ends at its last comma, if at most this many tokens (including the comma) remain from there on.
_COMMA_REACH = 20

_CHOICES = {"syntax": Choice("weighted", "plain"), "long_prompts": Choice(*get_args(LongPrompts))}


@dataclass(frozen=True, eq=False)
class Chunks:
    """One prompt, as rows of tokens.

    Parameters
    ----------
    input_ids : i32[c,L]
        Each row in the tokenizer's form: start token, words, end token, padding.
    weights : f64[c,L]
        The weight of each token; 1 for start, end and padding.
    truncated : str
        The text that was cut, decoded; "" if none.
    """

    input_ids: I32
    weights: F64
    truncated: str = ""


class _Unit(NamedTuple):
    """Tokens that must stay in one chunk: a single token, or all vectors of one textual inversion."""

    ids: tuple[int, ...]
    weight: float


def chunk_prompt(
    text: str,
    tokenizer: ClipTokenizer,
    syntax: Literal["weighted", "plain"] = "weighted",
    long_prompts: LongPrompts = "chunk",
    limits: Limits = DEFAULT_LIMITS,
) -> Chunks:
    """Tokenize a prompt of any length.

    Parameters
    ----------
    text : str
    tokenizer : ClipTokenizer
        Its ``model_max_length`` is L, the length of a row.
    syntax : "weighted" or "plain"
        Whether brackets, backslashes and ``BREAK`` have the meaning given in `sdrt.prompt.syntax`, or are plain text as in diffusers.
    long_prompts : "chunk", "pad" or "truncate"
        Whether tokens that do not fit in a row continue in the next row, or are cut as in diffusers (separately for each section between
        ``BREAK``s). "chunk" and "pad" differ in what becomes of a shorter prompt beside this one, and mean the same here.
    limits : Limits
        The most characters and rows of one prompt.

    Returns
    -------
    Chunks
        At least one row. Pieces of different weights are tokenized separately. ``BREAK`` starts a new row, except at the end of the prompt.

    Raises
    ------
    ConfigError : an unknown choice, a prompt that is not a str, a weight beyond the range of floats, or a prompt longer than the limits

    Source: AUTOMATIC1111/stable-diffusion-webui 1.10.1, ``modules/sd_hijack_clip.py::tokenize_line``, including its default for commas: a
    full row ends after its last comma if that is among its last 20 tokens, which keeps phrases together. Departure: there, a textual
    inversion that does not fit splits the phrase before it.

    >>> chunk_prompt("very " * 80, ClipTokenizer.clip()).input_ids.shape
    (2, 77)
    """
    for name, value in (("syntax", syntax), ("long_prompts", long_prompts)):
        _CHOICES[name].check(name, value, "choose one of those")
    limits.check("prompt_characters", "the characters of a prompt", len(check_prompt(text)))
    sections = parse(text) if syntax == "weighted" else ((Piece(text),),)
    limits.check("prompt_chunks", "the chunks of a prompt", len(sections))
    units = [list(_units(section, tokenizer)) for section in sections]
    if len(units) > 1 and not units[-1]:
        del units[-1]
    capacity = tokenizer.model_max_length - 2
    rows: list[list[_Unit]] = []
    cut: list[int] = []
    for section in units:
        if _size(section) <= capacity:
            rows.append(section)
        elif long_prompts == "truncate":
            single = [_Unit((i,), unit.weight) for unit in section for i in unit.ids]
            kept = capacity if tokenizer.keeps_end else capacity + 1
            rows.append(single[:kept])
            cut += (i for unit in single[kept:] for i in unit.ids)
        else:
            rows += _split(section, capacity, _comma(tokenizer))
    limits.check("prompt_chunks", "the chunks of a prompt", len(rows))
    return Chunks(*_arrays(rows, tokenizer), tokenizer.decode(cut))


def _units(section: Iterable[Piece], tokenizer: ClipTokenizer) -> Iterable[_Unit]:
    lengths = tokenizer.embedding_lengths
    for piece in section:
        ids = tokenizer.encode(piece.text)[1:-1]
        if not lengths:
            yield from (_Unit((i,), piece.weight) for i in ids)
            continue
        at = 0
        while at < len(ids):
            length = lengths.get(ids[at], 1)
            yield _Unit(tuple(ids[at : at + length]), piece.weight)
            at += length


def _comma(tokenizer: ClipTokenizer) -> tuple[int, ...]:
    return tuple(tokenizer.encode(",")[1:-1])


def _split(units: Sequence[_Unit], capacity: int, comma: tuple[int, ...]) -> list[list[_Unit]]:
    """Split units into rows of at most ``capacity`` tokens."""
    rows: list[list[_Unit]] = [[]]
    for unit in units:
        row = rows[-1]
        if _size(row) + len(unit.ids) > capacity:
            phrase = [] if unit.ids == comma else _after_last_comma(row, comma)
            if _size(phrase) + len(unit.ids) > capacity:
                phrase = []
            if phrase:
                del row[-len(phrase) :]
            rows.append(phrase)
        rows[-1].append(unit)
    return rows


def _after_last_comma(row: Sequence[_Unit], comma: tuple[int, ...]) -> list[_Unit]:
    """Return the phrase after the last comma, or nothing if no comma is within reach."""
    reach = 0
    for place in range(len(row) - 1, -1, -1):
        reach += len(row[place].ids)
        if reach > _COMMA_REACH:
            break
        if row[place].ids == comma:
            return list(row[place + 1 :])
    return []


def _size(units: Iterable[_Unit]) -> int:
    return sum(len(unit.ids) for unit in units)


def _arrays(rows: Sequence[Sequence[_Unit]], tokenizer: ClipTokenizer) -> tuple[I32, F64]:
    shape = (len(rows), tokenizer.model_max_length)
    input_ids, weights = np.full(shape, tokenizer.pad_token_id, np.int32), np.ones(shape)
    for k, row in enumerate(rows):
        words = [(i, unit.weight) for unit in row for i in unit.ids]
        ids = [tokenizer.bos_token_id, *(i for i, _ in words), tokenizer.eos_token_id][: shape[1]]
        input_ids[k, : len(ids)] = ids
        weights[k, 1 : len(words) + 1] = [weight for _, weight in words]
    return input_ids, weights
