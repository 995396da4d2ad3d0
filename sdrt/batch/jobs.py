"""The rows of a batch: JSON lines, CSV, or one prompt a line become jobs, or say in one line what is wrong with them."""

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from sdrt.batch.values import OPTION_NAMES, PROMPTS, files_of, from_text, read_value
from sdrt.errors import ConfigError
from sdrt.json_text import parse_json
from sdrt.limits import DEFAULT_LIMITS, Limits
from sdrt.printable import shown
from sdrt.values import FilePath, Text

__all__ = ["Job", "RowError", "jobs_of_prompts", "read_jobs", "seed_of", "with_subseed"]

# A row's own columns beside the options.
_NAME = Text(length=200, empty=False)
_COLUMNS = (*PROMPTS, "name", *OPTION_NAMES)
# The key of a first line that holds what all rows share.
_DEFAULTS = "defaults"
_REPAIR = "correct it"


@dataclass(frozen=True)
class Job:
    """One row of a batch: one call of ``generate``.

    Parameters
    ----------
    number : int
        Of the row, from 1.
    prompt, negative_prompt : str, or one for each image
    options : mapping
        What else ``generate`` takes, but for files.
    files : mapping
        The files of pictures and arrays, by option.
    name : str or None
        The beginning of the pictures' names; None: the prompt.
    where : str
        The row in messages.
    """

    number: int
    prompt: str | Sequence[str]
    negative_prompt: str | Sequence[str] = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)
    name: str | None = None
    where: str = "a row"

    @property
    def given(self) -> dict[str, Any]:
        """What the row says, as values of JSON."""
        options = {**self.options, **{name: [str(path) for path in paths] for name, paths in self.files.items()}}
        return {"prompt": self.prompt, "negative_prompt": self.negative_prompt, **options}


@dataclass(frozen=True)
class RowError:
    """A row that is no job.

    Parameters
    ----------
    number : int
    error : str
        One line that names the row and its column.
    """

    number: int
    error: str


def read_jobs(file: str | Path, defaults: Mapping[str, Any] | None = None, limits: Limits = DEFAULT_LIMITS) -> list[Job | RowError]:
    """Read the jobs of a batch.

    Parameters
    ----------
    file : str or Path
        JSON lines, each one object; or, by the ending ``.csv`` or ``.tsv``, a table with a line of names. The names are those of
        ``generate``, ``name``, and files of pictures relative to this file. In JSON lines, ``{"defaults": {...}}`` may stand first. Empty
        cells, null, empty lines and lines that begin with ``#`` say nothing.
    defaults : mapping, optional
        What holds where neither a row nor the file's own defaults say otherwise.
    limits : Limits
        ``json_bytes`` bounds the file.

    Raises
    ------
    ConfigError : the file cannot be read, holds no row, or has a column or defaults that are none
    """
    path = FilePath().check("a file of jobs", file, "pass the path of a file")
    text = _text(path, limits)
    table = path.suffix.lower() in (".csv", ".tsv")
    rows = list(_table(path, text) if table else _lines(path, text))
    shared = dict(defaults or {})
    if rows and isinstance(first := rows[0][1], Mapping) and set(first) == {_DEFAULTS} and not table:
        where = f"{path}, {_DEFAULTS}"
        if not isinstance(first[_DEFAULTS], Mapping):
            raise ConfigError(f"{where}: must be an object, got {shown(first[_DEFAULTS])}; {_REPAIR}")
        shared |= _values(where, first[_DEFAULTS])
        del rows[0]
    if not rows:
        raise ConfigError(f"{path}: must hold a row, got none; write some")
    return list(_jobs(path, rows, shared))


def jobs_of_prompts(prompts: Iterable[str], defaults: Mapping[str, Any] | None = None) -> list[Job | RowError]:
    """Return a job for each prompt."""
    rows = [(number, {"prompt": prompt}) for number, prompt in enumerate(prompts, 1)]
    return list(_jobs(Path("prompts"), rows, defaults or {}))


def seed_of(said: str) -> int:
    """Return the seed of a call that names none: one that follows from what it says, so that it is the same when it goes on."""
    return int.from_bytes(hashlib.sha256(said.encode()).digest()[:4], "big") >> 1


def _jobs(path: Path, rows: Sequence[tuple[int, object]], shared: Mapping[str, Any]) -> Iterator[Job | RowError]:
    """Yield the jobs of a file; each row that names no seed gets one that follows from what it says, and from how often that was said.

    So does a row that varies its noise and names no subseed.
    """
    seen: dict[str, int] = {}
    for number, row in rows:
        where = f"{path}, row {number}"
        try:
            if isinstance(row, ConfigError):
                raise row
            job = _job(where, number, row, shared, path.parent)
        except ConfigError as error:
            yield RowError(number, str(error))
            continue
        seed = job.options.get("seed", -1)
        seeds = (seed,) if isinstance(seed, int) else seed
        said = json.dumps({**job.given, "seed": None}, sort_keys=True, default=str)
        if -1 in seeds:
            seen[said] = seen.get(said, 0) + 1
            own = [seed_of(f"{seen[said]}.{k} {said}") if each == -1 else each for k, each in enumerate(seeds)]
            job = replace(job, options={**job.options, "seed": own[0] if isinstance(seed, int) else tuple(own)})
        yield replace(job, options=with_subseed(job.options, f"{seen.get(said, 0)} {said}"))


