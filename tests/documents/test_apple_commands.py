"""docs/apple.md: each command of Apple's has its form here by one rule, and the command line takes it."""

import pytest

from tests.documents.foreign_commands import ForeignCommand, commands_of

COMMANDS = commands_of("docs/apple.md")

# What Apple's commands begin with, and what ours begin with in its place.
RULES = {"python -m python_coreml_stable_diffusion.": "sdrt apple ", "swift run StableDiffusionSample ": "sdrt swift "}


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_ours_is_theirs_without_the_words_before_the_module(command: ForeignCommand) -> None:
    begin = next(begin for begin in RULES if command.theirs.startswith(begin))
    assert command.ours == RULES[begin] + command.theirs.removeprefix(begin)
