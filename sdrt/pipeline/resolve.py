"""From a call's options to the settings of a run: every default filled in, every setting checked."""

import secrets
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from sdrt._version import __version__
from sdrt.arrays import Numerics
from sdrt.errors import ConfigError
from sdrt.images.inputs import Picture, digest
from sdrt.models import Model, ModelLimits
from sdrt.pipeline.conditions.control import resolve_controlnets
from sdrt.pipeline.conditions.sizes import Sizes
from sdrt.pipeline.loaded_model import LoadedModel
from sdrt.pipeline.noise import NoiseChoice, choice_name, shared_states
from sdrt.pipeline.options import GenerateOptions
from sdrt.records.settings import Settings
from sdrt.rng import from_state as stream_from_state
from sdrt.schedulers import Compat, DiffusersScheduler, Sampler, sampler_from_config, sampler_from_name

__all__ = ["control_pictures", "resolve", "sizes_of", "streams_of"]

T = TypeVar("T")

# What a run takes where neither the caller nor the model's folder says.
_DEFAULT_STEPS = 50
_DEFAULT_GUIDANCE = 7.5
_DEFAULT_REFINER_START = 0.8

_XL_OPTIONS = ("original_size", "crops_coords_top_left", "target_size")
_REFINER_OPTIONS = ("aesthetic_score", "negative_aesthetic_score", "refiner_start")
_CONTROL_OPTIONS = ("control_image", "controlnet_conditioning_scale", "control_guidance_start", "control_guidance_end")


def resolve(
    opened: LoadedModel,
    prompt: str,
    negative_prompt: str,
    options: GenerateOptions,
    *,
    backends: Mapping[str, str],
    numerics: Numerics,
    num_controlnets: int,
    refined: bool,
    remarks: Mapping[str, str] | None = None,
    vae_tiling: bool = False,
) -> tuple[Settings, Sampler]:
    """Fill in every default and check every setting.

    Parameters
    ----------
    backends : mapping from component to the backend's name
    num_controlnets : int
    refined : bool
        Whether the pipeline has a refiner.
    remarks : mapping
        For the record.
    vae_tiling : bool
        For the record.

    Raises
    ------
    ConfigError : an option that does not exist, does not fit the model, or cannot be used
    ImageError : something that is no picture
    """
    if unknown := sorted(options.keys() - GenerateOptions.__annotations__.keys()):
        raise ConfigError(f"unknown option {', '.join(unknown)}; the options are {', '.join(GenerateOptions.__annotations__)}, on_step")
    for name, text in (("prompt", prompt), ("negative_prompt", negative_prompt)):
        if not isinstance(text, str):
            raise ConfigError(f"{name} is one text; got {type(text).__name__}: call generate once for each prompt")
    model, defaults = opened.model, opened.model.defaults
    height, width = opened.native_size()
    scheduler = options.get("scheduler")
    rng, sampler_rng = streams_of(options)
    sampler = _sampler(model, scheduler, numerics, options.get("compat"))
    if (eta := options.get("eta")) is not None:
        sampler = sampler.with_options(eta=eta)
    as_diffusers = sampler.compat == "diffusers"
    settings = Settings(
        prompt=prompt,
        negative_prompt=negative_prompt,
        seed=_first(options.get("seed"), secrets.randbits(31) if isinstance(rng, str) else rng.seed),
        num_images=_first(options.get("num_images"), 1),
        num_inference_steps=_first(options.get("num_inference_steps"), defaults.get("num_inference_steps"), _DEFAULT_STEPS),
        guidance_scale=_first(options.get("guidance_scale"), defaults.get("guidance_scale"), _DEFAULT_GUIDANCE),
        guidance_rescale=_first(options.get("guidance_rescale"), 0.0),
        guidance_batching=_first(options.get("guidance_batching"), "batched"),
        eta=sampler.step_option_values().get("eta", 0.0),
        height=_first(options.get("height"), defaults.get("height"), height),
        width=_first(options.get("width"), defaults.get("width"), width),
        conditions=_conditions(opened, options, num_controlnets, refined=refined),
        scheduler=_scheduler_name(scheduler, sampler),
        scheduler_config=sampler.config,
        compat=sampler.compat,
        rng=rng if isinstance(rng, str) else rng.name,
        sampler_rng=choice_name(sampler_rng),
        sampler_seed=options.get("sampler_seed"),
        shared_streams=shared_states(rng=rng, sampler_rng=sampler_rng),
        prompt_syntax=_first(options.get("prompt_syntax"), "plain" if as_diffusers else "weighted"),
        long_prompts=_first(options.get("long_prompts"), "truncate" if as_diffusers or model.limits.num_tokens else "chunk"),
        emphasis=_first(options.get("emphasis"), "original"),
        clip_skip=_first(options.get("clip_skip"), 0),
        embeddings={each.token: each.sha256 for each in model.embeddings},
        model=model.name,
        backend=dict(backends),
        numerics=numerics,
        version=__version__,
        remarks=dict(remarks or {}),
        scheduler_options=_beyond_config(sampler, numerics) if isinstance(scheduler, Sampler | DiffusersScheduler | Mapping) else {},
        vae_tiling=vae_tiling,
    )
    scale = opened.latents.scale
    for name, pixels in (("height", settings.height), ("width", settings.width)):
        if pixels % scale:
            near = max(1, round(pixels / scale)) * scale
            raise ConfigError(f"{name} is a multiple of {scale} for this model; got {pixels}: try {near}")
    _check_limits(model.limits, settings)
    return settings, sampler


