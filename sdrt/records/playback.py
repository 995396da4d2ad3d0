"""Turn a record back into options, and check the pictures and noise arrays that the caller must pass again."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sdrt.arrays import array_digest
from sdrt.errors import ConfigError, ImageError
from sdrt.images.inputs import NETWORK, digest, path_of
from sdrt.images.opening import open_picture
from sdrt.printable import shown
from sdrt.records.formats import from_json_values
from sdrt.values import Kind, RefusedError

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["checked_array", "checked_picture", "played_scheduler", "recorded_scheduler", "recorded_stream"]


class _Restorable(Kind[Any]):
    """A stream that can return to a recorded position."""

    def describe(self) -> str:
        return "a noise stream that has restore()"

    def convert(self, value: object) -> Any:
        if isinstance(value, type) or not callable(getattr(value, "restore", None)):
            raise RefusedError
        return value


def recorded_scheduler(name: str, config: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return a scheduler's configuration, extended by the name that the caller chose and the options beyond the configuration.

    The key ``_sdrt`` holds both. diffusers and :func:`sdrt.schedulers.from_config` ignore keys that begin with an underscore.
    """
    own = {"name": name, "options": from_json_values(options)}
    return {**from_json_values(config), "_sdrt": own}


def played_scheduler(recorded: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `recorded_scheduler` gave, from its form in JSON."""
    own = recorded.get("_sdrt")
    options = own.get("options") if isinstance(own, Mapping) else None
    config = {name: value for name, value in recorded.items() if name != "_sdrt"}
    name = own.get("name") if isinstance(own, Mapping) else None
    return recorded_scheduler(name if isinstance(name, str) else "", config, options if isinstance(options, Mapping) else {})


def checked_picture(name: str, recorded: Any, picture: Any, paths: Any = None) -> Any:
    """Return a picture, or a list of them, after checking it against the recorded digest.

    Parameters
    ----------
    recorded : str, or list of str, which may be nested
        The SHA-256 of each picture's pixels.
    picture : Picture, sequence of Picture, which may be nested, or None
    paths : str, list of (str or None), which may be nested, or None
        The files that the record names; they are opened if no picture is passed.

    Raises
    ------
    ConfigError : no picture is passed, or not the recorded one
    """
    wanted = list(_leaves(recorded))
    if picture is None:
        picture = _from_files(name, wanted, list(_leaves(paths)))
    # an adapter's entry without masks is None
    pictures = [each for each in _leaves(picture) if each is not None]
    if len(pictures) != len(wanted):
        raise ConfigError(f"{name} must be {len(wanted)} pictures, as recorded, got {len(pictures)}; pass them in their order")
    for sha256, each in zip(wanted, pictures, strict=True):
        if (got := digest(name, each)) != sha256:
            file = path_of(each)
            of = f" of {file}" if file else ""
            raise ConfigError(f"{name} must be the recorded picture, SHA-256 {sha256[:12]}, got {got[:12]}{of}; pass the same pixels")
    return _shaped(recorded, iter(pictures))


def _leaves(value: Any) -> Iterator[Any]:
    """Yield what stands in nested lists, or the one value."""
    if not isinstance(value, list | tuple):
        yield value
        return
    for each in value:
        yield from _leaves(each)


def _shaped(like: Any, values: Iterator[Any]) -> Any:
    """Return values in lists nested like these."""
    return [_shaped(each, values) for each in like] if isinstance(like, list | tuple) else next(values)


def _from_files(name: str, wanted: Sequence[str], paths: Sequence[str | None]) -> "list[Image]":
    """Open the files that a record names.

    Raises
    ------
    ConfigError : it names none, or one that cannot be opened
    """
    again = f"pass the same pixels as {name}"
    # a path of another system, or a server's, which a stranger's record must not make this machine call
    files = [path for path in paths if path is not None and Path(path).is_absolute() and not path.startswith(NETWORK)]
    if len(files) != len(wanted):
        hashes = ", ".join(sha256[:12] for sha256 in wanted)
        raise ConfigError(f"{name} must be passed again, as the record holds its SHA-256 alone ({hashes}); {again}")
    try:
        return [open_picture(file) for file in files]
    except ImageError as error:
        raise ConfigError(f"{name} must be passed again, as the file of the record is not there ({error}); {again}") from error


def checked_array(name: str, recorded: Any, array: Any) -> Any:
    """Return an array [n,...] after checking it against the recorded digest of each row, or a list of arrays against those of each.

    Raises
    ------
    ConfigError : no array is passed, or not the recorded one
    """
    wanted = [recorded] if isinstance(recorded, str) else list(recorded)
    listed = isinstance(array, list | tuple) and all(isinstance(each, np.ndarray) for each in array)
    if not (listed or isinstance(array, np.ndarray)):
        raise ConfigError(f"{name} must be passed again, as the record holds its SHA-256 alone ({wanted[0][:12]}); pass the same numbers")
    got = [array_digest(each) for each in array] if listed or array.ndim else []
    if got != wanted:
        raise ConfigError(
            f"{name} must be the recorded array, SHA-256 {wanted[0][:12]}, got {got[0][:12] if got else 'none'}; pass the same numbers"
        )
    return array


def recorded_stream(name: str, state: Mapping[str, Any], stream: Any) -> Any:
    """Return the source of a recorded stream's noise: its state, or the caller's stream restored to that state.

    Raises
    ------
    ConfigError : the record cannot recreate the noise and no stream is passed, or the stream has other noise
    """
    if stream is not None:
        _Restorable().check(name, stream, "pass a stream of sdrt.rng").restore(state)
        return stream
    cursor = state.get("cursor")
    if state.get("stream") == "given":
        sha256 = str(cursor.get("sha256") if isinstance(cursor, Mapping) else None)[:12]
        raise ConfigError(
            f"{name} must be passed again, as the record holds the SHA-256 of its arrays alone ({sha256}); write "
            f"options({name}=sdrt.rng.from_arrays(arrays))"
        )
    if cursor is None:
        raise ConfigError(
            f"{name} must be passed again, as the record cannot make the stream {shown(state.get('stream'))}; write options({name}=stream)"
        )
    return dict(state)
