"""Read from a folder's own files which tokens begin, end and pad a prompt, and which are matched literally.

Two generations of files hold this information, each in two forms (a plain string, or a dict with flags), and they may disagree. This
module follows transformers 5.23 (``PreTrainedTokenizerBase._from_pretrained``, ``TokenizersBackend.__init__``): precedence decides whether
``!`` or ``<|ENDOFTEXT|>`` in a prompt is a word or a token. Only a padding token that is a word, the ``!`` of Stable Diffusion 2.x, is left
to `sdrt.tokenizer.ClipTokenizer`.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sdrt.errors import ConfigError, ModelError, SdrtError
from sdrt.printable import shown
from sdrt.tokenizer.added_tokens import AddedToken
from sdrt.tokenizer.clip_vocabulary import BOS_TOKEN, EOS_TOKEN
from sdrt.tokenizer.vocabulary import Vocabulary
from sdrt.values import Flag, Integer, read_values

__all__ = ["MODEL_MAX_LENGTH", "Json", "SpecialTokens", "check_length"]

MODEL_MAX_LENGTH = 77  # positions of CLIP's text encoder
_NO_LIMIT = 1 << 20  # transformers writes 10**30 when no limit was set
_FLAGS = ("special", "normalized", "lstrip", "rstrip", "single_word")
_DEFAULTS: dict[str, str | None] = {  # in the order in which transformers adds them
    "bos_token": BOS_TOKEN,
    "eos_token": EOS_TOKEN,
    "unk_token": EOS_TOKEN,
    "sep_token": None,
    "pad_token": EOS_TOKEN,
    "cls_token": None,
    "mask_token": None,
}


@dataclass(frozen=True)
class Json:
    """A JSON object and the file it was read from, for messages."""

    value: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""

    def table(self, key: str) -> "Json":
        """Return the object under a key, empty if there is none."""
        value = self.value.get(key)
        if not isinstance(value, dict | None):
            raise ModelError(f"{self.source!r}: {key} must be an object, got {type(value).__name__}; fetch the file again")
        return Json(value or {}, self.source)

    def rows(self, key: str) -> list[Any]:
        """Return the list under a key (for an object, its values), empty if there is none."""
        value = self.value.get(key) or []
        if not isinstance(value, dict | list):
            raise ModelError(f"{self.source!r}: {key} must be a list, got {type(value).__name__}; fetch the file again")
        return list(value.values() if isinstance(value, dict) else value)

    def token(self, value: object, *, special: bool) -> AddedToken | str:
        """Read a token in either form; ``special`` applies if a dict does not state it."""
        if isinstance(value, str) and value:
            return value
        if isinstance(value, dict) and isinstance(content := value.get("content"), str) and content:
            owner = f"{self.source!r}: in the token {shown(content)}, "
            flags = read_values(owner, value, dict.fromkeys(_FLAGS, Flag()), "fetch the file again", ModelError)
            if flags.pop("single_word", False):
                raise ModelError(f"{owner}single_word must be false, got true; set it to false")
            special = flags.pop("special", special)
            return AddedToken(content, special, **{"normalized": not special, **flags})
        rule = f"{self.source!r}: a token must be a string, or an object with its content"
        raise ModelError(f"{rule}, got {shown(value)}; fetch the file again")


@dataclass(frozen=True)
class SpecialTokens:
    """The special and added tokens that a tokenizer's files define.

    Parameters
    ----------
    added : tuple of AddedToken
        In the order in which they get their ids if the vocabulary lacks them; for equal contents, a later token overrides an earlier one.
    stated_ids : mapping from str to int
        The ids that files state for added tokens.
    """

    bos_token: str = BOS_TOKEN
    eos_token: str = EOS_TOKEN
    unk_token: str = EOS_TOKEN
    pad_token: str = EOS_TOKEN
    model_max_length: int = MODEL_MAX_LENGTH
    added: tuple[AddedToken, ...] = (AddedToken(BOS_TOKEN), AddedToken(EOS_TOKEN))
    stated_ids: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def from_json(cls, config: Json, special_map: Json, added: Json, serialized: Json) -> "SpecialTokens":
        """Read ``tokenizer_config.json``, ``special_tokens_map.json``, ``added_tokens.json`` and ``tokenizer.json``.

        Missing files are empty. A token set to null counts as absent.

        Raises
        ------
        ModelError : a value of an unexpected form
        """
        names: dict[str, AddedToken | str] = {key: value for key, value in _DEFAULTS.items() if value is not None}
        names |= dict(_names(config, special=False))
        listed = config.rows("extra_special_tokens") or config.rows("additional_special_tokens")
        extra = [config.token(value, special=False) for value in listed]
        by_id: dict[int, AddedToken] = {}
        if "added_tokens_decoder" in config.value:
            for i, value in config.table("added_tokens_decoder").value.items():
                by_id[_id(i, config)] = _flagged(config.token(value, special=False))
        else:
            names |= dict(_names(special_map, special=True))
            listed = special_map.rows("extra_special_tokens") + special_map.rows("additional_special_tokens")
            extra += [token for value in listed if (token := special_map.token(value, special=True)) not in extra]
            known = {_content(token) for token in [*names.values(), *extra]}
            for content, i in added.value.items():
                by_id[_id(i, added)] = AddedToken(content, special=content in known, normalized=content not in known)
            for row in serialized.rows("added_tokens"):
                by_id[_id(row.get("id") if isinstance(row, dict) else None, serialized)] = _flagged(serialized.token(row, special=False))
        by_content = {token.content: token for token in by_id.values()}
        names = {key: by_content.get(_content(token), token) for key, token in names.items()}
        named = [names[key] for key in [*_DEFAULTS, *(key for key in names if key not in _DEFAULTS)] if key in names]
        bos_token, eos_token, unk_token, pad_token = (_content(names[f"{name}_token"]) for name in ("bos", "eos", "unk", "pad"))
        return cls(
            bos_token=bos_token,
            eos_token=eos_token,
            unk_token=unk_token,
            pad_token=pad_token,
            model_max_length=_length(config),
            added=tuple(_in_order(by_id, named, extra)),
            stated_ids={token.content: i for i, token in by_id.items()},
        )

    def ids_in(self, vocabulary: Vocabulary) -> dict[str, int]:
        """Return the ids of added tokens: the vocabulary's own, or the next free ids.

        Raises
        ------
        ModelError : a file states a different id for a token
        """
        ids: dict[str, int] = {}
        free = vocabulary.size
        for token in self.added:
            if token.content not in ids:
                known = vocabulary.find(token.content)
                ids[token.content] = free if known is None else known
                free += known is None
            if (stated := self.stated_ids.get(token.content, ids[token.content])) != ids[token.content]:
                rule = f"added token {shown(token.content)} must have the id {ids[token.content]} of this vocabulary"
                raise ModelError(f"{rule}, got {stated} in its file; take all tokenizer files from one model")
        return ids


def _names(source: Json, *, special: bool) -> Iterator[tuple[str, AddedToken | str]]:
    """Yield tokens by name; a name that transformers does not know counts if it is ``something_token`` and its value a string."""
    for key, value in source.value.items():
        if value is not None and (key in _DEFAULTS or (key.endswith("_token") and isinstance(value, str))):
            yield key, source.token(value, special=special)


def _in_order(by_id: dict[int, AddedToken], named: list[AddedToken | str], extra: list[AddedToken | str]) -> Iterator[AddedToken]:
    """Yield all tokens to add: those with ids, then the named ones, then the others, as transformers does."""
    contents = {token.content for token in by_id.values()}
    specials = {_content(token) for token in named}
    order: list[AddedToken | str] = [by_id[i] for i in sorted(by_id)]
    order += dict.fromkeys(token for token in named if _content(token) not in contents)
    order += [token for token in extra if _content(token) not in contents and token not in order]
    for token in map(_flagged, order):
        if token.content in specials and not token.special:
            token = AddedToken(token.content, special=True, normalized=token.normalized, lstrip=token.lstrip, rstrip=token.rstrip)
        if token.content:
            yield token


def _content(token: AddedToken | str) -> str:
    return token if isinstance(token, str) else token.content


def _flagged(token: AddedToken | str) -> AddedToken:
    """Return the token with flags; a plain string stands for a special token that is matched as typed."""
    return AddedToken(token) if isinstance(token, str) else token


def _id(value: object, source: Json) -> int:
    if isinstance(value, str) and value.isdecimal() and value.isascii():
        value = int(value)
    if type(value) is not int or not 0 <= value < _NO_LIMIT:
        raise ModelError(f"{source.source!r}: the id of an added token must be a whole number, got {shown(value)}; fetch the file again")
    return value


def _length(config: Json) -> int:
    value = config.value.get("model_max_length")
    if value is None or (isinstance(value, int | float) and _NO_LIMIT < value < math.inf):
        return MODEL_MAX_LENGTH
    return check_length(value, f"{config.source!r}: ", ModelError)


def check_length(value: object, owner: str = "", error: type[SdrtError] = ConfigError) -> int:
    """Return a ``model_max_length`` that rows can have: room for the two markers and a word at least."""
    return Integer(3, 2**16, whole_floats=True).check(f"{owner}model_max_length", value, "Stable Diffusion has 77", error)
