"""Tokenize prompts and run the text encoders of a family; the family turns the outputs into conditions."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from sdrt.arrays import I32, Float
from sdrt.backends import ComponentOptions
from sdrt.backends.pool import CheckedNetwork, NetworkPool
from sdrt.errors import ConfigError
from sdrt.exact.mathematics import functions_of
from sdrt.guidance import Row, is_prompted
from sdrt.guidance.rows import NEGATIVE
from sdrt.limits import DEFAULT_LIMITS, Limits
from sdrt.models import ComponentName
from sdrt.models.families import EncodedText, TextEncoder
from sdrt.pipeline.conditions.prompt_texts import RowTexts
from sdrt.prompt import Chunks, chunk_prompt, encode_prompts
from sdrt.records.settings import Settings
from sdrt.tokenizer import ClipTokenizer, in_dialect

__all__ = ["TokenizedPrompts", "encode_text", "groups_of_rows", "text_encoder_options", "tokenize"]

# Rows of different lengths go through the denoiser together, each repeated, up to this many chunks: beyond it, repeating costs more than
# calling the denoiser once for each row.
_MOST_REPEATED = 8


@dataclass(frozen=True, eq=False)
class TokenizedPrompts:
    """The prompts of a run as one text encoder takes them.

    Parameters
    ----------
    rows : mapping
        The text of each kind of row.
    empty : Chunks
        The empty prompt, which pads shorter ones.
    blank : frozenset of Row
        The rows whose text is empty.
    """

    rows: Mapping[Row, Chunks]
    empty: Chunks
    blank: frozenset[Row] = frozenset()

    @property
    def truncated(self) -> tuple[str, str]:
        """The parts of the prompt and of the negative prompt that did not fit."""
        prompts = (chunks.truncated for row, chunks in self.rows.items() if is_prompted(row))
        return next(filter(None, prompts), ""), self.rows[NEGATIVE].truncated


def tokenize(
    tokenizers: Mapping[ComponentName, ClipTokenizer], texts: Sequence[RowTexts], settings: Settings, limits: Limits = DEFAULT_LIMITS
) -> tuple[dict[ComponentName, TokenizedPrompts], ...]:
    """Tokenize the texts of images for each text encoder, as the program that ``settings.compat`` names does.

    The second of two encoders may have texts of its own. The denoiser attends to both side by side, so empty
    chunks fill up the one that has fewer of them, as ComfyUI's ``CLIPTextEncodeSDXL`` does.

    Returns
    -------
    one mapping for each of ``texts``

    Raises
    ------
    ConfigError : as :func:`sdrt.prompt.chunk_prompt`
    """
    syntax: Literal["weighted", "plain"] = "plain" if settings.prompt_syntax == "plain" else "weighted"

    def chunks(text: str, tokenizer: ClipTokenizer) -> Chunks:
        return chunk_prompt(text, tokenizer, syntax, settings.long_prompts, limits)  # type: ignore[arg-type]

    prompts: tuple[dict[ComponentName, TokenizedPrompts], ...] = tuple({} for _ in texts)
    for k, (component, own) in enumerate(tokenizers.items()):
        tokenizer = in_dialect(own, settings.compat, first=component == "text_encoder")
        of_images = [{row: each[min(k, 1)] for row, each in rows} for rows in texts]
        cut = {text: chunks(text, tokenizer) for text in dict.fromkeys(["", *(text for rows in of_images for text in rows.values())])}
        for rows, of_image in zip(of_images, prompts, strict=True):
            blank = frozenset(row for row, text in rows.items() if not text)
            of_image[component] = TokenizedPrompts({row: cut[text] for row, text in rows.items()}, cut[""], blank)
    return tuple(map(_of_one_length, prompts))


def _of_one_length(prompts: Mapping[ComponentName, TokenizedPrompts]) -> dict[ComponentName, TokenizedPrompts]:
    """Fill up each row of an encoder with empty chunks to the length that it has for the other."""
    counts = {row: max(len(each.rows[row].input_ids) for each in prompts.values()) for row in next(iter(prompts.values())).rows}
    return {
        component: replace(each, rows={row: _filled(chunks, each.empty, counts[row]) for row, chunks in each.rows.items()})
        for component, each in prompts.items()
    }


def _filled(chunks: Chunks, empty: Chunks, count: int) -> Chunks:
    missing = count - len(chunks.input_ids)
    ids, weights = ([getattr(chunks, name), *[getattr(empty, name)] * missing] for name in ("input_ids", "weights"))
    return replace(chunks, input_ids=np.concatenate(ids), weights=np.concatenate(weights)) if missing else chunks


def groups_of_rows(prompts: Mapping[ComponentName, TokenizedPrompts], rows: Sequence[Row], settings: Settings) -> list[tuple[Row, ...]]:
    """Return the rows that go through the denoiser together: all of them, or each by itself if their lengths have no small multiple.

    A denoiser attends to rows of one length. Shorter prompts are repeated, which changes nothing: in the softmax all keys and values of a
    prompt then occur equally often. (Empty chunks would change it, and are what ``long_prompts="pad"`` fills up with.)
    """
    together = settings.long_prompts == "pad" or all(
        _common_count([len(prompt.rows[row].input_ids) for row in rows]) for prompt in prompts.values()
    )
    return [tuple(rows)] if together else [(row,) for row in rows]


def _common_count(counts: Sequence[int]) -> int | None:
    """Return the number of chunks to which every prompt can be repeated; None if that takes too many.

    >>> _common_count([1, 12]), _common_count([2, 3]), _common_count([4, 5])
    (12, 6, None)
    """
    common = math.lcm(*counts)
    return common if common <= max(*counts, _MOST_REPEATED) else None


def text_encoder_options(settings: Settings, row: Row) -> ComponentOptions:
    """Return the options of the text encoder that encodes a row: diffusers 0.42.1 leaves ``clip_skip`` out of the negative prompt."""
    forgotten = row == "negative" and settings.compat == "diffusers"
    return ComponentOptions(clip_skip=0 if forgotten else settings.clip_skip)


def encode_text(
    networks: NetworkPool, encoder: TextEncoder, prompts: TokenizedPrompts, settings: Settings, *, rows: Sequence[Row]
) -> EncodedText:
    """Encode the texts of a guidance's rows with one text encoder; rows with the same options go through it together.

    Parameters
    ----------
    networks : NetworkPool
    encoder : TextEncoder
        A text encoder of the model's family.
    prompts : TokenizedPrompts
    settings : Settings
    rows : sequence of Row
        One of :func:`groups_of_rows`.

    Raises
    ------
    ConfigError : the network lacks an output that the family needs
    """
    counts = [len(prompts.rows[row].input_ids) for row in rows]
    count = (None if settings.long_prompts == "pad" else _common_count(counts)) or max(counts)
    wanted = (encoder.states, "pooled")
    states: dict[Row, Float] = {}
    pooled: dict[Row, Float] = {}
    for options in dict.fromkeys(text_encoder_options(settings, row) for row in rows):
        together = [row for row in rows if text_encoder_options(settings, row) == options]
        with networks.using(encoder.component, options) as network:
            if lacking := [name for name in wanted if name not in network.signature.output_names()]:
                there = ", ".join(network.signature.output_names())
                raise ConfigError(
                    f"{encoder.component}: must give {' and '.join(lacking)} for this model, got {there}; take that of another conversion"
                )

            def encode(input_ids: I32, network: CheckedNetwork = network) -> tuple[Float, Float]:
                outputs = network(input_ids=input_ids)
                return outputs[encoder.states], outputs["pooled"]

            chunks = [prompts.rows[row] for row in together]
            if settings.long_prompts != "pad":
                chunks = [_repeated(each, count // len(each.input_ids)) for each in chunks]
            encoded = encode_prompts(encode, chunks, prompts.empty, settings.emphasis, count, functions_of(settings.numerics))  # type: ignore[arg-type]
        states |= zip(together, np.split(encoded[0], len(together)), strict=True)
        pooled |= zip(together, np.split(encoded[1], len(together)), strict=True)
    return EncodedText(np.concatenate([states[row] for row in rows]), np.concatenate([pooled[row] for row in rows]))


def _repeated(chunks: Chunks, times: int) -> Chunks:
    return replace(chunks, input_ids=np.tile(chunks.input_ids, (times, 1)), weights=np.tile(chunks.weights, (times, 1)))
