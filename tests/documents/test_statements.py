"""What the documents state in passing is so: options exist, and tables hold the values of the code."""

import argparse
import dataclasses
import re

import pytest

from converter.cli import parser as converter_parser
from sdrt import Limits
from sdrt.cli import parser
from sdrt.testing import plugin
from tests.documents.blocks import DOCUMENTS, ROOT, blocks_of, read

# Flags of other programs, and those that sdrt does not have and says so.
ELSEWHERE = {
    "README.md": {"--help", "--version"},
    "docs/apple.md": {
        *("--attn-psnr", "--calibration-nsamples", "--conv-psnr", "--generate-calibration-data"),
        *("--input-path", "--layerwise-sensitivity", "--output-dir", "--quantize-pytorch"),
    },
}


def flags_of_the_plug_in() -> set[str]:
    """Every flag that sdrt adds to pytest."""
    of_pytest = pytest.Parser(_ispytest=True)
    plugin.pytest_addoption(of_pytest)
    return {name for option in of_pytest.getgroup("sdrt").options for name in option.names()}


def flags_of(of: argparse.ArgumentParser) -> set[str]:
    """Every flag of a parser and its commands."""
    found = set()
    for action in of._actions:
        found |= set(action.option_strings)
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                found |= flags_of(command)
    return found


def outside_blocks(document: str) -> str:
    text = read(document)
    for block in blocks_of(document):
        text = text.replace(block.text, "")
    return text


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_option_that_is_named_exists(document: str) -> None:
    known = flags_of(parser()) | flags_of(converter_parser()) | flags_of_the_plug_in() | ELSEWHERE.get(document, set())
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z0-9_-]+", outside_blocks(document))) - known == set()


def test_limits_are_those_of_the_code() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([\d,]+) \|", read("docs/limits.md"), re.MULTILINE)
    assert {name: int(value.replace(",", "")) for name, value in rows} == dataclasses.asdict(Limits())


def test_examples_in_docstrings_are_run() -> None:
    """pytest runs doctests; none says that it is not to be run."""
    files = [file for room in ("sdrt", "converter", "training") for file in (ROOT / room).rglob("*.py")]
    skipped = [str(file.relative_to(ROOT)) for file in files if "doctest: +SKIP" in file.read_text(encoding="utf-8")]
    assert skipped == []
    settings = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert "--doctest-modules" in settings
    assert 'testpaths = ["tests", "sdrt", "converter", "training"]' in settings


def test_the_exit_statuses_are_stated() -> None:
    rows = re.findall(r"^\| ([\d, ]+) \|", read("docs/command-line.md"), re.MULTILINE)
    stated = {int(number) for row in rows for number in row.split(",")}
    assert stated == {0, 1, 2, 70, 129, 130, 141, 143}
