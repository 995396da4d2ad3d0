"""Pipelines and recordings: what a recording's header says of a pipeline, and the pipeline that runs on what a recording holds."""

from collections.abc import Mapping
from typing import Any

from sdrt.backends import Backend, BackendOptions
from sdrt.backends.pool import NetworkPool
from sdrt.errors import ConfigError, RecordingError
from sdrt.files import user_path
from sdrt.limits import DEFAULT_LIMITS, Limits
from sdrt.models import COMPONENTS, Model
from sdrt.option_kinds import NUMERICS
from sdrt.pipeline.assembly import Assembly
from sdrt.pipeline.image_prompter import ImagePrompter
from sdrt.pipeline.loaded_model import LoadedModel
from sdrt.pipeline.pipeline import Pipeline
from sdrt.recordings import Recording
from sdrt.recordings.backend import RecordingBackend
from sdrt.recordings.played_model import PlayedModel, describe_model
from sdrt.values import Anything, Choice, Flag, ListOf, MappingOf, read_values

__all__ = ["describe_pipeline", "load_recording", "pipeline_of"]

_REPAIR = "record it with sdrt's own pipeline"
_KINDS = {
    "numerics": NUMERICS,
    "vae_tiling": Flag(),
    "safety_checker": Flag(),
    "flagged_pictures": Choice("black", "blurred"),
    "controlnets": ListOf(MappingOf(Anything())),
}
# Recordings have these only of a pipeline with some.
_MORE_KINDS = {
    "t2i_adapters": ListOf(MappingOf(Anything())),
    "ip_adapters": ListOf(MappingOf(Anything())),
    "image_encoder": MappingOf(Anything()),
}


def describe_pipeline(pipe: Pipeline) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return what the header of a recording says of a pipeline, and the files of its tokenizers."""
    assembly = pipe._assembly
    base, files = describe_model(assembly.base.model)
    about: dict[str, Any] = {
        "backends": dict(assembly.backends),
        "numerics": assembly.numerics,
        "vae_tiling": assembly.vae_tiling,
        "safety_checker": assembly.safety_checker,
        "flagged_pictures": assembly.flagged_pictures,
        "model": base,
        "controlnets": [describe_model(pool.model)[0] for pool in assembly.controlnets],
    }
    if assembly.t2i_adapters:
        about["t2i_adapters"] = [describe_model(pool.model)[0] for pool in assembly.t2i_adapters]
    if (prompter := assembly.image_prompter) is not None:
        about["ip_adapters"] = [describe_model(pool.model)[0] for pool in prompter.adapters]
        if prompter.encoder is not None:
            about["image_encoder"] = describe_model(prompter.encoder.model)[0]
    if assembly.refiner is not None:
        about["refiner"], of_refiner = describe_model(assembly.refiner.model, "refiner/")
        files |= of_refiner
    return about, files


def pipeline_of(recording: Recording, limits: Limits = DEFAULT_LIMITS) -> Pipeline:
    """Return a pipeline whose networks answer the calls that a recording holds.

    Raises
    ------
    RecordingError : its header does not describe a pipeline, or its arrays were not kept
    """
    header = recording.header
    missing = [name for name in _KINDS if name not in header]
    if missing:
        raise RecordingError(f"{recording.path}: the header must have {', '.join(missing)} to be loaded as a pipeline; {_REPAIR}")
    known = read_values(f"{recording.path}: the header's ", header, _KINDS | _MORE_KINDS, _REPAIR, RecordingError)
    files = {name: recording.file(name) for name in recording.files if "/" in name}
    base = _loaded(recording, header.get("model"), files, RecordingBackend(recording), known["numerics"])
    refiner = None
    if header.get("refiner") is not None:
        refiner = _loaded(recording, header["refiner"], files, RecordingBackend(recording, prefix="refiner."), known["numerics"])
    controlnets, t2i_adapters, ip_adapters = (
        tuple(
            _pool(PlayedModel.read(recording.path, about, {}), RecordingBackend(recording, suffix=f".{k}"), known["numerics"])
            for k, about in enumerate(known.get(name, ()))
        )
        for name in ("controlnets", "t2i_adapters", "ip_adapters")
    )
    prompter = None
    if ip_adapters:
        played = None if "image_encoder" not in known else PlayedModel.read(recording.path, known["image_encoder"], {})
        encoder = None if played is None else _pool(played, RecordingBackend(recording), known["numerics"])
        prompter = ImagePrompter.of(ip_adapters, encoder, base.model)
    beside = [*(["controlnet"] if controlnets else ()), *(["t2i_adapter"] if t2i_adapters else ())]
    beside += [] if prompter is None else [component for _, _, component in prompter.networks]
    return Pipeline(
        Assembly(
            base=base,
            refiner=refiner,
            controlnets=controlnets,
            t2i_adapters=t2i_adapters,
            image_prompter=prompter,
            backends=dict.fromkeys((*base.model.components, *beside), RecordingBackend.name),
            numerics=known["numerics"],
            vae_tiling=known["vae_tiling"],
            safety_checker=known["safety_checker"],
            flagged_pictures=known["flagged_pictures"],
            limits=limits,
        )
    )


def load_recording(given: Mapping[str, Any], limits: Limits) -> Pipeline:
    """Return the pipeline of a recording that :func:`sdrt.load` was asked for.

    Parameters
    ----------
    given : mapping
        All arguments of the call; ``model`` is a recording, or its path.
    limits : Limits

    Raises
    ------
    RecordingError : as `pipeline_of`
    ConfigError : options that a recording does not take
    """
    model = given["model"]
    recording = model if isinstance(model, Recording) else Recording.open(user_path("model", model), limits=limits)
    _check_alone(recording, given)
    return pipeline_of(recording, limits)


def _check_alone(recording: Recording, given: Mapping[str, Any]) -> None:
    """Refuse options beside a recording, which has networks and settings of its own.

    Raises
    ------
    ConfigError : one is set
    """
    neutral = {"model": given["model"], "limits": given["limits"], "numerics": given["numerics"], "pickled": "refuse"}
    neutral |= {"flagged_pictures": "black", "mmap": True, "threads": given.get("threads")}
    if passed := [name for name, value in given.items() if value != neutral.get(name) and value not in (None, False, (), {}, [])]:
        raise ConfigError(f"{recording.path}: a recording must be loaded without other options, got {', '.join(passed)}; leave them out")


def _loaded(recording: Recording, about: object, files: Mapping[str, bytes], backend: Backend, numerics: Any) -> LoadedModel:
    return LoadedModel(PlayedModel.read(recording.path, about, files), *_choices(backend, numerics))


def _pool(model: Model, backend: Backend, numerics: Any) -> NetworkPool:
    return NetworkPool(model, *_choices(backend, numerics))


def _choices(backend: Backend, numerics: Any) -> tuple[dict[Any, Backend], dict[Any, BackendOptions]]:
    return dict.fromkeys(COMPONENTS, backend), dict.fromkeys(COMPONENTS, BackendOptions(numerics=numerics))
