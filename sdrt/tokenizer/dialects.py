"""The tokenizer as another program reads prompts."""

from sdrt.tokenizer.clip_tokenizer import ClipTokenizer
from sdrt.tokenizer.swift_bpe import SwiftTokenizer

__all__ = ["in_dialect"]


def in_dialect(tokenizer: ClipTokenizer, compat: str | None, *, first: bool = True) -> ClipTokenizer:
    """Return a tokenizer with the ids of another program.

    Parameters
    ----------
    tokenizer : ClipTokenizer
    compat : str or None
        "apple" is Apple's Swift package; None keeps the tokenizer; the others run transformers' own.
    first : bool
        Whether it belongs to the first of a model's text encoders.
    """
    if compat is None:
        return tokenizer
    return SwiftTokenizer.of(tokenizer, pads_with_end=first) if compat == "apple" else tokenizer.as_transformers()
