"""The tokenizer of Apple's Swift package: CLIP's merges over words that are split at blanks alone.

Source: apple/ml-stable-diffusion e12202c, ``swift/StableDiffusion/tokenizer/BPETokenizer.swift``. It differs from CLIP's own wherever
punctuation, digits or apostrophes touch a word (``cat,`` is one word there), since it knows neither CLIP's pattern nor its bytes: a
character that is no token by itself, as most beyond ASCII, becomes the end token. A prompt that is too long loses its end token. Not
copied: it may index beyond a word, and drops the last merge of a file without a final newline.
"""

from dataclasses import replace
from itertools import chain

from sdrt.tokenizer.added_tokens import AddedTokens
from sdrt.tokenizer.clip_tokenizer import ClipTokenizer
from sdrt.tokenizer.embedding_tokens import embedding_tokens
from sdrt.tokenizer.graphemes import graphemes
from sdrt.tokenizer.normalize import WHITE_SPACE, lowercase, nfc
from sdrt.tokenizer.vocabulary import END_OF_WORD

__all__ = ["SwiftTokenizer"]


class SwiftTokenizer(ClipTokenizer):
    """Apple's ids for a prompt, with the vocabulary of a model; parameters as `ClipTokenizer`.

    Tokens of textual inversion, which Apple's package lacks, are matched as everywhere. No other added token is: ``<|endoftext|>`` in a
    prompt is text.

    >>> tokenizer = SwiftTokenizer.of(ClipTokenizer.clip())
    >>> tokenizer.encode("a cat, 4k"), ClipTokenizer.clip().encode("a cat, 4k")
    ([49406, 320, 1481, 267, 19, 330, 49407], [49406, 320, 2368, 267, 275, 330, 49407])
    """

    keeps_end = False

    @classmethod
    def of(cls, tokenizer: ClipTokenizer, *, pads_with_end: bool = False) -> "SwiftTokenizer":
        """Make Apple's tokenizer from a model's own.

        Parameters
        ----------
        tokenizer : ClipTokenizer
        pads_with_end : bool
            Whether to pad with the end token whatever the model's files say, as Apple's package does for every first text encoder, that of
            Stable Diffusion 2.x included.
        """
        specials = tokenizer._specials
        if pads_with_end:
            specials = replace(specials, pad_token=specials.eos_token)
        made = cls(tokenizer._vocabulary, specials, tokenizer._embeddings)
        made._added = AddedTokens(embedding_tokens(tokenizer._embeddings))
        return made

    def _encode_words(self, text: str) -> list[int]:
        text.encode()  # a lone surrogate is named by the caller
        ids: list[int] = []
        for part in self._added.split(lowercase(nfc(text.strip(WHITE_SPACE))), cleaned=True):
            if isinstance(part, int):
                ids.append(part)
            else:
                ids += chain.from_iterable(map(self._encode_word, _words(part)))
        return ids

    def _encode_word(self, word: list[str]) -> list[int]:
        unknown = -1
        symbols = [*word[:-1], word[-1] + END_OF_WORD]
        found = [unknown if known is None else known for known in map(self._vocabulary.find, symbols)]
        return [self._eos if i == unknown else i for i in self._vocabulary.merges.merge(found)]


def _words(text: str) -> list[list[str]]:
    """Split at blanks into words of graphemes; a blank that carries a mark is no blank."""
    words: list[list[str]] = [[]]
    for character in graphemes(text):
        if character == " ":
            words.append([])
        else:
            words[-1].append(character)
    return [word for word in words if word]
