"""``sdrt.compare.record_diffusers``: the runs of a diffusers pipeline, in the file that sdrt's own runs are recorded in."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from sdrt.arrays import Array
from sdrt.compare.diffusers_calls import arguments_of, to_array
from sdrt.compare.diffusers_run import HookedRun
from sdrt.compare.diffusers_settings import Counterpart
from sdrt.compare.header import machine, writer
from sdrt.errors import ConfigError, SdrtError
from sdrt.printable import shown
from sdrt.recordings import Keep, RecordingWriter
from sdrt.recordings.pictures import input_arrays, pixels

__all__ = ["record_diffusers"]

_PICTURES = ("image", "mask_image", "control_image")


@contextmanager
def record_diffusers(pipeline: Any, path: str | Path, *, keep: Keep = "all") -> Iterator[Any]:
    """Write every call that a diffusers pipeline makes in this context into one file, as `record` does for one of sdrt.

    Networks have the names, inputs and outputs of sdrt's contract, and samples are in the model's own scale, so that a recording of
    diffusers is compared with one of sdrt call by call. A text encoder that diffusers calls for each prompt is called once for both by
    sdrt. Where the pipeline was loaded from folders that sdrt opens, and the generator is fresh from ``manual_seed`` on the CPU, the
    recording has settings too, and `replay` draws it on sdrt.

    Tested with Stable Diffusion and SDXL: text to image, image to image, in-painting and ControlNets.

    Parameters
    ----------
    pipeline : DiffusionPipeline
    path : path
    keep : "all", "outputs" or "hashes"
        As for `record`.

    Raises
    ------
    RecordingError : the file cannot be written
    ConfigError : not a pipeline with a U-Net, a VAE and a scheduler
    """
    if lacking := [name for name in ("unet", "vae", "scheduler") if getattr(pipeline, name, None) is None]:
        raise ConfigError(f"pipeline must be one of diffusers with {', '.join(lacking)}, got {shown(pipeline)}; pass such a one")
    if hasattr(getattr(getattr(pipeline, "controlnet", None), "config", None), "num_control_type"):
        raise ConfigError("pipeline must have plain ControlNets, got a union, whose calls are not recorded; record it with sdrt's own")
    counterpart = Counterpart(pipeline)
    about, files = counterpart.header()
    by = {"name": "diffusers", "version": _version(), "through": writer(), "pipeline": type(pipeline).__name__}
    with RecordingWriter(path, {"writer": by, "machine": machine(), **about}, keep=keep, files=files) as file:
        numbers = count()
        own = type(pipeline)

        def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            return _recorded(file, next(numbers), self, own, counterpart, args, kwargs)

        # Python looks up __call__ in the class of an object, and not in the object
        pipeline.__class__ = type(own.__name__, (own,), {"__call__": call, "__module__": own.__module__, "__doc__": own.__doc__})
        try:
            yield pipeline
        finally:
            pipeline.__class__ = own


def _recorded(
    file: RecordingWriter, number: int, pipeline: Any, own: type, counterpart: Counterpart, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Any:
    """Make one call of a pipeline, and record it."""
    original: Any = own.__call__
    given = arguments_of(original, args, kwargs)
    arrays, values = _beginning(pipeline, counterpart, given)
    file.add("begin", number, arrays, values)
    keeps = given.get("mask_image") is not None and pipeline.unet.config.in_channels == pipeline.unet.config.out_channels
    run = HookedRun(file, number, pipeline, keeps=keeps)
    try:
        with run.hooked():
            returned = original(pipeline, *args, **kwargs)
    except BaseException as error:
        file.add("end", number, {}, {"outcome": "failed", "error": f"{type(error).__name__}: {error}"})
        raise
    ends = {f"picture.{k}": picture for k, picture in enumerate(_pictures(returned))}
    if run.latents is not None:
        ends["latents"] = run.latents
    timesteps = to_array(pipeline.scheduler.timesteps).astype(np.float64)
    file.add("end", number, ends | {"timesteps": timesteps}, {"outcome": "finished", "flagged": _flagged(returned)})
    return returned


def _beginning(pipeline: Any, counterpart: Counterpart, given: Mapping[str, Any]) -> tuple[dict[str, Array], dict[str, Any]]:
    """Return what is known before a call: its settings, as far as sdrt has such a call, and its pictures."""
    inputs = {name: given[name] for name in _PICTURES if given.get(name) is not None}
    values: dict[str, Any] = {"settings": None, "sampler": type(pipeline.scheduler).__name__, "at": 0}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            settings = counterpart.settings(given)
            values["settings"] = settings.to_dict()
        if "control_image" in settings.conditions and "control_image" not in inputs:
            inputs = {"control_image": inputs["image"]}
        arrays, values["given"] = input_arrays(inputs)
    except SdrtError as error:
        return {}, values | {"without_settings": str(error)}
    return arrays, values


def _pictures(returned: Any) -> list[Array]:
    """Return the pictures that a pipeline returned as u8[H,W,3]; none where it returned latents."""
    images = returned[0] if isinstance(returned, tuple) else returned.images
    pictures: list[Array] = []
    for image in images:
        if hasattr(image, "tobytes") and hasattr(image, "mode"):
            pictures.append(pixels(image))
        elif isinstance(image, np.ndarray) and image.ndim == 3 and image.shape[2] == 3:
            pictures.append(np.rint(image * 255).astype(np.uint8))
    return pictures


def _flagged(returned: Any) -> list[bool] | None:
    """Return what a safety checker said of each picture; None where there was none."""
    flagged = returned[1] if isinstance(returned, tuple) and len(returned) > 1 else getattr(returned, "nsfw_content_detected", None)
    return None if flagged is None else list(map(bool, flagged))


def _version() -> str:
    import sys

    return str(getattr(sys.modules.get("diffusers"), "__version__", "?"))
