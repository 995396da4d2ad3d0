"""The runs over which schedulers are compared: every setting on its own, and many together."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sdrt.errors import SdrtError
from sdrt.schedulers import Compat, DiffusersScheduler, from_config
from sdrt.schedulers.catalogue import sampler_class
from sdrt.schedulers.core.sampler import Sampler
from sdrt.testing.schedulers.values import COMPANIONS, STABLE_DIFFUSION, STEP_OPTIONS, values_of

__all__ = ["SchedulerCase", "cases_of", "laid_out"]

# Steps of the runs, in turn: the usual numbers, small ones, and one that does not divide 1000.
STEPS = (10, 25, 4, 1, 2, 7, 20, 3)

# The same, and the most runs, for samplers whose noise is a Brownian path, which takes time to compute.
_SHORT, _FEW = (4, 3, 1, 2), 20

# Midpoints of DPM2 a are differences of nearly equal squares: in fewer steps diffusers takes the logarithm of one below 0. UnCLIP divides
# by the number of steps less one there.
_LEAST_STEPS = {"KDPM2AncestralDiscreteScheduler": 4, "UnCLIPScheduler": 2}

# Settings that choose the noise levels, each in place of the others.
_EXCLUSIVE = ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "use_lu_lambdas", "use_flow_sigmas")

# How many runs have several settings changed at once.
MIXED = 24


@dataclass(frozen=True, eq=False)
class SchedulerCase:
    """One run."""

    config: Mapping[str, Any]  # with _class_name
    n: int
    step: Mapping[str, Any] = field(default_factory=dict)  # options of step
    stops: Mapping[str, Any] = field(default_factory=dict)  # further arguments of set_timesteps
    seed: int = 0
    shape: tuple[int, ...] = (1, 4, 6, 8)

    @property
    def name(self) -> str:
        """The class."""
        return str(self.config["_class_name"])

    def __str__(self) -> str:
        settings = {key: value for key, value in self.config.items() if not key.startswith("_")} | {**self.step, **self.stops}
        listed = ", ".join(f"{key}={value!r}" for key, value in settings.items())
        return f"{self.name}({listed}), {self.n} step{'s' * (self.n != 1)}"


def laid_out(case: SchedulerCase, compat: Compat, **changes: Any) -> DiffusersScheduler | None:
    """Return sdrt's own scheduler of a case, ready to run, with some settings changed; None where it refuses."""
    try:
        scheduler = from_config({**case.config, **changes}, compat=compat)
        scheduler.set_timesteps(case.n, **case.stops)
    except SdrtError:
        return None
    return scheduler


def cases_of(
    class_name: str, fixed: Mapping[str, Any], varied: Iterable[str] | None, step_options: Iterable[str] | None, steps: Sequence[int] | None
) -> list[SchedulerCase]:
    """Return the runs for a sampler.

    Parameters
    ----------
    class_name : str
    fixed : mapping
        Settings that every run has.
    varied : iterable of str or None
        The settings that the port can be built with; None stands for all.
    step_options : iterable of str or None
        The options that its step takes, likewise.
    steps : sequence of int or None
        The numbers of steps.
    """
    sampler = sampler_class(class_name)
    own = set(sampler.keys) - set(fixed)
    keys = sorted(own if varied is None else own & set(varied))
    base = {"_class_name": class_name, **fixed}
    usual = _SHORT if "noise_sampler_seed" in sampler.keys else STEPS
    least = _LEAST_STEPS.get(class_name, 1) if steps is None else 1
    counts = usual if steps is None else tuple(steps)
    configs = _configs(sampler, base, keys, step_options)
    cases = [_case(_usable(config, keys), step, max(counts[k % len(counts)], least), k) for k, (config, step) in enumerate(configs)]
    cases = list({(repr(case.config), case.n, repr(case.step)): case for case in reversed(cases)}.values())[::-1]
    most = _FEW if "noise_sampler_seed" in sampler.keys else len(cases)
    return [case for case in cases[:most] if all(laid_out(case, compat) is not None for compat in (None, "diffusers"))]


def _case(config: Mapping[str, Any], step: Mapping[str, Any], n: int, seed: int) -> SchedulerCase:
    stops = {"mu": 0.8} if config.get("use_dynamic_shifting") else {}
    n = max(n, 2) if config.get("shift_terminal") else n  # which stretches a run of one step by 0 / 0
    # diffusers takes the first three channels for the prediction where a variance was learned
    shape = (1, 3, 6, 8) if config.get("variance_type") in ("learned", "learned_range") else (1, 4, 6, 8)
    return SchedulerCase(config, n, step, stops, seed, shape)


def _usable(config: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    """Return the settings without combinations for which diffusers 0.42 gives NaN, or heeds only one of two."""
    changed = dict(config)
    if changed.get("trained_betas"):
        changed.pop("num_train_timesteps", None)  # which is their number
    for flag in [flag for flag in _EXCLUSIVE if changed.get(flag)][1:]:
        changed[flag] = False
    # a step that ends where there is no noise divides by it, unless it has the first order and predicts x0
    divides = changed.get("predict_x0") is False or changed.get("lower_order_final") is False or changed.get("solver_type") == "bh1"
    if "final_sigmas_type" in keys and divides:
        changed["final_sigmas_type"] = "sigma_min"
    return changed


Configs = Iterator[tuple[dict[str, Any], dict[str, Any]]]


def _configs(sampler: type[Sampler], base: Mapping[str, Any], keys: Sequence[str], step_options: Iterable[str] | None) -> Configs:
    """Yield settings and options: none changed, each alone, several."""
    usual = dict(STABLE_DIFFUSION) if STABLE_DIFFUSION.keys() <= {*keys} else {}
    seeded = {"noise_sampler_seed": 93} if "noise_sampler_seed" in keys else {}
    start = {**base, **seeded}
    yield start, {}
    yield {**start, **usual}, {}
    yield {**start, **usual}, {}
    options = [key for key in sampler.step_options if step_options is None or key in step_options]
    for key in options:
        for value in STEP_OPTIONS.get(key, ()):
            yield {**start, **usual}, {key: value}
    for key in keys:
        for value in values_of(sampler, key):
            companions = {other: needed for other, needed in COMPANIONS.get(key, {}).items() if other in keys}
            if value != sampler.keys[key]:
                yield {**start, **usual, **companions, key: value}, {}
    chosen = np.random.RandomState(93)
    for _ in range(MIXED):
        config = {**start, **usual}
        for key in keys:
            values = values_of(sampler, key)
            if values and chosen.randint(4) == 0:
                config[key] = values[chosen.randint(len(values))]
        yield config, {key: _pick(chosen, STEP_OPTIONS[key]) for key in options if key in STEP_OPTIONS and chosen.randint(3) == 0}


def _pick(chosen: np.random.RandomState, values: Sequence[Any]) -> Any:
    return values[chosen.randint(len(values))]