def _check_limits(limits: ModelLimits, settings: Settings) -> None:
    """Refuse what the model's networks cannot take, before anything runs."""
    size = (settings.height, settings.width)
    if limits.sizes and size not in limits.sizes:
        allowed = ", ".join(f"{height}x{width}" for height, width in limits.sizes)
        raise ConfigError(f"this model's packages draw pictures of {allowed} (height x width); got {size[0]}x{size[1]}: take one of those")
    if limits.num_tokens and settings.long_prompts == "chunk":
        raise ConfigError(
            f"this model's packages take {limits.num_tokens} tokens, and long_prompts='chunk' needs room for more; leave it out, which cuts"
        )


def streams_of(options: GenerateOptions) -> tuple[NoiseChoice, NoiseChoice | None]:
    """The streams of the latents and of the scheduler; a recorded state becomes the stream that it is of."""
    rng, sampler_rng = (
        stream_from_state(choice) if isinstance(choice, Mapping) else choice for choice in (options.get("rng"), options.get("sampler_rng"))
    )
    # the same object twice is one stream that goes on
    return "torch" if rng is None else rng, None if sampler_rng is rng and not isinstance(rng, str) else sampler_rng


def control_pictures(options: GenerateOptions, count: int) -> list[Picture]:
    """A picture for each ControlNet.

    Raises
    ------
    ConfigError : another number of pictures
    """
    given: Any = options.get("control_image")
    pictures: list[Picture] = [] if given is None else list(given) if isinstance(given, list | tuple) else [given]
    if len(pictures) != count:
        has = f"has {count} ControlNets" if count else "has no ControlNet: sdrt.load(..., controlnet=folder) gives it one"
        raise ConfigError(f"control_image is a picture for each ControlNet; got {len(pictures)}, and this pipeline {has}")
    return pictures


def sizes_of(settings: Settings) -> Sizes:
    """SDXL's micro-conditions of a run."""
    own = (settings.height, settings.width)
    given = {key: settings.conditions[key] for key in Sizes.__dataclass_fields__ if key in settings.conditions}
    pairs = {key: tuple(value) if isinstance(value, Sequence) else value for key, value in given.items()}
    return Sizes(**({"original_size": own, "target_size": own} | pairs))


