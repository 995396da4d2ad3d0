r"""Split a prompt of several parts, each of which guides the picture with a weight of its own: ``a cat :0.7 AND a dog :1.2``.

``AND``, in capitals and as a word, stands between the parts, inside brackets too. A number behind a colon at the end of a part is its
weight: 1 if there is none, and below 0 the part is steered away from. ``A\ND`` is the word itself.

Sources: Liu et al. 2022 (arXiv:2206.01714), equation 11; AUTOMATIC1111/stable-diffusion-webui 1.10.1,
``modules/prompt_parser.py::get_multicond_prompt_list``. Departures: digits are those of ASCII; and the runtime reads the weight of a prompt
without ``AND`` as text, which a ratio such as 16:9 usually is.
"""

import math
import re
from dataclasses import dataclass

from sdrt.errors import ConfigError
from sdrt.printable import shown
from sdrt.prompt.syntax import check_prompt

__all__ = ["PromptPart", "is_composed", "prompt_parts"]

_AND = re.compile(r"\bAND\b")
_NUMBER = re.compile(r"\s*+[+-]?(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++)")


@dataclass(frozen=True)
class PromptPart:
    """One part of a prompt.

    Parameters
    ----------
    text : str
        With its weights of words and what changes in it.
    weight : float
        Finite; the share of the part in the guidance.
    """

    text: str
    weight: float = 1.0


def prompt_parts(prompt: str) -> tuple[PromptPart, ...]:
    """Return the parts of a weighted prompt, at least one.

    Raises
    ------
    ConfigError : not a str, or a weight beyond the range of floats

    >>> prompt_parts("a cat AND a dog :0.6")
    (PromptPart(text='a cat', weight=1.0), PromptPart(text=' a dog', weight=0.6))
    """
    return tuple(_part(text) for text in _AND.split(check_prompt(prompt)))


def is_composed(prompt: str) -> bool:
    """Return whether a prompt has several parts.

    >>> is_composed("a cat AND a dog"), is_composed("a cat and a dog")
    (True, False)
    """
    return _AND.search(check_prompt(prompt)) is not None


def _part(text: str) -> PromptPart:
    before, colon, weight = text.rstrip().rpartition(":")
    if not colon or not _NUMBER.fullmatch(weight):
        return PromptPart(text.rstrip())
    number = float(weight)
    if not math.isfinite(number):
        raise ConfigError(f"the weight of a prompt's part must be within the range of floats, got {shown(weight)}; write such as 0.7")
    return PromptPart(before.rstrip(), number)
