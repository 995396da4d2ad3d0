"""Wrong schedulers are told by their mistakes, and right ones are not accused."""

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import diffusers
import numpy as np
import pytest

import sdrt
from sdrt.arrays import Array
from sdrt.errors import ConfigError
from sdrt.schedulers import class_names
from sdrt.schedulers.catalogue import sampler_class
from sdrt.testing import check_scheduler
from sdrt.testing.schedulers.cases import cases_of
from sdrt.testing.schedulers.paths import follow
from sdrt.testing.schedulers.values import values_of
from tests.testing.schedulers import wrong_schedulers
from tests.testing.schedulers.wrong_schedulers import WRONG, Base

RIGHT: dict[type[Base], str] = {
    wrong_schedulers.RightDDIM: "DDIMScheduler",
    wrong_schedulers.RightDDPM: "DDPMScheduler",
    wrong_schedulers.RightDPMSolver: "DPMSolverMultistepScheduler",
    wrong_schedulers.RightEuler: "EulerDiscreteScheduler",
    wrong_schedulers.RightEulerAncestral: "EulerAncestralDiscreteScheduler",
}


OF_SD15: dict[str, Any] = {"beta_schedule": "scaled_linear", "steps_offset": 1, "set_alpha_to_one": False, "clip_sample": False}


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.__name__)
def test_a_wrong_scheduler_is_told_by_its_mistake(wrong: type[Base]) -> None:
    like, kind = WRONG[wrong]
    assert [fault.kind for fault in check_scheduler(wrong, like)] == [kind]


@pytest.mark.parametrize("right", RIGHT, ids=lambda right: right.__name__)
def test_the_schedulers_that_they_are_made_of_are_right(right: type[Base]) -> None:
    assert check_scheduler(right, RIGHT[right]) == []


def own(name: str, compat: Any = None) -> Callable[..., Any]:
    return lambda **settings: sdrt.schedulers.from_config({"_class_name": name, **settings}, compat=compat)


def of_diffusers(name: str) -> list[Any]:
    return check_scheduler(getattr(diffusers, name), name)


@pytest.mark.parametrize("name", ["DDIMScheduler", "EulerAncestralDiscreteScheduler", "UniPCMultistepScheduler"])
def test_no_scheduler_of_sdrt_is_accused(name: str) -> None:
    assert check_scheduler(own(name), name) == []


@pytest.mark.slow
@pytest.mark.parametrize("compat", [None, "diffusers"])
@pytest.mark.parametrize("name", class_names())
def test_no_scheduler_of_sdrt_is_accused_at_all(name: str, compat: Any) -> None:
    assert check_scheduler(own(name, compat), name) == []


@pytest.mark.parametrize("name", ["DDIMScheduler", "DPMSolverMultistepScheduler", "FlowMatchEulerDiscreteScheduler"])
def test_no_scheduler_of_diffusers_is_accused(name: str) -> None:
    assert of_diffusers(name) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in class_names() if hasattr(diffusers, name)])
def test_no_scheduler_of_diffusers_is_accused_at_all(name: str) -> None:
    assert of_diffusers(name) == []


def ddim_step(betas: Array, n: int) -> Callable[[Array, int, Array], Array]:
    """A plain function of (x, t, output)."""
    alpha_bar = np.cumprod(1 - betas)

    def step(x: Array, t: int, output: Array) -> Array:
        prev = t - 1000 // n
        power, after = alpha_bar[t], alpha_bar[prev] if prev >= 0 else 1.0
        x0 = (x - np.sqrt(1 - power) * output) / np.sqrt(power)
        moved: Array = np.sqrt(after) * x0 + np.sqrt(1 - after) * output
        return moved

    return step


LINEAR = np.linspace(0.0001, 0.02, 1000)
FIXED = {"clip_sample": False}


def test_a_plain_function_of_a_step_can_be_checked() -> None:
    assert check_scheduler(lambda num_inference_steps: ddim_step(LINEAR, num_inference_steps), "DDIMScheduler", settings=FIXED) == []
    assert check_scheduler(ddim_step(LINEAR, 20), "DDIMScheduler", settings=FIXED, steps=[20]) == []
    wrong = check_scheduler(ddim_step(LINEAR**0.5, 20), "DDIMScheduler", settings=FIXED, steps=[20])
    assert [fault.kind for fault in wrong] == ["unexplained"]
    wrong = check_scheduler(ddim_step(LINEAR, 20), "DDIMScheduler", settings={**FIXED, "prediction_type": "v_prediction"}, steps=[20])
    assert [fault.kind for fault in wrong] == ["prediction_read_as_another"]


def test_a_scheduler_that_has_been_made_is_checked_with_its_settings() -> None:
    settings = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "use_karras_sigmas": True}
    made = diffusers.EulerDiscreteScheduler(**settings)
    assert check_scheduler(made, "EulerDiscreteScheduler", settings=settings) == []
    faults = check_scheduler(made, "EulerDiscreteScheduler", settings={**settings, "use_karras_sigmas": False})
    assert [fault.kind for fault in faults] == ["setting_ignored"]
    assert faults[0].message.startswith("these are the numbers of use_karras_sigmas=True; EulerDiscreteScheduler(")


def test_where_sdrt_corrects_diffusers_one_side_may_be_asked_for() -> None:
    """diffusers' trailing spacing has one timestep more at 61 steps."""
    settings = {"timestep_spacing": "trailing"}
    check = partial(check_scheduler, like="DDIMScheduler", settings=settings, steps=[61])
    theirs = diffusers.DDIMScheduler(**settings)
    assert check(theirs) == check(theirs, compat="diffusers") == []
    assert [fault.kind for fault in check(theirs, compat=None)] == ["too_many_timesteps"]
    ours = sdrt.schedulers.from_config({"_class_name": "DDIMScheduler", **settings})
    assert check(ours) == check(ours, compat=None) == []


