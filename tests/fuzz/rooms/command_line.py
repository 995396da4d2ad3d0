"""The command line: any arguments, in this process, and what it prints."""

import contextlib
import io
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sdrt.cli import main
from sdrt.errors import SdrtError
from tests.fuzz.drawing import Draw, Found
from tests.fuzz.judging import CONTROL, LINES, LONG, OTHER, judge_text
from tests.fuzz.rooms.records import write_record
from tests.fuzz.values import HOSTILE_NUMBERS, HOSTILE_TEXTS

_VALUES = ("--seed", "-n", "-H", "-W", "--steps", "--guidance-scale", "--guidance-rescale", "--guidance-batching", "--scheduler", "--eta")
_MORE = ("--rng", "--sampler-rng", "--sampler-seed", "--compat", "--prompt-syntax", "--long-prompts", "--emphasis", "--clip-skip")
_FILES = (
    "--prompts",
    "--from",
    "-o",
    "--model",
    "--embedding",
    "--lora",
    "--lora-dir",
    "--controlnet",
    "--refiner",
    "--vae",
    "--preview-vae",
    "--image",
    "--mask-image",
    "--outpaint",
)
_OTHERS = (
    "--backend",
    "--numerics",
    "--threads",
    "--flagged-pictures",
    "--variant",
    "--preview-every",
    "--preview-kind",
    "--pickled",
    "--prediction-type",
    "--negative-prompt",
    "--cfg",
    "--unknown",
)
_SWITCHES = ("-q", "-v", "--reduce-memory", "--safety-checker", "--version", "--help", "--json", "--", "-", "--overwrite")
_COMMANDS = (
    "generate",
    "generate",
    "generate",
    "generate",
    "inspect",
    "inspect",
    "benchmark",
    "backends",
    "schedulers",
    "models",
    "convert",
    "completion",
    "sdcpp",
    "sdcpp",
)
_OF_SDCPP = (
    "--sampling-method",
    "--scheduler",
    "--rng",
    "--sampler-rng",
    "--clip-skip",
    "--cfg-scale",
    "--strength",
    "-i",
    "--mask",
    "-b",
    "-s",
)
_GOOD = ("1", "2", "64", "3.5", "ddim", "euler a", "torch", "numpy", "float64", "batched", "plain", "unet=numpy", "a=b", "fp16")


def _value(draw: Draw) -> str:
    kind = draw.random()
    if kind < 0.45:
        return draw.choice(_GOOD)
    text = (
        draw.choice(HOSTILE_TEXTS)
        if kind < 0.8
        else str(draw.choice([value for value in HOSTILE_NUMBERS if abs(value) < 1e30 or value != value]))
    )
    # no system passes these two in an argument
    return text.replace("\0", "").replace("\ud800", "\udc80")


def _file(draw: Draw) -> str:
    kept = draw.materials
    made = (kept.record, kept.jpeg, kept.nano, kept.embedding, kept.lora, kept.controlnet, kept.checkpoint, kept.package, kept.sd1 / "vae")
    names = ("missing", "missing/x.png", "x.jpg", "x.png", ".", "con.png", "~nouser/x", "file.txt", "loop", "y" * 300)
    if draw.chance(0.4):
        return str(draw.choice(made))
    return str(draw.place / draw.choice(names)) if draw.chance(0.8) else _value(draw)


def _arguments(draw: Draw) -> list[str]:
    command = draw.choice(_COMMANDS)
    arguments = [command] if draw.chance(0.97) else []
    if command == "generate":
        arguments += ["a red circle"] if draw.chance(0.8) else [_value(draw)] if draw.chance(0.5) else []
        arguments += ["--steps", "1", "-o", str(draw.place / "out")]
    elif command == "convert":
        arguments += ["--convert-safety-checker", "--model-version", _file(draw), "-o", str(draw.place / "out")]
    elif command == "benchmark":
        arguments += ["--steps", "1", "--repeats", "1", "--threads", "1"]
    elif command == "inspect":
        arguments += [_file(draw)]
    elif command == "sdcpp":
        arguments += ["-p", "a red circle", "--steps", "1", "-W", "64", "-H", "64", "-o", str(draw.place / "out" / "x.png")]
        for flag in draw.sample(_OF_SDCPP, draw.choice((0, 1, 2))):
            arguments += [flag, _file(draw) if flag in ("-i", "--mask") else _value(draw)]
    for _ in range(draw.choice((0, 1, 1, 2, 3))):
        flag = draw.choice((*_VALUES, *_MORE, *_FILES, *_OTHERS, *_SWITCHES))
        if command == "convert" and flag in ("--vae", "--refiner", "--controlnet"):
            continue
        arguments.append(flag)
        if flag in _FILES:
            arguments.append(_file(draw))
        elif flag not in _SWITCHES:
            arguments.append(_value(draw))
    if draw.chance(0.05):
        draw.shuffle(arguments)
    return arguments


@contextlib.contextmanager
def _streams() -> Iterator[tuple[io.StringIO, io.StringIO]]:
    """Standard output and error, as texts; the loggers are left as they were."""
    root, own = logging.getLogger(), logging.getLogger("sdrt")
    before = root.handlers[:], root.level, own.handlers[:], own.level
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            yield out, err
        finally:
            root.handlers[:], own.handlers[:] = before[0], before[2]
            root.setLevel(before[1])
            own.setLevel(before[3])


def _run(arguments: list[str], place: Path) -> tuple[Any, str, str]:
    before = Path.cwd()
    os.chdir(place)
    try:
        with _streams() as (out, err):
            try:
                status: Any = main(arguments)
            except SystemExit as left:
                status = left.code
    finally:
        os.chdir(before)
    return status, out.getvalue(), err.getvalue()


def command_line(draw: Draw) -> str | None:
    """A command, its status, and what it says."""
    (draw.place / "file.txt").write_text("a\n# b\n\n\x1b[31mc\n" * draw.choice((1, 1, 50)))
    (draw.place / "loop").symlink_to("loop")
    arguments = _arguments(draw)
    if arguments[:1] == ["inspect"] and draw.chance(0.5):
        file = draw.copy_of(draw.materials.record)
        write_record(draw, file)
        arguments[1:2] = [str(file)]
    draw.note(" ".join(map(ascii, arguments)))
    status, out, err = _run(arguments, draw.place)
    if status not in (0, 1, 2, 3, 130, None):
        raise Found(OTHER, f"status {status!r}")
    _check_prints(out, err, failed=status not in (0, None))
    if status not in (0, None):
        raise SdrtError(err.strip().split("\n")[-1])
    return None


def _check_prints(out: str, err: str, *, failed: bool) -> None:
    for name, text in (("output", out), ("error", err)):
        for line in text.replace("\r", "\n").split("\n"):
            if (column := judge_text(line)) in (CONTROL, LONG) and not (column == LONG and name == "output"):
                raise Found(column, f"standard {name}: {ascii(line)[:200]}")
    if "Traceback" in err:
        raise Found(OTHER, f"a traceback: {err[-300:]}")
    # remarks are lines of their own, and so are a bar's; the reason is one line, and begins with the program's name
    lines = [line for line in err.replace("\r", "\n").split("\n") if line.strip() and "%|" not in line and "it/s" not in line]
    if failed and (not lines or any(not line.startswith(("sdrt: ", "sdrt:", "usage")) for line in lines)):
        raise Found(LINES, f"on standard error: {ascii(err)[:300]}")


GENERATORS = {"command-line": command_line}
