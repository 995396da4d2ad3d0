"""Mistakes of schedulers, each as what a scheduler with it would show: other settings, other samplers, noise, precision."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from sdrt.arrays import F64
from sdrt.errors import SdrtError
from sdrt.schedulers import class_names, from_config
from sdrt.schedulers.catalogue import sampler_class
from sdrt.testing.explain import Hypothesis
from sdrt.testing.schedulers.cases import laid_out
from sdrt.testing.schedulers.items import Item, predicted
from sdrt.testing.schedulers.noise import NOISE_MISTAKES
from sdrt.testing.schedulers.paths import Path, Transcript, retrace
from sdrt.testing.schedulers.values import STEP_OPTIONS, Betas, values_of

__all__ = ["ENDS_ELSEWHERE", "mistakes_of", "other_samplers"]

# What it is called to have another value of a setting; the others are `setting_ignored`.
_KINDS: Mapping[str, str] = {
    "prediction_type": "prediction_read_as_another",
    "set_alpha_to_one": "last_step_uses_the_wrong_alpha",
    "final_sigmas_type": "last_step_uses_the_wrong_alpha",
    "timestep_spacing": "timesteps_of_other_spacing",
    "steps_offset": "timesteps_off_by_one",
    "beta_schedule": "wrong_noise_schedule",
    "beta_start": "wrong_noise_schedule",
    "beta_end": "wrong_noise_schedule",
    "trained_betas": "wrong_noise_schedule",
    "lower_order_final": "order_not_lowered_at_the_end",
    "solver_order": "another_order",
    "predictor_order": "another_order",
    "corrector_order": "another_order",
    "order": "another_order",
}

Hypotheses = list[Hypothesis[Item]]


def mistakes_of(class_name: str) -> Hypotheses:
    """Return the hypotheses for a sampler: those that have a name of their own first."""
    return [
        *_OF_TABLES,
        *NOISE_MISTAKES,
        *_of_settings(class_name),
        *_of_options(class_name),
        *_OF_PRECISION,
        *_OF_THE_REST,
    ]


def _by(kind: str, text: str, trace: Callable[[Path], Transcript | None]) -> Hypothesis[Item]:
    """Make a hypothesis of a function that runs a wrong sampler along a path."""
    key = (kind, text)

    def predicts(item: Item) -> bool | None:
        if key not in item.path.cache:
            item.path.cache[key] = _traced_or_none(trace, item.path)
        transcript = item.path.cache[key]
        if transcript is None:
            return None
        value = predicted(transcript, item)
        return None if value is None else item.matches(value)

    return Hypothesis(kind, text, predicts)


def _traced_or_none(trace: Callable[[Path], Transcript | None], path: Path) -> Transcript | None:
    try:
        return trace(path)
    except SdrtError:  # a sampler that cannot be made of these settings
        return None


# ---- tables


def _on(stage: str, predict: Callable[[Item], bool]) -> Callable[[Item], bool | None]:
    return lambda item: predict(item) if item.stage == stage else None


def _same_length(item: Item) -> bool:
    return item.got.shape == item.wanted.shape


def _is_shifted(item: Item) -> bool:
    return _same_length(item) and any(item.matches(item.wanted + shift) for shift in (1.0, -1.0))


def _is_reversed(item: Item) -> bool:
    return len(item.wanted) > 1 and item.matches(item.wanted[::-1])


def _is_rounded(item: Item) -> bool:
    return _same_length(item) and bool((np.abs(item.got - item.wanted) <= 1).all()) and np.array_equal(item.got, np.rint(item.got))


def _has_other_size(item: Item) -> bool:
    """Whether the noise has the size that it would have without a root, or at all."""
    others = (1.0, float(np.sqrt(max(float(item.wanted) ** 2 - 1, 0))), float(np.sqrt(float(item.wanted) ** 2 + 1)))
    return any(item.matches(np.asarray(other)) for other in others)


_OF_TABLES: Hypotheses = [
    Hypothesis("timesteps_ascending", "the timesteps are in ascending order", _on("timesteps", _is_reversed)),
    Hypothesis("timesteps_off_by_one", "every timestep is off by one", _on("timesteps", _is_shifted)),
    Hypothesis("init_noise_not_scaled", "the first noise is not scaled by sqrt(sigma ** 2 + 1)", _on("init", _has_other_size)),
    Hypothesis(
        "input_not_scaled",
        "scale_model_input gives the sample back as it is",
        _on("scaled", lambda item: item.matches(item.path.inputs[item.call].astype(np.float64))),
    ),
]

_IS_ANOTHER_COUNT = Hypothesis[Item](
    "too_many_timesteps", "there are more or fewer timesteps than calls", _on("timesteps", lambda item: not _same_length(item))
)

_IS_ROUNDED = Hypothesis[Item]("timesteps_rounded", "fractional timesteps are rounded", _on("timesteps", _is_rounded))


# ---- settings


def _of_settings(class_name: str) -> Hypotheses:
    sampler = sampler_class(class_name)
    keys = sorted(sampler.keys, key=lambda key: (key not in _KINDS, key))
    return [
        _by(_KINDS.get(key, "setting_ignored"), f"these are the numbers of {key}={value!r}", _with_setting(key, value))
        for key in keys
        for value in _distinct((*values_of(sampler, key), sampler.keys[key]))
    ]


def _distinct(values: Iterable[Any]) -> list[Any]:
    """Return the values without repeats; lists among them have no hash."""
    return list({repr(value): value for value in values}.values())


def _with_setting(key: str, value: Any) -> Callable[[Path], Transcript | None]:
    def trace(path: Path) -> Transcript | None:
        current = path.case.config.get(key, sampler_class(path.case.name).keys[key])
        if current == value:
            return None
        other = laid_out(path.case, path.compat, **{key: value})
        return None if other is None else _traced(path, other)

    return trace


def _traced(path: Path, other: Any) -> Transcript | None:
    """Return the transcript of another scheduler: of its tables alone, where it makes other calls."""
    transcript = retrace(path, other)
    if transcript is not None:
        return transcript
    return Transcript(timesteps=other.timesteps.astype(np.float64), init=other.init_noise_sigma, scaled=(), results=())


def _of_options(class_name: str) -> Hypotheses:
    sampler = sampler_class(class_name)
    defaults = from_config({"_class_name": class_name}).sampler.step_option_values()
    return [
        _by(_KINDS.get(key, "setting_ignored"), f"these are the numbers of {key}={value!r} in step", _with_option(key, value))
        for key in sampler.step_options
        if key in STEP_OPTIONS
        for value in _distinct((defaults[key], *STEP_OPTIONS[key]))
    ]


def _with_option(key: str, value: Any) -> Callable[[Path], Transcript | None]:
    def trace(path: Path) -> Transcript | None:
        return retrace(replace(path, further={**path.further, key: value}), path.scheduler)

    return trace


def other_samplers(class_name: str) -> Hypotheses:
    """Return a hypothesis for each other sampler: its kin first."""
    own = sampler_class(class_name)

    def of(other: str) -> Callable[[Path], Transcript | None]:
        def trace(path: Path) -> Transcript | None:
            scheduler = from_config({**path.case.config, "_class_name": other}, compat=path.compat)
            scheduler.set_timesteps(path.case.n)
            return _traced(path, scheduler)

        return trace

    kin = [other for other in class_names() if other != class_name and not sampler_class(other).needs_unconditional]
    kin.sort(key=lambda other: (sampler_class(other).__mro__[1] is not own.__mro__[1], other))
    return [_by("another_sampler", f"these are the numbers of {other}", of(other)) for other in kin]


# ---- precision


def _with_betas(round_off: Callable[[F64], F64]) -> Callable[[Path], Transcript | None]:
    """Run the sampler over an alpha_bar that went through half precision."""

    def trace(path: Path) -> Transcript | None:
        alpha_bar = path.scheduler.sampler.alpha_bar()
        if alpha_bar is None or "trained_betas" not in path.scheduler.sampler.keys:
            return None
        betas = np.clip(round_off(alpha_bar), 1e-8, 0.9999).tolist()
        other = laid_out(path.case, path.compat, trained_betas=Betas(betas), rescale_betas_zero_snr=False)
        return None if other is None else retrace(path, other)

    return trace


def _half_alpha_bar(alpha_bar: F64) -> F64:
    # a level without any noise has no steps of its own
    rounded = np.minimum(alpha_bar.astype(np.float16).astype(np.float64), 0.99995)
    betas: F64 = 1 - rounded / np.concatenate([[1.0], rounded[:-1]])
    return betas


def _half_betas(alpha_bar: F64) -> F64:
    betas: F64 = 1 - alpha_bar / np.concatenate([[1.0], alpha_bar[:-1]])
    return betas.astype(np.float16).astype(np.float64)


def _shows_half_sigmas(item: Item) -> bool | None:
    """Whether the port's sigmas are half precision's, and the original's are not."""
    if item.sigmas is None or item.stage == "timesteps":
        return None
    own = item.path.scheduler.sigmas.astype(np.float64)
    if item.sigmas.shape != own.shape or not np.isfinite(own).all():
        return None
    is_half = np.array_equal(item.sigmas, item.sigmas.astype(np.float16))
    return bool(is_half and np.allclose(item.sigmas, own, rtol=2e-3, atol=1e-6))


_OF_PRECISION: Hypotheses = [
    Hypothesis("sigmas_in_float16", "sigmas are rounded to half precision", _shows_half_sigmas),
    _by("sigmas_in_float16", "alphas_cumprod is rounded to half precision", _with_betas(_half_alpha_bar)),
    _by("sigmas_in_float16", "betas are rounded to half precision", _with_betas(_half_betas)),
]

_OF_THE_REST: Hypotheses = [
    _IS_ROUNDED,
    _IS_ANOTHER_COUNT,
]

# Only where no other call is wrong: its end is then all that is left.
ENDS_ELSEWHERE = Hypothesis[Item](
    "last_step_uses_the_wrong_alpha", "only the last call is wrong: it ends at another noise level", lambda item: item.stage == "step"
)
