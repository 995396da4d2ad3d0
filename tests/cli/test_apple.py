"""`sdrt apple`: the modules of Apple's package by their names."""

import pytest

from sdrt.cli import main, parser


def test_the_converter_is_there_by_its_name_and_takes_the_same_arguments() -> None:
    typed = ["torch2coreml", "--convert-unet", "-o", "packages", "--compute-unit", "CPU_AND_NE"]
    here = vars(parser().parse_args(["convert", *typed[1:]]))
    assert vars(parser().parse_args(["apple", *typed])) == here


def test_a_missing_module_is_asked_for_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["apple"])
    assert ended.value.code == 2
    assert "MODULE" in capsys.readouterr().err
