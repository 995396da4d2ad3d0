"""CLIP's tokenizer: from prompts to the ids that a text encoder takes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from sdrt.arrays import I32
from sdrt.errors import ConfigError, ModelError
from sdrt.tokenizer.added_tokens import AddedToken, AddedTokens
from sdrt.tokenizer.bpe import WordCache
from sdrt.tokenizer.clip_vocabulary import BOS_TOKEN, EOS_TOKEN, ClipVocabulary
from sdrt.tokenizer.files import read_settings, read_vocabulary
from sdrt.tokenizer.normalize import collapse_space, lowercase, nfc, normalize
from sdrt.tokenizer.special_tokens import MODEL_MAX_LENGTH, Json, SpecialTokens
from sdrt.tokenizer.split import words
from sdrt.tokenizer.vocabulary import Vocabulary

__all__ = ["ClipTokenizer", "TokenBatch"]


@dataclass(frozen=True, eq=False)
class TokenBatch:
    """Prompts as a text encoder takes them.

    Parameters
    ----------
    input_ids : i32[n,L]
        A row a prompt: start token, words, end token, padding.
    truncated : tuple of n str
        What was cut from each prompt, decoded; "" where nothing was.
    """

    input_ids: I32
    truncated: tuple[str, ...]


class ClipTokenizer:
    """Tokenizes as transformers' ``CLIPTokenizer`` does (5.23, Rust tokenizers 0.23.3): the same ids for any text.

    It never changes once it is built, and threads may share it; its cache of words is bounded.

    >>> tokenizer = ClipTokenizer.clip()
    >>> tokenizer.encode("a photo of a cat")
    [49406, 320, 1125, 539, 320, 2368, 49407]
    >>> tokenizer.decode(tokenizer.encode("It's a CAFÉ!"))
    "it 's a café !"
    """

    def __init__(self, vocabulary: Vocabulary, specials: SpecialTokens, embeddings: Mapping[str, range] | None = None) -> None:
        self._vocabulary = vocabulary
        self._specials = specials
        ids = _ids_of_added(vocabulary, specials)
        self._embeddings = dict(embeddings or {})
        embedded = _embedding_tokens(self._embeddings)
        added = {token.content: (token, ids[token.content]) for token in specials.added}
        self._added = AddedTokens([*added.values(), *embedded])
        self._vectors = {own.start: own for own in self._embeddings.values()}
        self._words = WordCache(vocabulary.merges)
        self._size = max(vocabulary.size, *(i + 1 for i in ids.values()), *(i + 1 for _, i in embedded))
        # What decoding shows of added tokens, and what it leaves out. As in the reference, a token that is found in the cleaned prompt
        # shows as it was found, and is only left out if that is how it is written.
        self._shown = {ids[token.content]: token.found_as for token in specials.added} | {i: token.found_as for token, i in embedded}
        self._silent = frozenset(ids[token.content] for token in specials.added if token.special and token.found_as == token.content)
        self._bos, self._eos, self._pad = (ids[token] for token in (specials.bos_token, specials.eos_token, specials.pad_token))

    @classmethod
    def load(cls, folder: str | Path, pad_token: str | None = None) -> "ClipTokenizer":
        """Open a tokenizer's folder.

        Parameters
        ----------
        folder : path
            With ``vocab.json`` and ``merges.txt`` (or ``merges.text``), or with ``tokenizer.json``, which wins; ``tokenizer_config.json``,
            ``special_tokens_map.json`` and ``added_tokens.json`` where they are.
        pad_token : str or None
            What pads a row where none of these files says it; None is ``"<|endoftext|>"``.

        Raises
        ------
        MissingFileError : there is no vocabulary
        ModelError : a file that cannot be used
        """
        folder = Path(folder).expanduser()
        settings = read_settings(folder)
        if pad_token is not None and not any(each.value.get("pad_token") for each in settings[:2]):
            settings = (Json({"pad_token": pad_token}, settings[0].source), *settings[1:])
        specials = SpecialTokens.from_json(*settings)
        return cls(read_vocabulary(folder, settings[-1], specials.unk_token), specials)

    @classmethod
    def clip(cls, pad_token: str = EOS_TOKEN, model_max_length: int = MODEL_MAX_LENGTH) -> "ClipTokenizer":
        """CLIP's own vocabulary, which ships with sdrt.

        Parameters
        ----------
        pad_token : str
            ``"<|endoftext|>"`` as in Stable Diffusion 1.x, or ``"!"`` as in 2.x.
        model_max_length : int >= 2
            Places in a row of a batch.

        Raises
        ------
        ConfigError : a token that CLIP does not have, or a length below 2
        """
        vocabulary = ClipVocabulary()
        if not isinstance(pad_token, str) or vocabulary.find(pad_token) is None:
            raise ConfigError(
                f"pad_token must be one of CLIP's tokens, got {pad_token!r}; Stable Diffusion has '<|endoftext|>' (1.x) or '!' (2.x)"
            )
        if type(model_max_length) is not int or model_max_length < 2:
            raise ConfigError(f"model_max_length must be a whole number of at least 2, got {model_max_length!r}; Stable Diffusion has 77")
        added = tuple(map(AddedToken, (BOS_TOKEN, EOS_TOKEN, pad_token)))
        return cls(vocabulary, SpecialTokens(pad_token=pad_token, model_max_length=model_max_length, added=added))

    def with_embeddings(self, embeddings: Mapping[str, range]) -> "ClipTokenizer":
        """The same tokenizer with tokens of textual inversion.

        Parameters
        ----------
        embeddings : mapping from token to range
            Each token with the ids of its vectors, in the text encoder's table. Further vectors are tokens of their own, ``<cat>_1``,
            ``<cat>_2``, ..., as in diffusers.

        Returns
        -------
        ClipTokenizer
            It finds a token in the cleaned prompt, so in any case of letters and inside words, and gives the ids of all its vectors.
            (diffusers gives those after the first only where the prompt has the token's own case.)

        Raises
        ------
        ConfigError : a token that cannot be found again: empty, with blanks at an end, in the vocabulary already, or the same as another;
            or an id that is taken

        >>> tokenizer = ClipTokenizer.clip().with_embeddings({"<cat>": range(49408, 49410)})
        >>> tokenizer.encode("a <CAT> toy")
        [49406, 320, 49408, 49409, 5988, 49407]
        """
        found: dict[str, str] = {}
        for token, ids in embeddings.items():
            if not ids or ids.step != 1 or ids.start < self.vocab_size:
                raise ConfigError(f"the ids of embedding {token!r} are a run from {self.vocab_size} on; got {ids}")
            if len(ids) > (room := self.model_max_length - 2):
                raise ConfigError(
                    f"embedding {token!r} has {len(ids)} vectors, and a prompt's chunk has room for {room}; take a smaller one"
                )
            for name in _names_of_vectors(token, len(ids)):
                cleaned = normalize(name)
                if not token or token != token.strip():
                    raise ConfigError(f"an embedding's token is text without blanks at its ends; got {token!r}")
                if self._vocabulary.find(name) is not None or cleaned in map(normalize, self._shown.values()):
                    raise ConfigError(f"embedding {token!r}: {name!r} is a token of this tokenizer already; give the embedding another one")
                if cleaned in found:
                    raise ConfigError(
                        f"embeddings {found[cleaned]!r} and {token!r} both have the token {cleaned!r} (any case is the same); rename one"
                    )
                found[cleaned] = token
        return ClipTokenizer(self._vocabulary, self._specials, self._embeddings | dict(embeddings))

    @property
    def embedding_lengths(self) -> Mapping[int, int]:
        """How many ids each token of textual inversion gives, by its first."""
        return {first: len(ids) for first, ids in self._vectors.items()}

    @property
    def bos_token_id(self) -> int:
        """Id of the token that starts each prompt."""
        return self._bos

    @property
    def eos_token_id(self) -> int:
        """Id of the token that ends each prompt."""
        return self._eos

    @property
    def pad_token_id(self) -> int:
        """Id of the token that fills a row."""
        return self._pad

    @property
    def model_max_length(self) -> int:
        """Length of a row in a batch."""
        return self._specials.model_max_length

    @property
    def vocab_size(self) -> int:
        """How many ids there are, added tokens included."""
        return self._size

    def encode(self, text: str) -> list[int]:
        """Ids of one prompt: start token, words, end token; not padded, not cut.

        Raises
        ------
        ConfigError : not a str, or one with a lone surrogate, which is no character
        """
        if not isinstance(text, str):
            raise ConfigError(f"a prompt must be a str, got {type(text).__name__}; pass texts one by one, or a list of them to batch()")
        ids = [self._bos]
        try:
            for part in self._added.split(text, cleaned=False):
                if isinstance(part, int):
                    ids.append(part)
                else:
                    ids += self._encode_words(part)
        except UnicodeEncodeError:
            at = next(i for i, c in enumerate(text) if "\ud800" <= c <= "\udfff")
            raise ConfigError(
                f"a prompt must be Unicode text, got the lone surrogate U+{ord(text[at]):04X} at place {at}; decode with errors='replace'"
            ) from None
        ids.append(self._eos)
        return ids if not self._vectors else [j for i in ids for j in self._vectors.get(i, (i,))]

    def batch(self, texts: Sequence[str]) -> TokenBatch:
        """Ids of several prompts, padded and cut to ``model_max_length``; the end token stays in the last place.

        Raises
        ------
        ConfigError : not a list of str, or a lone surrogate

        >>> batch = ClipTokenizer.clip().batch(["a cat", "very " * 75 + "long"])
        >>> batch.input_ids.shape, batch.truncated
        ((2, 77), ('', 'long'))
        """
        if isinstance(texts, str):
            raise ConfigError(f"batch() takes a list of prompts, got the single str {texts[:40]!r}; write [text]")
        length = self.model_max_length
        rows = [self.encode(text) for text in texts]
        truncated = [""] * len(rows)
        for k, row in enumerate(rows):
            if len(row) > length:
                truncated[k] = self.decode(row[length - 1 : -1])
                rows[k] = [*row[: length - 1], self._eos]
        lengths = np.fromiter(map(len, rows), np.intp, len(rows))
        input_ids = np.full((len(rows), length), self._pad, np.int32)
        input_ids[np.arange(length) < lengths[:, None]] = np.fromiter(chain.from_iterable(rows), np.int32, int(lengths.sum()))
        return TokenBatch(input_ids, tuple(truncated))

    def decode(self, ids: Iterable[int], *, skip_special_tokens: bool = True) -> str:
        """Text of ids: cleaned, with a blank after each word.

        Raises
        ------
        ConfigError : an id that the tokenizer does not have
        """
        tokens = []
        for i in map(int, ids):
            token = self._shown.get(i) or self._vocabulary.tokens.get(i)
            if token is None:
                raise ConfigError(f"ids are below {self.vocab_size}, got {i}; decode with the tokenizer that encoded")
            if not (skip_special_tokens and i in self._silent):
                tokens.append(token)
        return self._vocabulary.decode(tokens)

    def _encode_words(self, text: str) -> Iterable[int]:
        """Ids of text without added tokens that are found as typed."""
        cached = self._words
        if not self._added.in_cleaned_text:
            return chain.from_iterable([cached[word] for word in words(lowercase(nfc(text)))])
        ids: list[int] = []
        for part in self._added.split(lowercase(collapse_space(nfc(text))), cleaned=True):
            if isinstance(part, int):
                ids.append(part)
            else:
                ids += chain.from_iterable([cached[word] for word in words(part)])
        return ids


def _ids_of_added(vocabulary: Vocabulary, specials: SpecialTokens) -> dict[str, int]:
    """The ids of added tokens: the vocabulary's, else the next free one.

    Raises
    ------
    ModelError : a file gives a token another id
    """
    ids: dict[str, int] = {}
    free = vocabulary.size
    for token in specials.added:
        if token.content not in ids:
            known = vocabulary.find(token.content)
            ids[token.content] = free if known is None else known
            free += known is None
        if (stated := specials.stated_ids.get(token.content, ids[token.content])) != ids[token.content]:
            raise ModelError(
                f"added token {token.content!r} has the id {ids[token.content]} in this vocabulary, but its file says {stated}; "
                "take all tokenizer files from one model"
            )
    return ids


def _names_of_vectors(token: str, count: int) -> list[str]:
    """The token of each vector, as diffusers names them."""
    return [token, *(f"{token}_{k}" for k in range(1, count))]


def _embedding_tokens(embeddings: Mapping[str, range]) -> list[tuple[AddedToken, int]]:
    """A token for each vector: not special, and found in the cleaned prompt, as transformers' ``add_tokens`` makes one of a str."""
    return [
        (AddedToken(name, special=False, normalized=True), i)
        for token, ids in embeddings.items()
        for name, i in zip(_names_of_vectors(token, len(ids)), ids, strict=True)
    ]
