"""Prompts from a file, or from standard input: one on each line."""

import os
import sys
from pathlib import Path

from sdrt.errors import ConfigError
from sdrt.limits import DEFAULT_LIMITS

__all__ = ["prompt_text", "read_lines", "read_prompts"]


def prompt_text(argument: str) -> str:
    """Return a prompt as it was typed: where the locale is not UTF-8, Python hands it over as halves of surrogate pairs."""
    try:
        return os.fsencode(argument).decode("utf-8")
    except UnicodeError:
        return argument


def read_prompts(file: Path) -> tuple[str, ...]:
    """Read prompts; empty lines, and lines that begin with ``#``, are none.

    Parameters
    ----------
    file : Path
        ``-`` is standard input.

    Raises
    ------
    ConfigError : it cannot be read, is no text in UTF-8, is too large, or holds no prompt
    """
    name = "standard input" if str(file) == "-" else f"--prompts {file}"
    prompts = read_lines(file, name)
    if not prompts:
        raise ConfigError(f"{name}: must hold a prompt on each line, got none; write some")
    return prompts


def read_lines(file: Path, name: str) -> tuple[str, ...]:
    """Read the lines of a text; empty ones, and those that begin with ``#``, are none.

    Parameters
    ----------
    file : Path
        ``-`` is standard input.
    name : str
        Of the file, for messages.

    Raises
    ------
    ConfigError : it cannot be read, is no text in UTF-8, or is too large
    """
    try:
        data = _read(file, name)
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{name}: cannot be read (not UTF-8 at byte {error.start}); pass text in UTF-8") from error
    except OSError as error:
        raise ConfigError(f"{name}: cannot be read ({error.strerror or error}); pass a text file in UTF-8") from error
    return tuple(line for each in text.splitlines() if (line := each.strip()) and not line.startswith("#"))


def _read(file: Path, name: str) -> bytes:
    limits = DEFAULT_LIMITS
    if str(file) == "-":
        if sys.stdin is None:
            raise ConfigError(f"{name}: is closed; pass a file with --prompts")
        data = sys.stdin.buffer.read(limits.json_bytes + 1)
    else:
        if not file.is_file() and file.exists():
            kind = "a folder" if file.is_dir() else "a pipe or a device"
            raise ConfigError(f"{name}: must be a file of text, got {kind}; pass '-' to read standard input")
        with file.open("rb") as stream:
            data = stream.read(limits.json_bytes + 1)
    if len(data) > limits.json_bytes:
        raise ConfigError(f"{name}: must have at most {limits.json_bytes} bytes, got more; split it")
    return data
