"""What options may be: colours."""

from typing import Any

import numpy as np
import pytest

from sdrt.errors import ConfigError
from sdrt.option_kinds import COLOUR


@pytest.mark.parametrize(
    ("colour", "text"),
    [
        ("white", "#ffffff"),
        ("RebeccaPurple", "#663399"),
        ("#0a141e", "#0a141e"),
        ("#FFF", "#ffffff"),
        ("rgb(10, 20, 30)", "#0a141e"),
        ((10, 20, 30), "#0a141e"),
        (np.array([10, 20, 30], np.uint8), "#0a141e"),
    ],
)
def test_a_colour_becomes_one_text(colour: Any, text: str) -> None:
    assert COLOUR.check("background", colour) == text
    assert COLOUR.check("background", text) == text


@pytest.mark.parametrize(
    "colour", ["reddish", "", "#12", "#00000080", (1, 2), (1, 2, 256), (0.5, 0, 0), (True, 0, 0), 7, None, b"white", "x" * 200]
)
def test_what_is_no_colour_is_one_line(colour: Any) -> None:
    with pytest.raises(ConfigError, match=r"^background must be a colour: a name as in CSS, #rrggbb, or \(red, green, blue\), got "):
        COLOUR.check("background", colour)
