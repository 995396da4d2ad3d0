"""`sdrt completion`: what each argument of every command may be, and the scripts in the shells themselves."""

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from argcomplete.finders import CompletionFinder
from argcomplete.lexers import split_line

from sdrt import rng, schedulers
from sdrt.backends import registry
from sdrt.cli import main, parser
from sdrt.cli.completing import add_completers, candidates_of
from sdrt.cli.completion import SHELLS
from sdrt.models.hub import cached_repositories
from tests.cli.programs import ROOT, run

# Arguments of a NAME, or of nothing that tells what it is, for which there is nothing to choose from.
WRITTEN_NAMES = {
    "background",
    "controlnet",
    "convert_controlnet",
    "revision",
    "script",
    "selected_recipe",
    "target_size",
    "pag_applied_layers",
    "rest",
}


class Finder(CompletionFinder):
    """argcomplete without its stream for messages, whose number pytest may have given to a file of its own."""

    def _init_debug_stream(self) -> None:
        pass


@pytest.fixture
def complete(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], list[str]]:
    """What a shell is offered at the end of a line, in a folder with a file, a hidden file and a folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photo 1.png").touch()
    (tmp_path / ".hidden").touch()
    (tmp_path / "packages").mkdir()
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "no cache"))

    def completed(line: str) -> list[str]:
        whole = parser()
        add_completers(whole)
        finder = Finder(whole, always_complete_options="long")
        prequote, prefix, _, words, wordbreak = split_line(line)
        return [each.removesuffix(" ") for each in finder._get_completions(words, prefix, prequote, wordbreak)]

    return completed


def test_commands_flags_and_modules(complete: Callable[[str], list[str]]) -> None:
    assert {"generate", "models", "convert", "apple", "sdcpp", "completion"} <= set(complete("sdrt "))
    assert complete("sdrt gen") == ["generate"]
    assert complete("sdrt generate --sampler-s") == ["--sampler-seed"]
    assert complete("sdrt apple torch2") == ["torch2coreml"]
    assert "--attention-implementation" in complete("sdrt apple torch2coreml --a")
    assert complete("sdrt convert --convert-text-e") == ["--convert-text-encoder"]
    assert complete("sdrt sdcpp --t5") == []


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("sdrt generate --compat ", ["diffusers", "apple"]),
        ("sdrt generate --format j", ["jpeg"]),
        ("sdrt generate --dtype f", ["float32", "float16"]),
        ("sdrt generate --rng ", list(rng.names())),
        ("sdrt generate --sampler-rng lib", ["libstdc++"]),
        ("sdrt generate --scheduler dpm++\\ 2m\\ sde\\ k", ["dpm++\\ 2m\\ sde\\ karras"]),
        ("sdrt generate --scheduler 'heun e", ["heun exponential"]),
        ("sdrt generate --backend ", list(registry.names())),
        ("sdrt generate --model nan", ["nano", "nano-inpaint"]),
        ("sdrt generate --controlnet nano", ["nano-edges"]),
        ("sdrt generate --lora nano", ["nano-outline"]),
        ("sdrt generate --image p", ["packages/", "photo\\ 1.png"]),
        ("sdrt generate --image .", [".hidden"]),
        ("sdrt generate --compute-unit CPU_", ["CPU_ONLY", "CPU_AND_GPU", "CPU_AND_NE"]),
        ("sdrt generate --control-type s", ["scribble", "segment"]),
        ("sdrt generate --hires-upscaler latent-b", ["latent-bicubic", "latent-bicubic-antialiased"]),
        ("sdrt generate a --steps ", []),
        ("sdrt generate --negative-prompt ", []),
        ("sdrt inspect ph", ["photo\\ 1.png"]),
        ("sdrt compare nu", ["numpy"]),
        ("sdrt compare numpy --numerics-b e", ["exact"]),
        ("sdrt convert --attention-implementation S", ["SPLIT_EINSUM", "SPLIT_EINSUM_V2"]),
        ("sdrt convert -o ", ["packages/"]),
        ("sdrt sdcpp --rng ", ["std_default", "cuda", "cpu"]),
        ("sdrt sdcpp --sampling-method dpm++2m", ["dpm++2m", "dpm++2m_sde"]),
        ("sdrt swift a --scheduler ", ["pndm", "dpmpp"]),
        ("sdrt upscale ph", ["photo\\ 1.png"]),
        ("sdrt upscale a.png --upscaler b", ["bicubic"]),
        ("sdrt completion ", list(SHELLS)),
    ],
)
def test_values(line: str, offered: list[str], complete: Callable[[str], list[str]]) -> None:
    assert [each for each in complete(line) if not each.startswith("--")] == offered


def test_repositories_of_the_hubs_cache_are_models(
    complete: Callable[[str], list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "no cache" / "models--someone--nano").mkdir(parents=True)
    assert cached_repositories(tmp_path / "no cache") == ("someone/nano",)
    monkeypatch.setattr("sdrt.models.hub.HubAccess.cache", tmp_path / "no cache")
    assert complete("sdrt generate --model some") == ["someone/nano"]
    assert complete("sdrt download some") == ["someone/nano"]


def test_whatever_fails_offers_nothing(complete: Callable[[str], list[str]]) -> None:
    assert complete("sdrt generate --image nowhere/") == []
    assert complete("sdrt generate --image 'photo 1.png/") == []


def actions_of(of: argparse.ArgumentParser, name: str = "sdrt") -> Iterator[tuple[str, argparse.Action]]:
    """Every argument with a value, of every command."""
    for action in of._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command, inner in action.choices.items():
                yield from actions_of(inner, f"{name} {command}")
        elif action.nargs != 0 and action.choices is None and action.help != argparse.SUPPRESS:
            yield name, action


def test_no_argument_is_without_completion_but_those_that_are_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A new flag of a NAME, or of a metavar that nobody knows, is either completed or listed here."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "models--someone--nano").mkdir()
    monkeypatch.setattr("sdrt.models.hub.HubAccess.cache", tmp_path)
    empty = [(name, action) for name, action in actions_of(parser()) if not list(candidates_of(action)(""))]
    numbers = {"N", "X", "N[,N...]", "DB", "SHARE", "WIDTHxHEIGHT", "WIDTHxHEIGHT,...", "LEFT,TOP,RIGHT,BOTTOM"}
    texts = {"TEXT", "PROMPT", "URL", "NAME=VALUE,..."}
    unknown = {
        f"{name} {action.option_strings or action.dest}"
        for name, action in empty
        if not (action.metavar in numbers | texts or isinstance(action.metavar, tuple) or action.dest in WRITTEN_NAMES)
    }
    assert unknown == set()
    paths = [action for _, action in actions_of(parser()) if action.metavar in ("FILE", "PATH", "DIR", "PACKAGE")]
    assert len(paths) > 50
    assert all("folder/" in list(candidates_of(action)("")) for action in paths)


def test_every_scheduler_that_is_offered_is_one(complete: Callable[[str], list[str]]) -> None:
    offered = complete("sdrt generate --scheduler '")
    assert offered == [row.name for row in schedulers.names()]


def program(folder: Path) -> dict[str, str]:
    """An environment in which `sdrt` is this checkout's."""
    script = folder / "bin" / "sdrt"
    script.parent.mkdir(exist_ok=True)
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m sdrt "$@"\n')
    script.chmod(0o755)
    path = os.pathsep.join([str(script.parent), os.environ["PATH"]])
    return {**os.environ, "PATH": path, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]), "HOME": str(folder)}


