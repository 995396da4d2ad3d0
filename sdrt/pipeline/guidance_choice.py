"""Which guidance each call of a run has: the options that set it, and the stretches in which it is on or off, or its scale changes.

Fractions of the run and schedules are counted in steps, as diffusers' guiders count them: of n steps that are made, those from the
``int(start * n)``-th on and before the ``int(end * n)``-th are guided. All calls of a step have one guidance. (Kynkäänniemi et al. 2024
limit guidance to an interval of noise levels; at the steps of one sampler, either says the other.)
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from itertools import groupby
from typing import Any, TypeAlias

from sdrt.errors import ConfigError
from sdrt.exact.mathematics import Functions
from sdrt.guidance import Guidance, ScheduledGuidance, Unguided, choose_guidance, is_guided, scheduled_scales
from sdrt.guidance.rows import NEGATIVE
from sdrt.option_kinds import OPTION_KINDS
from sdrt.pipeline.options import GenerateOptions
from sdrt.pipeline.stretches import Since
from sdrt.printable import shown
from sdrt.records.kinds import GUIDANCE_OPTIONS
from sdrt.records.settings import Settings
from sdrt.schedulers import Plan, Sampler

__all__ = ["choose_guidances", "record_guidance", "unguided_options"]

# What decides the guidance of a call: the scale, or None outside the interval; and whether the refiner predicts.
_OfCall: TypeAlias = tuple[float | None, bool]


def record_guidance(options: GenerateOptions) -> dict[str, Any]:
    """Return the options of guidance that were passed, as conditions of the record."""
    return {name: _as_json(options[name]) for name in GUIDANCE_OPTIONS if name in options}  # type: ignore[literal-required]


def _as_json(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value if isinstance(value, str | int | float) else asdict(value)


def choose_guidances(
    settings: Settings,
    sampler: Sampler,
    plan: Plan,
    at: int,
    refiner_begins: int | None = None,
    *,
    embedding_size: int | None,
    functions: Functions,
) -> Since[Guidance]:
    """Return the guidance from each call of the plan on at which its rows change.

    Parameters
    ----------
    settings : Settings
    sampler : Sampler
    plan : Plan
    at : int
        The first call of the run.
    refiner_begins : int or None
        The call at which a refiner takes over, whose U-Net is perturbed by nothing.
    embedding_size : int or None
        Length of the embedding in which the U-Net takes the scale; None for a U-Net without one.
    functions : Functions

    Raises
    ------
    ConfigError : an option does not fit the sampler or the model, or says nothing that can be done
    """
    conditions = settings.conditions
    _refuse(settings, sampler, embedded=embedding_size is not None)
    methods = {name: OPTION_KINDS[name].convert(conditions[name]) for name in ("apg", "dynamic_thresholding") if name in conditions}
    perturbed = {name: conditions[name] for name in ("pag_scale", "pag_adaptive_scale") if name in conditions}

    def choose(scale: float | None, refines: bool) -> Guidance:
        if scale is None:
            return Unguided()
        return choose_guidance(
            scale,
            settings.guidance_rescale,
            **methods,
            **({} if refines else perturbed),
            embedding_size=embedding_size,
            needs_unconditional=sampler.needs_unconditional,
            as_diffusers=settings.compat == "diffusers",
            functions=functions,
        )

    starts = [*(call for call in plan.starts if call >= at), plan.num_calls]
    scales = _scales(settings, len(starts) - 1, functions)
    last = plan.num_calls if refiner_begins is None else refiner_begins
    each = [(scale, call >= last) for scale, begin, end in zip(scales, starts, starts[1:], strict=False) for call in range(begin, end)]
    return _stretches(each, choose, at)


def unguided_options(settings: Settings, guidances: Sequence[Guidance]) -> dict[str, str]:
    """Return the options of guidance that this call does not read, each with the reason."""
    conditions = settings.conditions
    schedule = conditions.get("guidance_schedule")
    scales = [settings.guidance_scale] if schedule is None or isinstance(schedule, str) else schedule
    if not any(NEGATIVE in guidance.rows for guidance in guidances):
        if any(guidance.unet_inputs for guidance in guidances):
            why = "this model takes the scale of guidance as an input of its U-Net"
        elif any(map(is_guided, scales)):
            why = "no step lies between guidance_start and guidance_end"
        else:
            why = f"guidance is off at guidance_scale {max(scales):g}"
        passed = [name for name in ("negative_prompt", "guidance_rescale") if getattr(settings, name)]
        return dict.fromkeys([*passed, *(name for name in GUIDANCE_OPTIONS if name in conditions)], why)
    mimic = conditions.get("dynamic_thresholding", {}).get("mimic_scale")
    # a schedule's scales go beyond its mean
    if mimic is not None and schedule in (None, "constant") and mimic >= settings.guidance_scale:
        return {"dynamic_thresholding": f"its mimic_scale, {mimic:g}, is not below guidance_scale"}
    return {}


def _scales(settings: Settings, num_steps: int, functions: Functions) -> Sequence[float | None]:
    """Return the scale of each step; None outside the interval, where nothing but the prompt is predicted."""
    conditions = settings.conditions
    schedule = conditions.get("guidance_schedule", "constant")
    if isinstance(schedule, str):
        scales = scheduled_scales(schedule, settings.guidance_scale, num_steps, functions)  # type: ignore[arg-type]
    elif len(schedule) == num_steps:
        scales = tuple(schedule)
    else:
        raise ConfigError(
            f"guidance_schedule must have a scale for each of the {num_steps} steps of the run, got {len(schedule)}; pass as many"
        )
    # 0.29 of 100 steps are 29, whatever their product is in binary
    first, stop = (int(round(share * num_steps, 9)) for share in _interval_of(conditions))
    return tuple(scale if first <= k < stop else None for k, scale in enumerate(scales))


def _interval_of(conditions: Mapping[str, Any]) -> tuple[float, float]:
    """Return the fractions of the run between which it is guided.

    Raises
    ------
    ConfigError : nothing lies between them
    """
    start, end = conditions.get("guidance_start", 0.0), conditions.get("guidance_end", 1.0)
    if not start < end:
        raise ConfigError(f"guidance_start must be below guidance_end, got {start:g} and {end:g}; guidance_scale=1 turns guidance off")
    return start, end


def _stretches(calls: Sequence[_OfCall], choose: Callable[[float | None, bool], Guidance], at: int) -> Since[Guidance]:
    """Return the guidance of each stretch of calls with the same rows, which may change its scale from call to call."""
    guidances = {each: choose(*each) for each in calls}
    stretches: list[tuple[int, Guidance]] = []
    for _, group in groupby(enumerate(calls), key=lambda each: guidances[each[1]].rows):
        members = list(group)
        own = tuple(guidances[each] for _, each in members)
        index = members[0][0]
        guidance = own[0] if all(each == own[0] for each in own) else ScheduledGuidance(own, index)
        stretches.append((at + index if index else 0, guidance))
    return tuple(stretches)


def _refuse(settings: Settings, sampler: Sampler, *, embedded: bool) -> None:
    """Refuse what a model or a sampler cannot do.

    Raises
    ------
    ConfigError : there is such an option
    """
    passed = [name for name in GUIDANCE_OPTIONS if name in settings.conditions]
    if embedded:
        reason = "for this model, whose U-Net takes the scale as an input"
    elif sampler.needs_unconditional:
        reason = f"with {settings.scheduler}, whose steps use the prediction without the prompt, at scales from 0 to 1"
    elif sampler.doubled_output:
        passed = [name for name in passed if name in ("apg", "dynamic_thresholding")]
        reason = f"with {settings.scheduler} of this model, whose U-Net predicts a variance too"
    else:
        return
    if passed:
        values, them = [settings.conditions[name] for name in passed], "it" if len(passed) == 1 else "them"
        got = shown(values[0] if len(values) == 1 else values)
        raise ConfigError(f"{' and '.join(passed)} must be None {reason}, got {got}; leave {them} out")