class Two(wrong_schedulers.SwapsAddNoise, wrong_schedulers.IgnoresClipping):
    pass


def test_two_mistakes_are_two_faults() -> None:
    assert {fault.kind for fault in check_scheduler(Two, "DDIMScheduler")} == {"setting_ignored", "add_noise_swaps_its_scales"}


def test_a_message_says_where_and_how_much() -> None:
    fault = check_scheduler(wrong_schedulers.IgnoresAlphaToOne, "DDIMScheduler")[0]
    assert fault.message.startswith(
        "these are the numbers of set_alpha_to_one=False; DDIMScheduler(), 10 steps: call 9 of 10: the sample after it is off by 0.00"
    )


class Broken(wrong_schedulers.RightDDIM):
    def step(self, output: Array, t: int, x: Array, eta: float = 0.0, generator: Any = None) -> Any:
        raise RuntimeError("out of memory")


class Refusing(wrong_schedulers.RightDDIM):
    def __init__(self, **settings: Any) -> None:
        raise ValueError("no weights")


def test_what_raises_is_said_once() -> None:
    assert [(fault.kind, fault.message) for fault in check_scheduler(Broken, "DDIMScheduler")] == [
        ("raises", "DDIMScheduler(), 10 steps, call 0: RuntimeError: out of memory")
    ]
    assert [fault.message for fault in check_scheduler(Refusing, "DDIMScheduler")] == ["DDIMScheduler(), 10 steps: ValueError: no weights"]


class Warns(wrong_schedulers.RightDDIM):
    def set_timesteps(self, num_inference_steps: int) -> None:
        warnings.warn("old", DeprecationWarning, stacklevel=2)
        super().set_timesteps(num_inference_steps)


def test_warnings_of_a_port_are_no_faults() -> None:
    """Here they are errors, as in many suites."""
    with pytest.raises(DeprecationWarning):
        Warns().set_timesteps(3)
    assert check_scheduler(Warns, "DDIMScheduler", steps=[3]) == []


def test_where_wrong_timesteps_end_is_no_further_mistake() -> None:
    class Plain(wrong_schedulers.RightDDIM):
        """As many ports are: no offset of timesteps, and no noise at all behind the last."""

        def __init__(self, beta_start: float = 0.0001, beta_end: float = 0.02) -> None:
            super().__init__(beta_start=beta_start, beta_end=beta_end, **(OF_SD15 | {"steps_offset": 0, "set_alpha_to_one": True}))

    assert [fault.kind for fault in check_scheduler(Plain, "DDIMScheduler", settings=OF_SD15)] == ["timesteps_off_by_one"]


@pytest.mark.parametrize("result", [lambda x: None, lambda x: x[:1, :2]])
def test_a_sample_of_another_shape_is_named(result: Callable[[Array], Any]) -> None:
    """None is what a step without ``return`` gives."""

    class Misshapen(wrong_schedulers.RightDDIM):
        def step(self, output: Array, t: int, x: Array, eta: float = 0.0, generator: Any = None) -> Any:
            return result(x)

    (fault,) = check_scheduler(Misshapen, "DDIMScheduler", steps=[3])
    assert fault.kind == "wrong_shape"
    assert "call 0: the sample after it must have the shape (1, 4, 6, 8), got " in fault.message


def test_the_arguments_of_the_check_are_checked() -> None:
    with pytest.raises(ConfigError, match=r"like must be one of sdrt\.schedulers\.class_names\(\), got 'DDIM'"):
        check_scheduler(wrong_schedulers.RightDDIM, "DDIM")
    for steps in (20, [], [0], ["a"], [2.5]):
        with pytest.raises(ConfigError, match="steps must be a list of at least 1 whose entries are each a whole number of at least 1"):
            check_scheduler(wrong_schedulers.RightDDIM, steps=steps)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="make must give a scheduler, or be one, got 3"):
        check_scheduler(3)


def compared_values(name: str) -> dict[str, set[str]]:
    """The values of each setting with which some run is compared."""
    found: dict[str, set[str]] = {}
    for case in cases_of(name, {}, None, None, None):
        if all(follow(case, compat) is not None for compat in (None, "diffusers")):
            for key, value in case.config.items():
                found.setdefault(key, set()).add(repr(value))
    return found


# Schedules that end in almost no signal: x / alpha has 80,000 there, and float32 no digits left. Others have a form of their own.
LEFT_OUT = {"squaredcos_cap_v2", "Betas of 0.0002 to 0.015"}
# What these refuse together with their other defaults.
REFUSED = {("DDIMInverseScheduler", "prediction_type"), ("UnCLIPScheduler", "clip_sample"), ("UnCLIPScheduler", "prediction_type")}


@pytest.mark.parametrize("name", ["DDIMScheduler", "DEISMultistepScheduler", "EulerDiscreteScheduler", "PNDMScheduler"])
def test_every_value_of_every_setting_is_compared(name: str) -> None:
    """Rules that leave runs out must not leave out a setting."""
    assert values_left_out(name) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", class_names())
def test_every_value_of_every_setting_of_every_class_is_compared(name: str) -> None:
    assert values_left_out(name) == []


def values_left_out(name: str) -> list[tuple[str, Any]]:
    compared = compared_values(name)
    sampler = sampler_class(name)
    missing = [
        (key, value)
        for key in sampler.keys
        for value in values_of(sampler, key)
        if value != sampler.keys[key] and repr(value) not in compared.get(key, set()) and (name, key) not in REFUSED
    ]
    return [pair for pair in missing if repr(pair[1]).strip("'") not in LEFT_OUT]