# How to ask each shell what it completes a line to: the script is sourced as its file, the line is in LINE.
ASK = {
    "bash": 'source ./script; COMP_LINE=$LINE COMP_POINT=${#LINE} COMP_TYPE=9; _python_argcomplete sdrt; printf "%s\\n" "${COMPREPLY[@]}"',
    "zsh": "autoload -U compinit; compinit -u -D; source ./script; _describe() { print -l -- ${(P)2} }; words=(${(z)LINE}); "
    "BUFFER=$LINE; CURSOR=${#LINE}; _python_argcomplete",
    "fish": 'source ./script; complete -C "$LINE"',
}


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_completes_by_the_script(shell: str, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell} here")
    environment = program(tmp_path)
    command = [str(tmp_path / "bin" / "sdrt"), "completion", shell]
    printed = subprocess.run(command, env=environment, capture_output=True, check=True, cwd=tmp_path)
    (tmp_path / "script").write_bytes(printed.stdout)
    (tmp_path / "photo.png").touch()
    flags = {"zsh": ["-f"], "bash": ["--norc"], "fish": ["--no-config"]}[shell]
    offered = {}
    for line in ("sdrt generate --scheduler deis", "sdrt inspect pho"):
        asked = subprocess.run(
            [shell, *flags, "-c", ASK[shell]], env={**environment, "LINE": line}, capture_output=True, text=True, check=True, cwd=tmp_path
        )
        offered[line] = [row.partition("\t")[0].partition(":")[0].strip() for row in asked.stdout.splitlines()]
    assert offered == {"sdrt generate --scheduler deis": ["deis"], "sdrt inspect pho": ["photo.png"]}


def test_without_argcomplete_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "argcomplete", None)
    assert main(["completion", "bash"]) == 2
    assert capsys.readouterr().err == "sdrt: completion needs argcomplete; install the extra: pip install 'sdrt[completion]'\n"


def test_nothing_of_it_is_imported_unless_a_shell_asks(tmp_path: Path) -> None:
    code = "import sys; from sdrt.cli import main; main(['backends']); assert 'argcomplete' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, cwd=tmp_path, env=program(tmp_path))


def test_a_library_call_never_completes(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever passes arguments wants the command, whatever the environment says."""
    monkeypatch.setenv("_ARGCOMPLETE", "1")
    assert main(["backends"]) == 0
    assert "numpy" in capsys.readouterr().out


def test_a_shell_that_asks_badly_is_answered_with_a_status(tmp_path: Path) -> None:
    """Without the stream that the script opens, nothing is printed and nothing hangs."""
    status, out, _ = run(cwd=tmp_path, env={"_ARGCOMPLETE": "1", "COMP_LINE": "sdrt gen", "COMP_POINT": "8"}, stdin=subprocess.DEVNULL)
    assert (status, out) == (1, "")


def test_the_parser_is_as_it_was_after_completing(complete: Callable[[str], list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    complete("sdrt generate --scheduler ")
    with pytest.raises(SystemExit) as ended:
        main(["generate", "--steps", "many"])
    assert ended.value.code == 2
    assert "invalid int value" in capsys.readouterr().err
