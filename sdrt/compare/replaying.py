"""``sdrt.compare.replay``: draw a recorded run again, and say how far it is from the recorded one."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sdrt.arrays import Array
from sdrt.compare.playback import recorded_inputs, recorded_streams, without_streams
from sdrt.errors import ConfigError, RecordingError
from sdrt.log import log
from sdrt.metrics import psnr
from sdrt.pipeline.loading import load
from sdrt.pipeline.pipeline import Pipeline
from sdrt.pipeline.results import Result
from sdrt.pipeline.step import Step
from sdrt.recordings import Recording
from sdrt.recordings.pictures import pixels
from sdrt.recordings.tensors import spec_of
from sdrt.values import Instance

__all__ = ["Replay", "Replayed", "distance", "replay", "replay_options"]

_DEEPEST = 255.0


@dataclass(frozen=True)
class Replayed:
    """How far a run is from a recorded one.

    Parameters
    ----------
    psnr : tuple of float, or None
        Of each picture, in dB; infinite where all its pixels are the same. None where the recording holds no pictures of these sizes.
    latents : float or None
        The largest difference of two numbers of the latents; None where the recording does not hold them.
    equal : bool
        Whether latents and pictures are the same bytes.
    """

    psnr: tuple[float, ...] | None
    latents: float | None
    equal: bool

    def __str__(self) -> str:
        if self.equal:
            return "the recorded pictures and latents, byte for byte"
        if self.psnr is None and self.latents is None:
            return "how far from the recorded run is unknown: the file has no numbers of this size"
        each = "unknown" if self.psnr is None else ", ".join("equal" if math.isinf(psnr) else f"{psnr:.1f} dB" for psnr in self.psnr)
        latents = "unknown" if self.latents is None else f"at most {self.latents:.3g}"
        return f"pictures {each} from the recorded ones, latents {latents}"


@dataclass(frozen=True, eq=False)
class Replay:
    """A recorded run that was drawn again.

    Parameters
    ----------
    result : Result
    distance : Replayed
    """

    result: Result
    distance: Replayed


def replay(
    recording: Recording | str | Path,
    model: str | Path | Pipeline | None = None,
    backend: Any = None,
    *,
    run: int = 0,
    on_step: Callable[[Step], bool | None] | None = None,
    **options: Any,
) -> Replay:
    """Draw a recorded run again, from the settings in the file, with the pictures and noise arrays that it holds.

    Parameters
    ----------
    recording : Recording or path
    model : str, Path, Pipeline or None
        As for :func:`sdrt.load`. None: the name in the settings, which may be that of a folder elsewhere.
    backend : str, Backend, mapping or None
        As for :func:`sdrt.load`. None: the default.
    run : int
    on_step : callable, optional
        As for ``Pipeline.generate``.
    **options
        What else :func:`sdrt.load` takes. The recorded numerics, tiling and safety checker are set where nothing is passed for them.

    Raises
    ------
    RecordingError : no recording, no such run, or altered arrays
    ConfigError : the run had inputs that the recording does not hold

    >>> import sdrt, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with sdrt.compare.record(f"{folder}/run.sdrt", sdrt.load("nano")) as pipe:
    ...         _ = pipe.generate("a red circle", seed=93, num_inference_steps=2)
    ...     print(replay(f"{folder}/run.sdrt").distance)
    the recorded pictures and latents, byte for byte
    """
    opened = recording if isinstance(recording, Recording) else Recording.open(recording)
    settings = opened.settings(run)
    if isinstance(model, Pipeline):
        if backend is not None or options:
            raise ConfigError("a pipeline must be replayed on as it is, got backend or options of load too; leave them out, or pass a path")
        pipe = model
    else:
        recorded: dict[str, Any] = {"numerics": settings.numerics}
        recorded |= {name: True for name in ("vae_tiling", "safety_checker") if getattr(settings, name)}
        if settings.safety_checker:
            recorded["flagged_pictures"] = settings.flagged_pictures
        pipe = load(settings.model if model is None else model, backend, **(recorded | options))
    result = Instance(Pipeline).check("model", pipe).generate(**replay_options(opened, run), on_step=on_step)
    return Replay(result, distance(opened, result, run))


def replay_options(recording: Recording, run: int = 0) -> dict[str, Any]:
    """Return the arguments of ``Pipeline.generate`` that draw a recorded run again.

    A file that is cut or altered elsewhere is drawn again too; a warning names what is lost.

    Raises
    ------
    RecordingError : no such run, or altered arrays among those that the run needs
    ConfigError : the run had inputs that the recording does not hold
    """
    try:
        recording.verify()
    except RecordingError as error:
        log.warning("%s", error)
    settings = recording.settings(run)
    streams = recorded_streams(recording, settings, run)
    inputs = {name: value for name, value in recorded_inputs(recording, run).items() if name in settings.conditions}
    return without_streams(settings, streams).options(**inputs) | streams


def distance(recording: Recording, result: Result, run: int = 0) -> Replayed:
    """Say how far a result is from that of a recorded run.

    Raises
    ------
    RecordingError : altered arrays
    """
    ends = recording.events(run, "end")
    if not ends:
        return Replayed(None, None, equal=False)
    end = ends[-1]
    own: dict[str, Array] = {"latents": result.latents} | {f"picture.{k}": pixels(image) for k, image in enumerate(result.images)}
    equal = all(name in end.arrays and end.arrays[name].identity == spec_of(name, x).identity for name, x in own.items())
    held = recording.arrays(end)
    alike = {name for name, x in own.items() if name in held and held[name].shape == x.shape}
    pictures = [name for name in own if name != "latents"]
    each = tuple(psnr(held[name], own[name], _DEEPEST) for name in pictures) if pictures and alike.issuperset(pictures) else None
    latents = float(np.abs(held["latents"].astype(np.float64) - result.latents).max()) if "latents" in alike else None
    return Replayed(each, latents, equal=equal and bool(pictures))
