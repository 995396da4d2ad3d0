"""The gate of configurations and options: what is not of its key's kind is refused in one line, and what passes gives finite runs."""

import math
import random
from typing import Any

import numpy as np
import pytest

from sdrt.errors import ConfigError, SdrtError
from sdrt.limits import Limits
from sdrt.schedulers import (
    DDIM,
    Euler,
    NoiseSchedule,
    TimestepGrid,
    TimestepSpacing,
    class_names,
    from_config,
    make,
    sampler_from_config,
    sampler_from_name,
)
from sdrt.schedulers.catalogue import sampler_class
from sdrt.values import Anything
from tests.schedulers.peers import SD

# Values that JSON can hold, and that some key or other takes for what it is not.
VALUES: list[Any] = [
    "false",
    "true",
    "20",
    "0.00085",
    "",
    "x" * 100_000,
    "\x1b[31m\n",
    None,
    [],
    {},
    [1],
    [0.5, 0.1],
    [1e-3] * 10,
    {"a": 1},
]
VALUES += [True, False, 0, 1, 2, -1, 3, 40, 1000, 10**9, 10**30, 2.0, 2.5, 0.5, 0.02, 1e-3, 1e-30, 5e-324, 10.0, 1e30, 1e308, -1e308]
VALUES += [math.inf, -math.inf, math.nan, [[0.1, 2.0, 3, 1]], [["a"]], [[0.1, 2.0, 1e9, 1e9]]]


@pytest.mark.parametrize("class_name", class_names())
def test_every_key_has_a_kind_that_says_something(class_name: str) -> None:
    sampler = sampler_class(class_name)
    assert sampler.kinds.keys() == sampler.keys.keys()
    assert not [key for key, kind in sampler.kinds.items() if isinstance(kind, Anything)]
    for key, default in sampler.keys.items():
        if key not in ("set_alpha_to_zero",):
            sampler.kinds[key].check(key, default)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            {"beta_start": "0.00085"},
            "beta_start of DDIMScheduler must be a finite number above 0 and at most 0.9999, got '0.00085'; correct",
        ),
        ({"beta_start": None}, "beta_start of DDIMScheduler must be .*, got None; correct the configuration"),
        ({"num_train_timesteps": "20"}, "num_train_timesteps of DDIMScheduler must be a whole number of at least 2, got '20'"),
        ({"num_train_timesteps": 10**9}, "num_train_timesteps of DDIMScheduler must be at most 100000, got 1000000000; raise it with"),
        ({"sample_max_value": []}, r"sample_max_value of DDIMScheduler must be a finite number above 0 .*, got \[\]"),
        ({"clip_sample": "false"}, "clip_sample of DDIMScheduler must be true or false, or null, got 'false'"),
        ({"clip_sample": 1}, "clip_sample of DDIMScheduler must be true or false, or null, got 1"),
        ({"_class_name": []}, r"_class_name must be one of .*, got \[\]; choose"),
        ({"_use_default_values": 3}, "_use_default_values must be a list .*, got 3"),
        ({"predict_epsilon": "no"}, "predict_epsilon must be true or false, or null, got 'no'"),
        ({"beta_start": 0.02, "beta_end": 0.001}, "beta_start must not be above beta_end, got 0.02 and 0.001"),
        ({"beta_schedule": ["linear"]}, r"beta_schedule of DDIMScheduler must be 'linear' or .*, got \['linear'\]"),
        (
            {"_class_name": "UniPCMultistepScheduler", "use_karras_sigmas": "false"},
            "use_karras_sigmas of .* must be true or false, or null",
        ),
        ({"_class_name": "UniPCMultistepScheduler", "disable_corrector": [0.5]}, "disable_corrector of .* must be a list whose entries"),
        ({"_class_name": "UniPCMultistepScheduler", "solver_p": {"_class_name": "DDIMScheduler"}}, "solver_p of .* must be None, got {"),
        ({"_class_name": "EDMEulerScheduler", "sigma_min": 80.0}, "sigma_min must be below sigma_max, got 80.0 and 80.0"),
        (
            {"_class_name": "FlowMatchEulerDiscreteScheduler", "base_image_seq_len": 4096},
            "base_image_seq_len must be below max_image_seq_len, got 4096 and 4096",
        ),
    ],
)
def test_a_value_of_another_kind_is_refused_by_name(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        sampler_from_config({"_class_name": "DDIMScheduler", **config})


def test_whole_floats_and_null_flags_are_what_they_mean() -> None:
    plain = sampler_from_config({"_class_name": "DPMSolverMultistepScheduler", "solver_order": 3})
    loose = {"solver_order": 3.0, "num_train_timesteps": 1000.0, "use_karras_sigmas": None, "steps_offset": np.int64(0)}
    assert sampler_from_config({"_class_name": "DPMSolverMultistepScheduler", **loose}) == plain
    assert repr(sampler_from_config({"_class_name": "DPMSolverMultistepScheduler", **loose})) == repr(plain)


@pytest.mark.parametrize("config", [None, 3, "DDIMScheduler", [], [("_class_name", "DDIMScheduler")], {3: 4}])
def test_a_configuration_that_is_no_mapping_is_refused(config: Any) -> None:
    for read in (sampler_from_config, from_config):
        with pytest.raises(ConfigError, match=r"a scheduler configuration must be a mapping|_class_name must be one of"):
            read(config)


@pytest.mark.parametrize("name", [None, 3, [], "", "x" * 5000, "euler" + " karras" * 500, "\x1b[31m"])
def test_a_name_that_is_none_is_refused(name: Any) -> None:
    with pytest.raises(ConfigError, match="a sampler's name must be"):
        sampler_from_name(name, {"_class_name": "PNDMScheduler", **SD})
    with pytest.raises(ConfigError, match="a sampler's name must be"):
        make(name)


def test_more_timesteps_can_be_allowed() -> None:
    many = {"_class_name": "EDMEulerScheduler", "num_train_timesteps": 200_000}
    with pytest.raises(ConfigError, match=r"at most 100000, got 200000; raise it with sdrt.load\(limits=sdrt.Limits\(train_timesteps="):
        sampler_from_config(many)
    sampler = sampler_from_config(many, limits=Limits(train_timesteps=200_000))
    with pytest.raises(ConfigError, match="num_inference_steps must be at most 10000, got 20000"):
        sampler.plan(20_000)
    assert sampler.plan(10_001, limits=Limits(steps=10_001)).num_calls == 10_001


@pytest.mark.parametrize(
    "build",
    [
        lambda: DDIM(eta="0.5"),  # type: ignore[arg-type]
        lambda: DDIM(grid=3),  # type: ignore[arg-type]
        lambda: NoiseSchedule(beta_start=0.0),
        lambda: NoiseSchedule(num_train_timesteps="20"),  # type: ignore[arg-type]
        lambda: TimestepSpacing(kind="even"),  # type: ignore[arg-type]
        lambda: TimestepGrid(numerics="float16"),  # type: ignore[arg-type]
        lambda: Euler().with_options(s_churn=[1]),
        lambda: Euler().with_options(eta=np.zeros(3)),
    ],
)
def test_a_constructor_is_a_gate_too(build: Any) -> None:
    with pytest.raises(ConfigError):
        build()


def test_an_option_becomes_a_plain_number() -> None:
    """A numpy scalar would promote float32 samples."""
    assert type(DDIM(eta=np.float32(0.5)).eta) is float  # type: ignore[arg-type]
    assert type(DDIM().with_options(eta=np.float64(0.5)).eta) is float


NO_SIGNAL = "betas must add noise at the first timestep and leave signal at the last, got alpha_bar"
NO_NUMBERS = "the settings of .* must give finite noise levels, got some that overflow, vanish or cancel; set"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"_class_name": "DDIMInverseScheduler", "beta_start": 0.5, "beta_end": 0.9}, NO_SIGNAL),
        ({"_class_name": "DDIMScheduler", "beta_start": 0.5, "beta_end": 0.9}, NO_SIGNAL),
        ({"_class_name": "DDIMScheduler", "beta_start": 1e-30, "beta_end": 1e-20}, NO_SIGNAL),
        ({"_class_name": "EulerDiscreteScheduler", "beta_start": 0.9, "beta_end": 0.99}, NO_SIGNAL),
        (
            {"_class_name": "EulerDiscreteScheduler", **SD, "use_karras_sigmas": True, "sigma_min": 20.0},
            "sigma_min must be below sigma_max",
        ),
        ({"_class_name": "EDMEulerScheduler", "rho": 1e-300}, NO_NUMBERS),
        ({"_class_name": "EDMEulerScheduler", "sigma_max": 1e300}, NO_NUMBERS),
    ],
)
def test_settings_that_cannot_be_computed_together_are_refused(config: dict[str, Any], message: str) -> None:
    sampler = sampler_from_config(config)
    with pytest.raises(ConfigError, match=message):
        sampler.plan(20)