def _conditions(opened: LoadedModel, options: GenerateOptions, num_controlnets: int, *, refined: bool) -> dict[str, Any]:
    """What beside the prompts decides the picture, as values of JSON; pictures by their digest."""
    found: dict[str, Any] = {}
    _refuse(options, ("image", "mask_image"), "a model that in-paints, of 9 channels", fits=opened.inpaints)
    _refuse(options, _XL_OPTIONS, "SDXL", fits=opened.is_xl)
    _refuse(options, _REFINER_OPTIONS, "a pipeline with a refiner, sdrt.load(..., refiner=folder)", fits=refined or opened.is_xl)
    _refuse(options, _CONTROL_OPTIONS[1:], "a pipeline with a ControlNet, sdrt.load(..., controlnet=folder)", fits=bool(num_controlnets))
    if opened.inpaints:
        for name in ("image", "mask_image"):
            picture: Any = options.get(name)
            if picture is None:
                raise ConfigError(f"this model in-paints, and needs image and mask_image; {name} is not given")
            found[name] = digest(name, picture)
    pictures = control_pictures(options, num_controlnets)
    if pictures:
        found["control_image"] = [digest("control_image", picture) for picture in pictures]
        scale, start, end = (options.get(name) for name in _CONTROL_OPTIONS[1:])
        controls = resolve_controlnets(num_controlnets, scale, start, end)  # type: ignore[arg-type]
        found["controlnet_conditioning_scale"] = [each.conditioning_scale for each in controls]
        found["control_guidance_start"] = [each.guidance_start for each in controls]
        found["control_guidance_end"] = [each.guidance_end for each in controls]
    for name in _XL_OPTIONS:
        if (pair := options.get(name)) is not None:
            if not isinstance(pair, Sequence) or len(pair) != 2:
                raise ConfigError(f"{name} is a pair of pixels, height or top first; got {pair!r}")
            found[name] = [int(number) for number in pair]
    for name in _REFINER_OPTIONS:
        if (value := options.get(name)) is not None:
            found[name] = float(value)  # type: ignore[arg-type]
    if refined:
        start = found.setdefault("refiner_start", _DEFAULT_REFINER_START)
        if not 0 < start <= 1:
            raise ConfigError(f"refiner_start is a share of the noise levels in (0, 1]; got {start}")
    return found


def _refuse(options: GenerateOptions, names: Sequence[str], whose: str, *, fits: bool) -> None:
    given = [name for name in names if options.get(name) is not None]
    if given and not fits:
        raise ConfigError(f"{', '.join(given)} {'is' if len(given) == 1 else 'are'} for {whose}; leave it out, or load such a model")


def _sampler(
    model: Model, scheduler: "str | Mapping[str, Any] | Sampler | DiffusersScheduler | None", numerics: Numerics, compat: Compat
) -> Sampler:
    own = model.scheduler_config
    match scheduler:
        case None:
            found = sampler_from_config(own, numerics, compat)
        case str():
            found = sampler_from_name(scheduler, own, numerics, compat)
            if (found.alpha_bar() is None) != (sampler_from_config(own).alpha_bar() is None):
                raise ConfigError(
                    f"{found.name} is for models of another kind than this one, which was trained for {own.get('_class_name')}; "
                    "choose another name, or pass a whole scheduler configuration"
                )
        case Mapping():
            options = dict(scheduler.get("_sdrt", {}).get("options", {}))
            found = sampler_from_config(scheduler, options.pop("numerics", numerics), compat).with_options(**options)
        case DiffusersScheduler():
            found = scheduler.sampler
        case _:
            found = scheduler
    if found.inverse:
        raise ConfigError(f"{found.name} leads from a picture to its noise, and generate from noise to a picture; choose another one")
    return found if compat is None or found.compat == compat else found.with_compat(compat)


def _scheduler_name(scheduler: object, sampler: Sampler) -> str:
    """Return the name that was asked for, in this call or in the one whose record is played back; else the class."""
    if isinstance(scheduler, Mapping):
        return str(scheduler.get("_sdrt", {}).get("name", sampler.name))
    return scheduler if isinstance(scheduler, str) else sampler.name


def _beyond_config(sampler: Sampler, numerics: Numerics) -> dict[str, Any]:
    """Return what distinguishes a sampler from the one that its configuration makes; eta has a field of its own."""
    plain = sampler_from_config(sampler.config, numerics, sampler.compat)
    own, theirs = ({**each.step_option_values(), "numerics": each.numerics, "eta": None} for each in (sampler, plain))
    return {name: value for name, value in own.items() if value != theirs[name]}


def _first(*values: T | None) -> T:
    """The first value that is given."""
    return next(value for value in values if value is not None)
