"""Prompts of any length in rows of the text encoder's length: start token, 75 tokens, end token, padding."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias, get_args

import numpy as np

from sdrt.arrays import F64, I32
from sdrt.errors import ConfigError
from sdrt.prompt.syntax import Piece, PromptSyntax, parse
from sdrt.tokenizer import ClipTokenizer

__all__ = ["Chunks", "LongPrompts", "chunk_prompt"]

LongPrompts: TypeAlias = Literal["chunk", "truncate"]

# AUTOMATIC1111's default: a chunk that is full ends at its last comma, if at most so many tokens (the comma included) stand from there on.
_COMMA_REACH = 20


@dataclass(frozen=True, eq=False)
class Chunks:
    """One prompt as rows of tokens.

    Parameters
    ----------
    input_ids : i32[c,L]
        Each row as the tokenizer builds a prompt's: start token, words, end token, padding.
    weights : f64[c,L]
        Of each token; 1 for start, end and padding.
    truncated : str
        What was cut, decoded; "" where nothing was.
    """

    input_ids: I32
    weights: F64
    truncated: str = ""


class _Unit(NamedTuple):
    """Tokens that stand together in one chunk: one, or all vectors of one textual inversion."""

    ids: tuple[int, ...]
    weight: float


def chunk_prompt(text: str, tokenizer: ClipTokenizer, syntax: PromptSyntax = "weighted", long_prompts: LongPrompts = "chunk") -> Chunks:
    """Tokenize a prompt.

    Parameters
    ----------
    text : str
    tokenizer : ClipTokenizer
        Its ``model_max_length`` is the length L of a row.
    syntax : "weighted" or "plain"
        Whether brackets, backslashes and ``BREAK`` are read as `sdrt.prompt.syntax` says, or are text as in diffusers.
    long_prompts : "chunk" or "truncate"
        What does not fit in a row goes to the next row, or is cut as in diffusers (each section between ``BREAK``s for itself).

    Returns
    -------
    Chunks
        At least one row. Pieces of other weights are tokenized one by one. ``BREAK`` starts a row, except at the end of the prompt.

    Raises
    ------
    ConfigError : an unknown choice, no text, or a weight beyond the range of floats

    Source: AUTOMATIC1111/stable-diffusion-webui 1.10.1, ``modules/sd_hijack_clip.py::tokenize_line``, its default for commas included: a
    row that is full ends behind its last comma if that is among its last 20 tokens, so that a phrase is not torn. Departure: there, tokens
    of a textual inversion that do not fit tear the phrase before them.

    >>> chunk_prompt("very " * 80, ClipTokenizer.clip()).input_ids.shape
    (2, 77)
    """
    for name, value, choices in (("prompt_syntax", syntax, get_args(PromptSyntax)), ("long_prompts", long_prompts, get_args(LongPrompts))):
        if value not in choices:
            raise ConfigError(f"{name} is {' or '.join(map(repr, choices))}; got {value!r}")
    sections = parse(text) if syntax == "weighted" and isinstance(text, str) else ((Piece(text),),)
    units = [list(_units(section, tokenizer)) for section in sections]
    if len(units) > 1 and not units[-1]:
        del units[-1]
    room = tokenizer.model_max_length - 2
    rows: list[list[_Unit]] = []
    cut: list[int] = []
    for section in units:
        if _size(section) <= room:
            rows.append(section)
        elif long_prompts == "truncate":
            single = [_Unit((i,), unit.weight) for unit in section for i in unit.ids]
            rows.append(single[:room])
            cut += (i for unit in single[room:] for i in unit.ids)
        else:
            rows += _split(section, room, _comma(tokenizer))
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


def _split(units: Sequence[_Unit], room: int, comma: tuple[int, ...]) -> list[list[_Unit]]:
    """Rows of at most ``room`` tokens."""
    rows: list[list[_Unit]] = [[]]
    for unit in units:
        row = rows[-1]
        if _size(row) + len(unit.ids) > room:
            phrase = [] if unit.ids == comma else _after_last_comma(row, comma)
            if _size(phrase) + len(unit.ids) > room:
                phrase = []
            if phrase:
                del row[-len(phrase) :]
            rows.append(phrase)
        rows[-1].append(unit)
    return rows


def _after_last_comma(row: Sequence[_Unit], comma: tuple[int, ...]) -> list[_Unit]:
    """The phrase behind the last comma; empty if there is no comma in reach."""
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
        ids = [tokenizer.bos_token_id, *(i for unit in row for i in unit.ids), tokenizer.eos_token_id]
        input_ids[k, : len(ids)] = ids
        weights[k, 1 : len(ids) - 1] = [unit.weight for unit in row for _ in unit.ids]
    return input_ids, weights
