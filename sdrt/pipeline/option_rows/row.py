"""The form of a row in the table of options. Nothing of sdrt is imported, so that ``sdrt --help`` stays fast."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = ["Kind", "Option", "option"]

Kind: TypeAlias = Literal[
    "integer",
    "integers",
    "number",
    "numbers",
    "name",
    "names",
    "choice",
    "choices",
    "switch",
    "pair",
    "factors",
    "scales",
    "picture",
    "pictures",
    "array",
    "text",
    "arrays",
    "texts",
    "group",
]


@dataclass(frozen=True, kw_only=True)
class Option:
    """One option of ``generate``.

    Parameters
    ----------
    name : str
        The keyword.
    kind : Kind
        How a value is written on the command line. ``integers`` are one, or several with commas between them; ``scales`` a choice, or
        numbers with commas; the flags of ``numbers``, ``choices``, ``names``, ``texts``, ``pictures`` and ``arrays`` may be repeated; a
        ``switch`` has a second flag that begins with ``--no-``; an ``array`` is a file; a ``group`` has no flag, because each option in it
        has one of its own.
    flags : tuple of str
    help : str
        For ``sdrt generate --help``: the effect, and the default in parentheses.
    record : str
        The field of ``Settings``, or ``conditions.KEY`` in it; empty for a group.
    section : str
        The heading under which the help lists it.
    choices : tuple of str
        The values of a choice.
    metavar : tuple of str
        The two numbers of a pair, or the several of ``factors``.
    """

    name: str
    kind: Kind
    flags: tuple[str, ...]
    help: str
    record: str
    section: str
    choices: tuple[str, ...] = ()
    metavar: tuple[str, ...] = ("HEIGHT", "WIDTH")


def option(name: str, kind: Kind, section: str, text: str, *flags: str, record: str | None = None, **more: tuple[str, ...]) -> Option:
    """Return a row whose flag and place in the record have its own name unless they are stated."""
    flags = flags or (f"--{name.replace('_', '-')}",)
    return Option(name=name, kind=kind, section=section, help=text, flags=flags, record=record or name, **more)
