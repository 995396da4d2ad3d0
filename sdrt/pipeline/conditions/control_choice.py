"""What a call tells its ControlNets: pictures, what becomes of these, strengths, the part of the run, modes, and sorts for unions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sdrt.backends.pool import NetworkPool
from sdrt.errors import ConfigError
from sdrt.exact.mathematics import Functions
from sdrt.images.inputs import Picture, digest
from sdrt.models.components.controlnets import CONTROL_TYPES, is_union
from sdrt.pipeline.conditions.control import ControlSettings
from sdrt.pipeline.conditions.control_weights import control_weights
from sdrt.pipeline.conditions.each import for_each
from sdrt.pipeline.conditions.source_choice import pictures_of
from sdrt.pipeline.options import GenerateOptions
from sdrt.printable import shown

__all__ = ["ControlChoice", "ControlPicture", "choose_controls", "pictures_given", "record_controls"]

T = TypeVar("T")


@dataclass(frozen=True, eq=False, kw_only=True)
class ControlPicture:
    """One picture that a ControlNet follows.

    Parameters
    ----------
    picture : Picture or None
        None: the picture that the run changes.
    scale : float
        Its strength.
    preprocessor : str
        What is made of it, one of :data:`sdrt.images.preprocessors.PREPROCESSORS`.
    sort : int or None
        Its number for a union, see :data:`sdrt.models.components.controlnets.CONTROL_TYPES`; None for another ControlNet.
    """

    picture: Picture | None
    scale: float
    preprocessor: str
    sort: int | None


@dataclass(frozen=True, eq=False, kw_only=True)
class ControlChoice:
    """What one ControlNet is told.

    Parameters
    ----------
    pictures : tuple of ControlPicture
        One; a union may take several.
    settings : ControlSettings
    mode : str
        The name of the mode.
    guess : bool
    """

    pictures: tuple[ControlPicture, ...]
    settings: ControlSettings
    mode: str
    guess: bool


def choose_controls(
    controlnets: Sequence[NetworkPool], options: GenerateOptions, functions: Functions, *, changes_picture: bool
) -> tuple[ControlChoice, ...]:
    """Read the options of ControlNets.

    Parameters
    ----------
    controlnets : sequence of NetworkPool
    options : GenerateOptions
    functions : Functions
        That weights are computed with.
    changes_picture : bool
        Whether the run has a picture to change, which an in-painting ControlNet that is given none follows.

    Raises
    ------
    ConfigError : another number of pictures than the pipeline takes, or of values; a part of the run that ends before it starts; or an
        option that does not fit a ControlNet
    """
    configs = [pool.model.config("controlnet") for pool in controlnets]
    alone = len(configs) == 1 and is_union(configs[0])
    pictures = _read_pictures(options, configs, alone=alone, changes_picture=changes_picture)
    if not configs:
        return ()

    def each(name: Any, default: T) -> list[T]:
        value: Any = options.get(name)
        return for_each(name, _shared(value) if alone else value, default, len(configs), "ControlNets")

    starts, ends, modes = each("control_guidance_start", 0.0), each("control_guidance_end", 1.0), each("control_mode", "balanced")
    guess = options.get("guess_mode") or False
    choices = []
    for k, (config, start, end, mode) in enumerate(zip(configs, starts, ends, modes, strict=True)):
        if start >= end:
            raise ConfigError(
                f"control_guidance_start and _end must rise within [0, 1], got {float(start)} to {float(end)}; 0 and 1 are the whole run"
            )
        if guess and mode != "balanced":
            raise ConfigError(f"guess_mode and control_mode must not both be set, got True and {mode!r}; leave one of them out")
        own = pictures if alone else pictures[k : k + 1]
        settings = ControlSettings(
            # a union weighs several pictures itself
            conditioning_scale=own[0].scale if len(own) == 1 else 1.0,
            guidance_start=float(start),
            guidance_end=float(end),
            weights=control_weights(mode, guess=guess, pools=bool(config.get("global_pool_conditions")), functions=functions),
        )
        choices.append(ControlChoice(pictures=own, settings=settings, mode=mode, guess=guess))
    return tuple(choices)


def pictures_given(choices: Sequence[ControlChoice]) -> list[Picture]:
    """Return the pictures that the caller passed, in their order."""
    return [each.picture for choice in choices for each in choice.pictures if each.picture is not None]


def record_controls(choices: Sequence[ControlChoice]) -> dict[str, Any]:
    """Return the choices as values of JSON, pictures by their digest; modes and the like where they are not the default."""
    if not choices:
        return {}
    pictures = [each for choice in choices for each in choice.pictures]
    values: dict[str, Any] = {
        "controlnet_conditioning_scale": [each.scale for each in pictures],
        "control_guidance_start": [choice.settings.guidance_start for choice in choices],
        "control_guidance_end": [choice.settings.guidance_end for choice in choices],
    }
    if given := pictures_given(choices):
        values["control_image"] = [digest("control_image", picture) for picture in given]
    if any(choice.mode != "balanced" for choice in choices):
        values["control_mode"] = [choice.mode for choice in choices]
    if choices[0].guess:
        values["guess_mode"] = True
    if any(each.sort is not None for each in pictures):
        values["control_type"] = ["none" if each.sort is None else each.sort for each in pictures]
    if any(each.preprocessor != "none" for each in pictures):
        values["control_preprocessor"] = [each.preprocessor for each in pictures]
    return values


def _read_pictures(
    options: GenerateOptions, configs: Sequence[Mapping[str, Any]], *, alone: bool, changes_picture: bool
) -> tuple[ControlPicture, ...]:
    """Return what is told of each picture: one of each ControlNet, or all those of the union that is alone in the pipeline."""
    pictures = _pictures(options, len(configs), alone=alone, changes_picture=changes_picture)
    count, what = len(pictures), "pictures" if alone else "ControlNets"
    scales = for_each("controlnet_conditioning_scale", options.get("controlnet_conditioning_scale"), 1.0, count, what)
    preprocessors = for_each("control_preprocessor", options.get("control_preprocessor"), "none", count, what)
    sorts = _sorts(options.get("control_type"), [*configs] * count if alone else configs, what)
    return tuple(
        ControlPicture(picture=picture, scale=float(scale), preprocessor=preprocessor, sort=sort)
        for picture, scale, preprocessor, sort in zip(pictures, scales, preprocessors, sorts, strict=True)
    )


def _pictures(options: GenerateOptions, count: int, *, alone: bool, changes_picture: bool) -> tuple[Picture | None, ...]:
    value: Any = options.get("control_image")
    if value is None and count and changes_picture and _says_inpaint(options.get("control_preprocessor")):
        return (None,) * count
    pictures = pictures_of(value)
    if len(pictures) != count and not (alone and pictures):
        has = f"takes {count}" if count else "has no ControlNet: sdrt.load(..., controlnet=folder) gives it one"
        raise ConfigError(f"control_image must be a picture for each ControlNet, got {len(pictures)}; this pipeline {has}")
    return pictures


def _says_inpaint(preprocessor: str | Sequence[str] | None) -> bool:
    return preprocessor is not None and {"inpaint"} == ({preprocessor} if isinstance(preprocessor, str) else set(preprocessor))


def _sorts(value: Any, configs: Sequence[Mapping[str, Any]], what: str) -> list[int | None]:
    """Return the number of each picture's sort; None for ControlNets that are no unions."""
    if value is None or isinstance(value, str | int):
        # one for all is for the unions among them
        values: list[Any] = [value if is_union(config) else None for config in configs]
        if value is not None and not any(map(is_union, configs)):
            values = [value] * len(configs)
    else:
        values = for_each("control_type", value, None, len(configs), what)
    return [_sort(sort, config) for sort, config in zip(values, configs, strict=True)]


def _sort(value: str | int | None, config: Mapping[str, Any]) -> int | None:
    if not is_union(config):
        if value not in (None, "none"):
            raise ConfigError(f"control_type must be left out for a ControlNet of one sort, or be 'none', got {shown(value)}; leave it out")
        return None
    known = int(config["num_control_type"])
    names = CONTROL_TYPES[:known]
    number = value if isinstance(value, int) else next((k for k, each in enumerate(names) if value in each), None)
    if number is None or number >= known:
        sorts = ", ".join(f"{k} ({'/'.join(each)})" for k, each in enumerate(names))
        got = "none" if value is None else shown(value)
        raise ConfigError(f"control_type must say what each picture shows, for this union one of {sorts}, got {got}; name one")
    return number


def _shared(value: Any) -> Any:
    """Return one value where the pictures of a union were each told the same."""
    return value[0] if isinstance(value, tuple) and all(each == value[0] for each in value) else value
