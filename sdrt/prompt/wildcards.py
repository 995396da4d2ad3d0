"""Fill the wildcards of a prompt: ``__colour__`` becomes a line of the words that go by that name.

The k-th wildcard of a text takes line h mod n of its n lines, where h is the SHA-256 of ``SEED K NAME`` read as a big-endian number: the
same seed draws the same words on every machine. Lines may hold wildcards themselves.
"""

import hashlib
import re
from collections.abc import Callable, Sequence

from sdrt.errors import ConfigError
from sdrt.limits import DEFAULT_LIMITS, Limits
from sdrt.prompt.syntax import check_prompt
from sdrt.values import Integer

__all__ = ["fill_wildcards", "has_wildcards"]

# A name is made of letters, digits, single underscores, '.', '-', and '/' between folders.
_WILDCARD = re.compile(r"(?<!\w)__(\w(?:[^\W_]|[/.-]|_(?!_)){0,100})__(?!\w)")

_DEEPEST, _MOST = 10, 1_000
_SEED = Integer()


def has_wildcards(text: str) -> bool:
    """Return whether a prompt has wildcards.

    >>> has_wildcards("a __colour__ circle"), has_wildcards("snake__case")
    (True, False)
    """
    return _WILDCARD.search(check_prompt(text)) is not None


def fill_wildcards(text: str, seed: int, lines_of: Callable[[str], Sequence[str]], limits: Limits = DEFAULT_LIMITS) -> str:
    """Return a prompt with words in place of its wildcards.

    Parameters
    ----------
    text : str
    seed : int
        Of the image.
    lines_of : callable
        Returns the lines of a name, at least one.
    limits : Limits
        The most characters of a prompt.

    Raises
    ------
    ConfigError : wildcards within wildcards more than 10 deep, more than 1,000 of them, or a text that grows longer than the limit

    >>> fill_wildcards("a __colour__ circle", 93, {"colour": ("red", "blue")}.__getitem__)
    'a red circle'
    """
    _SEED.check("seed", seed)
    drawn = 0

    def filled(text: str, names: tuple[str, ...]) -> str:
        nonlocal drawn

        def draw(match: re.Match[str]) -> str:
            nonlocal drawn
            name = match[1]
            if len(names) == _DEEPEST:
                path = " in ".join((name, *names[::-1]))
                raise ConfigError(f"wildcards must nest at most {_DEEPEST} deep, got {path}; take some out of their lines")
            if drawn == _MOST:
                raise ConfigError(f"a prompt must have at most {_MOST} wildcards, got more at __{name}__; leave some out")
            lines = lines_of(name)
            digest = hashlib.sha256(f"{seed} {drawn} {name}".encode()).digest()
            drawn += 1
            return filled(lines[int.from_bytes(digest, "big") % len(lines)], (*names, name))

        result = _WILDCARD.sub(draw, text)
        limits.check("prompt_characters", "the characters of a prompt with its wildcards", len(result))
        return result

    return filled(check_prompt(text), ())
