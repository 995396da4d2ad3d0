"""Commands of other packages: one that fails harms no other, and is named."""

import sys
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from sdrt.cli import main, parser, plug_ins


def nothing(commands: Any) -> None:
    """Add no command."""


def half(commands: Any) -> None:
    commands.add_parser("bad", help="half of it")
    commands.add_parser("beside")
    raise RuntimeError("two\nlines \x1b[31m")


def without_run(commands: Any) -> None:
    commands.add_parser("bad")


def leaving(commands: Any) -> None:
    raise SystemExit(3)


def taking(commands: Any) -> None:
    commands.add_parser("generate")


def good(commands: Any) -> None:
    commands.add_parser("good").set_defaults(run=lambda _: sys.stdout.write("it runs\n"))


def failing(commands: Any) -> None:
    def run(_: Any) -> None:
        raise KeyError("k\n")

    commands.add_parser("bad").set_defaults(run=run)


HERE = "tests.cli.test_plug_ins"


def register(monkeypatch: pytest.MonkeyPatch, *names: str, **points: str) -> None:
    found = [EntryPoint(name=name, value=f"{HERE}:{value}", group=plug_ins.GROUP) for name, value in points.items()]
    monkeypatch.setattr(plug_ins, "entry_points", lambda group: found)


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        ("nothing", "it adds no command 'bad'"),
        ("half", "RuntimeError: two\\nlines \\x1b[31m"),
        ("without_run", "its command has no default 'run' that can be called"),
        ("leaving", "it ends the program, with 3"),
        ("taking", "ArgumentError"),
        ("nowhere", "AttributeError"),
        ("HERE", "TypeError: 'str' object is not callable"),
    ],
)
def test_a_command_that_fails_to_load_is_named_and_harms_no_other(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], function: str, reason: str
) -> None:
    register(monkeypatch, bad=function, good="good")
    assert main(["good"]) == 0
    assert capsys.readouterr() == ("it runs\n", "")
    assert main(["models"]) == 0
    capsys.readouterr()
    for argv in (["bad"], ["bad", "--any", "thing"]):
        assert main(argv) == 2
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        assert err.startswith(f"sdrt: sdrt bad of {HERE}:{function} fails to load (")
        assert reason in err
    assert "not available" in parser().format_help()
    assert "beside" not in parser().format_help()


def test_a_command_that_fails_while_it_runs_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    register(monkeypatch, bad="failing")
    assert main(["bad"]) == 70
    assert capsys.readouterr().err == "sdrt: a fault of the program itself: KeyError: 'k\\n'; -v shows where; please report it\n"
    for argv in (["-v", "bad"], ["bad", "-v"]):
        assert main(argv) == 70
        assert "raise KeyError" in capsys.readouterr().err


def test_damaged_metadata_of_other_packages_take_no_command_away(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def damaged(group: str) -> None:
        raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")

    monkeypatch.setattr(plug_ins, "entry_points", damaged)
    assert main(["models"]) == 0
    out, err = capsys.readouterr()
    assert "nano" in out
    assert err.startswith("sdrt: no commands of other packages: their metadata cannot be read (UnicodeDecodeError")
    assert err.count("\n") == 1
