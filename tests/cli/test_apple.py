"""`sdrt apple`: the modules of Apple's package by their names."""

import argparse

import pytest

from sdrt.cli import main, parser


def parser_of(command: str) -> argparse.ArgumentParser:
    commands = next(action for action in parser()._actions if isinstance(action, argparse._SubParsersAction))
    found: argparse.ArgumentParser = commands.choices[command]
    return found


def test_the_modules_are_there_by_their_names() -> None:
    modules = ("activation_quantization", "chunk_mlprogram", "multilingual_projection", "torch2coreml")
    assert all(module in parser_of("apple").format_help() for module in modules)


def test_the_converter_takes_the_arguments_of_ours_and_compares_when_asked_to() -> None:
    typed = ["--convert-unet", "-o", "packages", "--compute-unit", "CPU_AND_NE"]
    ours, theirs = vars(parser().parse_args(["convert", *typed])), vars(parser().parse_args(["apple", "torch2coreml", *typed]))
    assert (ours.pop("check_output_correctness"), theirs.pop("check_output_correctness")) == (True, False)
    del ours["run"]
    assert {name: theirs[name] for name in ours} == ours


def test_a_missing_module_is_asked_for_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["apple"])
    assert ended.value.code == 2
    assert "MODULE" in capsys.readouterr().err
