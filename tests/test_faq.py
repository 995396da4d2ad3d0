"""The answers of docs/faq.md: every command can be typed, and every option that they name exists."""

import argparse
import re
import shlex
from pathlib import Path

import pytest

from converter import cli as converter_cli
from sdrt.cli import parser

FAQ = (Path(__file__).parents[1] / "docs" / "faq.md").read_text(encoding="utf-8")
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", FAQ, re.DOTALL) for line in block.splitlines()]
OF_SDRT = [line for line in COMMANDS if line.startswith("sdrt ")]
OF_THE_CONVERTER = [line for line in COMMANDS if line.startswith("python -m converter ")]


def options(of: argparse.ArgumentParser) -> set[str]:
    """Every flag of a parser and its commands."""
    found = set()
    for action in of._actions:
        found |= set(action.option_strings)
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                found |= options(command)
    return found


@pytest.mark.parametrize("line", OF_SDRT)
def test_commands_of_sdrt_can_be_typed(line: str) -> None:
    parser().parse_args(shlex.split(line)[1:])


@pytest.mark.parametrize("line", OF_THE_CONVERTER)
def test_commands_of_the_converter_can_be_typed(line: str) -> None:
    converter_cli.parse_options(converter_cli.parser().parse_args(shlex.split(line)[3:]))


def test_every_option_that_is_named_exists() -> None:
    known = options(parser()) | options(converter_cli.parser())
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", FAQ)) - known == set()


def test_nothing_else_is_shown_as_a_command() -> None:
    others = [line for line in COMMANDS if line not in OF_SDRT + OF_THE_CONVERTER]
    assert {line.split()[0] for line in others} == {"pip", "xcrun"}
    assert len(OF_SDRT) >= 4
    assert len(OF_THE_CONVERTER) >= 5