def with_subseed(options: Mapping[str, Any], said: str) -> dict[str, Any]:
    """Return the options of a call with the subseed that it needs and does not name; it follows from what the call says, as `seed_of`."""
    needs = options.get("subseed_strength") and options.get("subseed", -1) == -1
    return {**options, "subseed": seed_of(f"subseed {said}")} if needs else dict(options)


def _job(where: str, number: int, row: object, shared: Mapping[str, Any], folder: Path) -> Job:
    if not isinstance(row, Mapping):
        raise ConfigError(f"{where}: must be an object, got {shown(row)}; {_REPAIR}")
    values = {**shared, **_values(where, row)}
    if "prompt" not in values:
        raise ConfigError(f"{where}, column prompt: must say what to draw, got nothing; write a prompt")
    try:
        files = files_of(values, folder)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None
    options = {name: value for name, value in values.items() if name in OPTION_NAMES and name not in files}
    return Job(number, values["prompt"], values.get("negative_prompt", ""), options, files, values.get("name"), where)


def _values(where: str, row: Mapping[str, object]) -> dict[str, Any]:
    """Return the values of a row that are given, each of its kind."""
    values = {}
    for name, value in row.items():
        if name not in _COLUMNS:
            raise _unknown(where, name)
        if value is not None:
            what = f"{where}, column {name}:"
            values[name] = _NAME.check(what, value, _REPAIR) if name == "name" else read_value(what, name, value)
    return values


def _unknown(where: str, name: object) -> ConfigError:
    near = get_close_matches(str(name), _COLUMNS, 1)
    repair = f"write {near[0]}" if near else f"the columns are {', '.join(_COLUMNS)}"
    return ConfigError(f"{where}, column {shown(name)}: must be an option of a row; {repair}")


def _lines(path: Path, text: str) -> Iterator[tuple[int, object]]:
    """Yield each line of JSON with its number among the rows; one that is none is its error."""
    number = 0
    for line, content in enumerate(text.splitlines(), 1):
        if not content.strip() or content.lstrip().startswith("#"):
            continue
        try:
            value = parse_json(content, f"{path}, line {line}", _REPAIR, ConfigError)
        except ConfigError as error:
            value = error
        if not (number == 0 and isinstance(value, Mapping) and set(value) == {_DEFAULTS}):
            number += 1
        yield number, value


def _table(path: Path, text: str) -> Iterator[tuple[int, object]]:
    """Yield each row of a table with its number."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter="\t" if path.suffix.lower() == ".tsv" else ",", strict=True)
    names: list[str] | None = None
    number = 0
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells) or cells[0].lstrip().startswith("#"):
                continue
            if names is None:
                names = [cell.strip() for cell in cells]
                if unknown := [name for name in names if name not in _COLUMNS]:
                    raise _unknown(str(path), unknown[0])
                if len(set(names)) < len(names):
                    raise ConfigError(f"{path}: each column must have a name of its own, got {shown(names)}; {_REPAIR}")
                continue
            number += 1
            if len(cells) > len(names):
                yield number, ConfigError(f"{path}, row {number}: must have at most {len(names)} cells, got {len(cells)}; quote commas")
                continue
            yield number, {name: _cell(name, cell) for name, cell in zip(names, cells, strict=False) if cell.strip()}
    except csv.Error as error:
        raise ConfigError(f"{path}, line {reader.line_num}: cannot be read as a table ({error}); {_REPAIR}") from None


def _cell(name: str, text: str) -> object:
    return text if name == "name" else from_text(name, text)


def _text(path: Path, limits: Limits) -> str:
    try:
        if not path.is_file() and path.exists():
            raise ConfigError(f"{path}: must be a file of jobs, got {'a folder' if path.is_dir() else 'a pipe or a device'}; pass a file")
        with path.open("rb") as stream:
            data = stream.read(limits.json_bytes + 1)
        limits.check("json_bytes", f"{path}: its bytes", len(data))
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: cannot be read (not UTF-8 at byte {error.start}); pass text in UTF-8") from None
    except (OSError, ValueError) as error:
        if isinstance(error, ConfigError):
            raise
        reason = error.strerror if isinstance(error, OSError) else "no file can have this name"
        raise ConfigError(f"{path}: cannot be read ({reason}); pass a file of JSON lines or CSV") from None
