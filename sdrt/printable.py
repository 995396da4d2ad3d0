"""Make text that comes from files and callers safe to print: on one line, without control characters, never endless.

A file can hold anything, and a terminal obeys escape sequences. Everything that sdrt prints or raises passes through here.
"""

import re

__all__ = ["MESSAGE_LENGTH", "VALUE_LENGTH", "printable", "shown"]

# Characters of a whole message, and of one value inside it.
MESSAGE_LENGTH = 1_800
VALUE_LENGTH = 120

# Controls (C0, DEL, C1), invisible spaces, marks that reorder text, line and paragraph separators, and halves of surrogate pairs.
# The joiners of emoji and of Indic scripts are left.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]")


def printable(text: str, length: int = MESSAGE_LENGTH) -> str:
    r"""Return text for a terminal: what is not printable as an escape, and the middle cut out of what is too long.

    Parameters
    ----------
    text : str
    length : int
        The most characters to return.

    >>> printable("red\x1b[31m\ncircle")
    'red\\x1b[31m\\ncircle'
    >>> printable("abcdefghij" * 10, length=20)
    'abcdefghija … efghij'
    """
    if len(text) > length:
        # both ends matter: a message begins with the name of a file and ends with the repair
        tail = length // 3
        text = f"{text[: length - tail - 3]} … {text[-tail:]}"
    escaped = _UNPRINTABLE.sub(_escape, text)
    return escaped if len(escaped) <= length else printable(escaped, length)


def shown(value: object, length: int = VALUE_LENGTH) -> str:
    r"""Return a value's ``repr`` for a message: printable, short, and never an error.

    >>> shown("two\nlines")
    "'two\\nlines'"
    >>> shown([1] * 1000, length=16)
    '[1, 1, 1 … 1, 1]'
    """
    if isinstance(value, str) and len(value) > 4 * length:
        # the repr of a whole file's text is slow to make and thrown away
        value = value[: 2 * length] + value[-2 * length :]
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 -- a caller's class may raise anything, and the message about it must still come out
        text = f"a {type(value).__name__} whose repr fails"
    return printable(text, length)


def _escape(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")
