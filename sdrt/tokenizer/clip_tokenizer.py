"""CLIP's tokenizer: convert prompts to the ids that a text encoder takes."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from sdrt.arrays import I32
from sdrt.errors import ConfigError
from sdrt.files import user_path
from sdrt.limits import DEFAULT_LIMITS, Limits
from sdrt.printable import shown
from sdrt.tokenizer.added_tokens import AddedToken, AddedTokens
from sdrt.tokenizer.bpe import WordCache
from sdrt.tokenizer.clip_vocabulary import BOS_TOKEN, EOS_TOKEN, ClipVocabulary
from sdrt.tokenizer.embedding_tokens import check_embeddings, embedding_tokens
from sdrt.tokenizer.files import read_settings, read_vocabulary
from sdrt.tokenizer.normalize import collapse_space, lowercase, nfc, normalize
from sdrt.tokenizer.special_tokens import MODEL_MAX_LENGTH, Json, SpecialTokens, check_length
from sdrt.tokenizer.split import words
from sdrt.tokenizer.vocabulary import Vocabulary
from sdrt.values import Integer, ListOf

__all__ = ["ClipTokenizer", "TokenBatch"]

_IDS = ListOf(Integer())


@dataclass(frozen=True, eq=False)
class TokenBatch:
    """Prompts in the form that a text encoder takes.

    Parameters
    ----------
    input_ids : i32[n,L]
        One row for each prompt: start token, words, end token, padding.
    truncated : tuple of n str
        The text cut from each prompt, decoded; "" if none.
    """

    input_ids: I32
    truncated: tuple[str, ...]


class ClipTokenizer:
    """A tokenizer with the same ids as transformers' ``CLIPTokenizer`` (5.23, Rust tokenizers 0.23.3), but for one fault.

    Stable Diffusion 2.x and the second text encoder of SDXL pad with ``!``. transformers then takes each ``!`` of a prompt for padding (id
    0), which those encoders never met as a word: open_clip, on whose ids they were trained, reads ``!`` as 256, ``!!`` as 748. So does this
    class; `as_transformers` has the other ids. No other padding token is a word.

    It is immutable after construction, and threads may share it; its cache of words is bounded.

    Parameters
    ----------
    vocabulary : Vocabulary
    specials : SpecialTokens
    embeddings : mapping from token to range
        See `with_embeddings`.
    match_padding : bool
        Whether a padding token that is a word is matched in prompts, as transformers does.

    >>> tokenizer = ClipTokenizer.clip()
    >>> tokenizer.encode("a photo of a cat")
    [49406, 320, 1125, 539, 320, 2368, 49407]
    >>> tokenizer.decode(tokenizer.encode("It's a CAFÉ!"))
    "it 's a café !"
    """

    # Whether a row that is cut still ends with the end token.
    keeps_end = True

    def __init__(
        self,
        vocabulary: Vocabulary,
        specials: SpecialTokens,
        embeddings: Mapping[str, range] | None = None,
        *,
        match_padding: bool = False,
    ) -> None:
        self._vocabulary = vocabulary
        self._specials = specials
        ids = specials.ids_in(vocabulary)
        self._embeddings = dict(embeddings or {})
        embedded = embedding_tokens(self._embeddings)
        added = {token.content: (token, ids[token.content]) for token in specials.added}
        marks = (specials.bos_token, specials.eos_token, specials.unk_token)
        self._pads_with_word = specials.pad_token not in marks and vocabulary.is_word(specials.pad_token)
        self._match_padding = match_padding
        if self._pads_with_word and not match_padding:
            del added[specials.pad_token]
        self._added = AddedTokens([*added.values(), *embedded])
        self._vectors = {own.start: own for own in self._embeddings.values()}
        self._words = WordCache(vocabulary.merges)
        self._size = max(vocabulary.size, *(i + 1 for i in ids.values()), *(i + 1 for _, i in embedded))
        # How decoding renders added tokens, and which ones it omits. As in the reference, a token matched in the cleaned prompt is rendered
        # in its cleaned form, and is omitted only if that equals its literal form.
        self._shown = {ids[token.content]: token.matched_as for token in specials.added} | {i: token.matched_as for token, i in embedded}
        self._silent = frozenset(ids[token.content] for token in specials.added if token.special and token.matched_as == token.content)
        self._bos, self._eos, self._pad = (ids[token] for token in (specials.bos_token, specials.eos_token, specials.pad_token))

    @classmethod
    def load(cls, folder: str | Path, pad_token: str | None = None, *, limits: Limits = DEFAULT_LIMITS) -> "ClipTokenizer":
        """Open a tokenizer's folder.

        Parameters
        ----------
        folder : path
            Holds ``vocab.json`` and ``merges.txt`` (or ``merges.text``), or ``tokenizer.json``, which takes precedence; also, if present,
            ``tokenizer_config.json``, ``special_tokens_map.json`` and ``added_tokens.json``.
        pad_token : str or None
            The padding token if none of these files names one; None is ``"<|endoftext|>"``.
        limits : Limits
            Of which ``json_bytes`` and ``file_bytes`` count here.

        Raises
        ------
        MissingFileError : no vocabulary in the folder
        ModelError : an unusable file
        """
        folder = user_path("the folder of a tokenizer", folder)
        settings = read_settings(folder, limits)
        if pad_token is not None and not any(each.value.get("pad_token") for each in settings[:2]):
            settings = (Json({"pad_token": pad_token}, settings[0].source), *settings[1:])
        specials = SpecialTokens.from_json(*settings)
        return cls(read_vocabulary(folder, settings[-1], specials.unk_token, limits), specials)

    @classmethod
    def clip(cls, pad_token: str = EOS_TOKEN, model_max_length: int = MODEL_MAX_LENGTH) -> "ClipTokenizer":
        """Make the tokenizer of CLIP's own vocabulary, which ships with sdrt.

        Parameters
        ----------
        pad_token : str
            ``"<|endoftext|>"`` as in Stable Diffusion 1.x, or ``"!"`` as in 2.x.
        model_max_length : int >= 3
            Length of a row in a batch.

        Raises
        ------
        ConfigError : a token that CLIP lacks, or a length below 3
        """
        vocabulary = ClipVocabulary()
        if not isinstance(pad_token, str) or vocabulary.find(pad_token) is None:
            raise ConfigError(
                f"pad_token must be one of CLIP's tokens, got {shown(pad_token)}; Stable Diffusion has '<|endoftext|>' (1.x) or '!' (2.x)"
            )
        model_max_length = check_length(model_max_length)
        added = tuple(map(AddedToken, (BOS_TOKEN, EOS_TOKEN, pad_token)))
        return cls(vocabulary, SpecialTokens(pad_token=pad_token, model_max_length=model_max_length, added=added))

    def with_embeddings(self, embeddings: Mapping[str, range]) -> "ClipTokenizer":
        """Return the same tokenizer with added tokens of textual inversion.

        Parameters
        ----------
        embeddings : mapping from token to range
            Each token with the ids of its vectors in the text encoder's table. Vectors after the first are tokens of their own,
            ``<cat>_1``, ``<cat>_2``, ..., as in diffusers.

        Returns
        -------
        ClipTokenizer
            It matches each token in the cleaned prompt, and so in any letter case and inside words, and returns the ids of all its vectors.
            (diffusers returns those after the first only where the prompt has the token's own case.)

        Raises
        ------
        ConfigError : a token that could not be matched: empty, with white space at an end, already in the vocabulary, or equal to another;
            or an id that is already used

        >>> tokenizer = ClipTokenizer.clip().with_embeddings({"<cat>": range(49408, 49410)})
        >>> tokenizer.encode("a <CAT> toy")
        [49406, 320, 49408, 49409, 5988, 49407]
        """
        check_embeddings(embeddings, self)
        joined = self._embeddings | dict(embeddings)
        return type(self)(self._vocabulary, self._specials, joined, match_padding=self._match_padding)

    def as_transformers(self) -> "ClipTokenizer":
        """Return the tokenizer with transformers' ids, which differ where the padding token is a word.

        >>> clip = ClipTokenizer.clip(pad_token="!")
        >>> clip.encode("a cat!"), clip.as_transformers().encode("a cat!")
        ([49406, 320, 2368, 256, 49407], [49406, 320, 2368, 0, 49407])
        """
        if not self._pads_with_word or self._match_padding:
            return self
        return ClipTokenizer(self._vocabulary, self._specials, self._embeddings, match_padding=True)

    @property
    def embedding_lengths(self) -> Mapping[int, int]:
        """The number of ids of each token of textual inversion, by its first id."""
        return {first: len(ids) for first, ids in self._vectors.items()}

    @property
    def bos_token_id(self) -> int:
        """The id of the token that starts each prompt."""
        return self._bos

    @property
    def eos_token_id(self) -> int:
        """The id of the token that ends each prompt."""
        return self._eos

    @property
    def pad_token_id(self) -> int:
        """The id of the token that pads a row."""
        return self._pad

    @property
    def model_max_length(self) -> int:
        """The length of a row in a batch."""
        return self._specials.model_max_length

    def has_token(self, name: str) -> bool:
        """Return whether a token is in the vocabulary, or an added token matches it in any letter case."""
        cleaned = normalize(name)
        return self._vocabulary.find(name) is not None or any(cleaned == normalize(shown) for shown in self._shown.values())

    @property
    def vocab_size(self) -> int:
        """The number of ids, including added tokens."""
        return self._size

    def encode(self, text: str) -> list[int]:
        """Return the ids of one prompt: start token, words, end token; neither padded nor cut.

        Raises
        ------
        ConfigError : not a str, or one with a lone surrogate, which is not a character
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
                f"a prompt must be Unicode text, got the lone surrogate U+{ord(text[at]):04X} at {at}; decode with errors='replace'"
            ) from None
        ids.append(self._eos)
        return ids if not self._vectors else [j for i in ids for j in self._vectors.get(i, (i,))]

    def batch(self, texts: Sequence[str]) -> TokenBatch:
        """Return the ids of several prompts, padded and cut to ``model_max_length``; a cut row ends with the end token if ``keeps_end``.

        Raises
        ------
        ConfigError : not a list of str, or a lone surrogate

        >>> batch = ClipTokenizer.clip().batch(["a cat", "very " * 75 + "long"])
        >>> batch.input_ids.shape, batch.truncated
        ((2, 77), ('', 'long'))
        """
        if isinstance(texts, str) or not isinstance(texts, Iterable):
            raise ConfigError(f"batch() needs a list of prompts, got {shown(texts, 40)}; write [text]")
        length = self.model_max_length
        rows = [self.encode(text) for text in texts]
        truncated = [""] * len(rows)
        for k, row in enumerate(rows):
            if len(row) > length:
                kept = length - self.keeps_end
                truncated[k] = self.decode(row[kept:-1])
                rows[k] = [*row[:kept], self._eos][:length]
        lengths = np.fromiter(map(len, rows), np.intp, len(rows))
        input_ids = np.full((len(rows), length), self._pad, np.int32)
        input_ids[np.arange(length) < lengths[:, None]] = np.fromiter(chain.from_iterable(rows), np.int32, int(lengths.sum()))
        return TokenBatch(input_ids, tuple(truncated))

    def decode(self, ids: Iterable[int], *, skip_special_tokens: bool = True) -> str:
        """Return the text of ids: cleaned, with a blank after each word.

        Raises
        ------
        ConfigError : an id outside the tokenizer's range
        """
        tokens = []
        for i in _IDS.check("ids", list(ids) if isinstance(ids, Iterator) else ids, "pass a list of them"):
            token = self._shown.get(i) or self._vocabulary.tokens.get(i)
            if token is None:
                raise ConfigError(f"ids must be below {self.vocab_size}, got {i}; decode with the tokenizer that encoded")
            if not (skip_special_tokens and i in self._silent):
                tokens.append(token)
        return self._vocabulary.decode(tokens)

    def _encode_words(self, text: str) -> Iterable[int]:
        """Return the ids of text that holds no added tokens as typed."""
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
