"""The kinds of rows that a denoiser predicts for each image.

================================  =====================================================================================
``"negative"``                    under the negative prompt
``"prompt"``                      under the prompt
``"prompt 2"``, ``"prompt 3"``    under a further prompt of the same image
``"perturbed"``                   under the prompt, by a denoiser with other options
================================  =====================================================================================
"""

import re
from collections.abc import Sequence
from typing import TypeAlias

from sdrt.values import Kind, ListOf, RefusedError

__all__ = ["NEGATIVE", "PERTURBED", "PROMPT", "ROWS", "Row", "is_prompted", "prompt_row", "text_row", "text_rows"]

Row: TypeAlias = str

NEGATIVE, PROMPT, PERTURBED = "negative", "prompt", "perturbed"

_ROW = re.compile(r"negative|perturbed|prompt(?: [2-9]| [1-9][0-9]{1,3})?")


class _RowKind(Kind[Row]):
    """The name of a kind of row."""

    def describe(self) -> str:
        return "'negative', 'prompt', 'prompt 2' and so on, or 'perturbed'"

    def convert(self, value: object) -> Row:
        if not (isinstance(value, str) and _ROW.fullmatch(value)):
            raise RefusedError
        return value


ROWS = ListOf(_RowKind(), minimum=1)


def prompt_row(index: int) -> Row:
    """Return the row of an image's prompt, by its index.

    >>> prompt_row(0), prompt_row(1)
    ('prompt', 'prompt 2')
    """
    return PROMPT if index == 0 else f"{PROMPT} {index + 1}"


def text_row(row: Row) -> Row:
    """Return the row whose text a row has.

    >>> text_row("perturbed"), text_row("prompt 2")
    ('prompt', 'prompt 2')
    """
    return PROMPT if row == PERTURBED else row


def text_rows(rows: Sequence[Row]) -> tuple[Row, ...]:
    """Return the rows whose texts these have, each once, in their order."""
    return tuple(dict.fromkeys(text_row(row) for row in rows))


def is_prompted(row: Row) -> bool:
    """Return whether a row is conditioned on a prompt: each but the negative one."""
    return row != NEGATIVE
