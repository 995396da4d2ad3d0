"""The arguments that draw a recorded run again: its settings, with the pictures and the noise that the recording holds."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from sdrt.arrays import Array
from sdrt.recordings import Recording
from sdrt.recordings.pictures import inputs_of
from sdrt.records.settings import Settings
from sdrt.rng import NoiseStream, from_arrays

__all__ = ["recorded_inputs", "recorded_streams", "without_streams"]


def recorded_inputs(recording: Recording, run: int = 0) -> dict[str, Any]:
    """Return the pictures and arrays that were passed to a run, as far as the recording holds them.

    Raises
    ------
    RecordingError : there is no such run, or they are altered
    """
    begin = recording.beginning(run)
    return inputs_of(begin.values.get("given"), recording.arrays(begin, [name for name in begin.arrays if name.startswith("given.")]))


def recorded_streams(recording: Recording, settings: Settings, run: int = 0) -> dict[str, NoiseStream]:
    """Return streams that hand out a run's recorded noise, for those of its streams that no record can make.

    These are stream objects of the caller's: arrays, or a class of the caller's. All images draw from one object, in the order of
    `sdrt.pipeline.prepare.draw`. A stream of which the recording holds no noise is left out.

    Parameters
    ----------
    recording : Recording
    settings : Settings
        Of the run.
    run : int

    Raises
    ------
    RecordingError : there is no such run, or its noise is altered
    """
    foreign = [name for name, state in settings.shared_streams.items() if _is_foreign(state)]
    if not foreign:
        return {}
    initial, fresh = _initial(recording, settings, run), _fresh(recording, run)
    draws = {"rng": initial if settings.sampler_rng is not None else initial + fresh, "sampler_rng": fresh}
    return {name: from_arrays(draws[name]) for name in foreign if draws[name]}


def without_streams(settings: Settings, names: Mapping[str, Any]) -> Settings:
    """Return settings that share no streams of these names, so that others may be passed in their place."""
    return replace(settings, shared_streams={name: state for name, state in settings.shared_streams.items() if name not in names})


def _is_foreign(state: Any) -> bool:
    return isinstance(state, Mapping) and (state.get("stream") == "given" or state.get("cursor") is None)


def _initial(recording: Recording, settings: Settings, run: int) -> list[Array]:
    """Return the noise that a run draws before its first call, in the order of its draws."""
    begin = recording.beginning(run)
    held, given = recording.arrays(begin, ["noise", "source", "masked"]), begin.values.get("given")
    given = given if isinstance(given, Mapping) else {}
    what = given.get("image")
    # one posterior for each picture that was passed, however many images are drawn from it
    count = len(what["pictures"]) if isinstance(what, Mapping) and isinstance(what.get("pictures"), list) else None
    order = ("noise", "source", "masked") if settings.compat == "apple" else ("source", "noise", "masked")
    names = [name for name in order if name in held and not (name == "noise" and "latents" in given)]
    return [np.asarray(held[name] if name == "noise" else held[name][:count]) for name in names]


def _fresh(recording: Recording, run: int) -> list[Array]:
    """Return the noise of each step that took some."""
    held = (recording.arrays(event, ["noise"]) for event in recording.events(run, "step"))
    return [arrays["noise"] for arrays in held if "noise" in arrays]