def _run(config: dict[str, Any], n: int) -> None:
    """Lay out a run and make its first calls; every number must be finite."""
    sampler = sampler_from_config(config)
    plan = sampler.plan(n)
    for table in (plan.timesteps, plan.alphas, plan.sigmas):
        assert np.isfinite(table).all()
    noise = np.random.RandomState(0)
    state = sampler.start(plan, np.ones((1, 4, 2, 2), np.float32))
    for i in range(min(2, plan.num_calls)):
        output = noise.randn(1, 8 if sampler.doubled_output else 4, 2, 2).astype(np.float32)
        state = sampler.step(plan, state, output, output[:, :4] if plan.draws[i] else None)
        assert np.isfinite(state.x).all()


@pytest.mark.parametrize("class_name", class_names())
def test_whatever_a_key_holds_the_run_is_finite_or_refused(class_name: str) -> None:
    """One to three keys of each configuration hold something else; half of them something of their kind."""
    sampler, pick = sampler_class(class_name), random.Random(class_name)
    base = {key: value for key, value in SD.items() if key in sampler.keys and value in sampler.choices.get(key, (value,))}
    refused = 0
    for _ in range(60):
        config: dict[str, Any] = {"_class_name": class_name, **base}
        for key in pick.sample(sorted(sampler.keys), min(pick.choice([1, 1, 2, 3]), len(sampler.keys))):
            fitting = [value for value in VALUES if _fits(sampler.kinds[key], value)]
            config[key] = pick.choice(fitting if fitting and pick.random() < 0.6 else VALUES)
        if message := _refusal(config, pick.choice([1, 2, 5, 20])):
            refused += 1
            assert "\n" not in message
            assert len(message) < 2000
    assert 5 < refused < 60


def _refusal(config: dict[str, Any], n: int) -> str | None:
    try:
        _run(config, n)
    except SdrtError as error:
        return str(error)
    return None


def _fits(kind: Any, value: Any) -> bool:
    try:
        kind.check("key", value)
    except ConfigError:
        return False
    return True
