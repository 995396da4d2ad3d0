"""Options of ``generate`` as a row of a file or an axis of a grid writes them: text or JSON becomes a checked value."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sdrt.option_kinds import OPTION_KINDS, PROMPT
from sdrt.option_kinds import PROMPTS as TEXTS
from sdrt.pipeline.input_files import FILE_OPTIONS, check_count
from sdrt.pipeline.option_table import OPTIONS, Option
from sdrt.values import Either, Kind, ListOf, Text

__all__ = ["OPTION_NAMES", "PROMPTS", "files_of", "from_text", "read_value"]

# The arguments beside the options.
PROMPTS = ("prompt", "negative_prompt")

# The options that have a flag: a group has none, and each option in it has one of its own.
OPTION_NAMES = tuple(name for name, option in OPTIONS.items() if option.flags)

_SWITCHES = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_PATHS = Either(Text(length=10_000, empty=False), ListOf(Text(length=10_000, empty=False), minimum=1))


def read_value(where: str, name: str, value: object) -> Any:
    """Return the value of an option, or a prompt, as ``generate`` takes it; of a file the text of its path.

    Parameters
    ----------
    where : str
        What the value is, for the message.
    name : str
        One of `OPTION_NAMES`, or a prompt.
    value : value of JSON

    Raises
    ------
    ConfigError : it is of another kind
    """
    kind: Kind[Any] = TEXTS if name in PROMPTS else _PATHS if name in FILE_OPTIONS else OPTION_KINDS[name]
    if name in ("rng", "sampler_rng"):
        # a stream's state would be that of one picture, and a row is known by its seed
        kind = PROMPT
    return kind.check(where, value, "correct it")


def from_text(name: str, text: str) -> object:
    """Return the value that a text means, for `read_value` to check; several numbers or files are separated by blanks.

    >>> from_text("num_inference_steps", "20"), from_text("original_size", "512x768"), from_text("scheduler", "euler a")
    (20, [512, 768], 'euler a')
    """
    if name in PROMPTS:
        return text
    option = OPTIONS[name]
    if option.kind == "switch":
        return _SWITCHES.get(text.strip().lower(), text)
    if option.kind in ("pictures", "choice", "name"):
        return _word(option, text.strip())
    if option.kind == "scales":
        numbers = [_number(each, whole=False) for each in text.replace(",", " ").split()]
        return _word(option, text.strip()) if any(isinstance(each, str) for each in numbers) else numbers
    if option.kind == "pair":
        return [_number(each, whole=True) for each in text.lower().replace("x", " ").replace(",", " ").split()]
    if option.kind == "factors":
        return [_number(each, whole=False) for each in text.replace(",", " ").split()]
    if option.kind in ("number", "numbers", "integer", "integers"):
        whole = option.kind.startswith("integer")
        values = [_number(each, whole=whole) for each in (text.replace(",", " ") if option.kind == "integers" else text).split()]
        return values[0] if len(values) == 1 else values or text
    return text


def _word(option: Option, text: str) -> str:
    return next((choice for choice in option.choices if choice.casefold() == text.casefold()), text)


def _number(text: str, *, whole: bool) -> object:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return text if whole else float(text)
    except ValueError:
        return text


def files_of(options: Mapping[str, Any], folder: Path) -> dict[str, tuple[Path, ...]]:
    """Return the paths of the options that are files, relative ones within this folder.

    Raises
    ------
    ConfigError : several files where one is taken
    """
    files = {}
    for name, value in options.items():
        if name in FILE_OPTIONS:
            paths = [value] if isinstance(value, str) else list(value)
            check_count(name, name, len(paths))
            files[name] = tuple(folder / path for path in paths)
    return files
