"""The tokens of textual inversion: one for each vector, named as in diffusers."""

from collections.abc import Mapping
from typing import Protocol

from sdrt.errors import ConfigError
from sdrt.printable import shown
from sdrt.tokenizer.added_tokens import AddedToken
from sdrt.tokenizer.normalize import normalize

__all__ = ["check_embeddings", "embedding_tokens"]


class _Tokenizer(Protocol):
    @property
    def vocab_size(self) -> int: ...
    @property
    def model_max_length(self) -> int: ...
    def has_token(self, name: str) -> bool: ...


def embedding_tokens(embeddings: Mapping[str, range]) -> list[tuple[AddedToken, int]]:
    """Return a token for each vector: not special, and matched in the cleaned prompt, like a str passed to transformers' ``add_tokens``."""
    return [
        (AddedToken(name, special=False, normalized=True), i)
        for token, ids in embeddings.items()
        for name, i in zip(_names_of_vectors(token, len(ids)), ids, strict=True)
    ]


def check_embeddings(embeddings: Mapping[str, range], tokenizer: _Tokenizer) -> None:
    """Raise ConfigError unless a tokenizer can match each token: see `sdrt.tokenizer.ClipTokenizer.with_embeddings`."""
    if not isinstance(embeddings, Mapping):
        raise ConfigError(f"embeddings must be a mapping from tokens to their ids, got {shown(embeddings)}; pass one")
    owners: dict[str, str] = {}
    for token, ids in embeddings.items():
        if not isinstance(ids, range) or not ids or ids.step != 1 or ids.start < tokenizer.vocab_size:
            rule = f"the ids of embedding {shown(token)} must be a run from {tokenizer.vocab_size} on"
            raise ConfigError(f"{rule}, got {shown(ids)}; number them so")
        if len(ids) > (capacity := tokenizer.model_max_length - 2):
            rule = f"an embedding must have at most {capacity} vectors, a chunk's size"
            raise ConfigError(f"{rule}, got {len(ids)} for {shown(token)}; choose a smaller one")
        if not isinstance(token, str) or not token or token != token.strip():
            raise ConfigError(f"an embedding's token must be text without white space at its ends, got {shown(token)}; rename it")
        for name in _names_of_vectors(token, len(ids)):
            cleaned = normalize(name)
            if tokenizer.has_token(name):
                raise ConfigError(
                    f"an embedding's token must be new, got {shown(name)} for {shown(token)}, which this tokenizer has already; rename it"
                )
            if cleaned in owners:
                pair = f"{shown(owners[cleaned])} and {shown(token)} with {shown(cleaned)}"
                raise ConfigError(f"embeddings' tokens must differ (in any case), got {pair}; rename one")
            owners[cleaned] = token


def _names_of_vectors(token: str, count: int) -> list[str]:
    """Return the token of each vector, named as in diffusers."""
    return [token, *(f"{token}_{k}" for k in range(1, count))]
