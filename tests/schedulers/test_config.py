"""Configurations and names: what is read, what is refused, and in which words."""

import inspect
import warnings
from typing import Any

import diffusers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdrt.errors import ConfigError
from sdrt.schedulers import (
    DDIM,
    PNDM,
    DPMSolverMultistep,
    Euler,
    EulerAncestral,
    NoiseSchedule,
    class_names,
    make,
    names,
    remarks_of,
    sampler_from_config,
    sampler_from_name,
)
from sdrt.schedulers.catalogue import sampler_class
from sdrt.schedulers.grids.timestep_table import TimestepGrid
from sdrt.schedulers.grids.timesteps import TimestepSpacing
from sdrt.schedulers.steps.bounds import NO_BOUND
from sdrt.testing.strategies.schedulers import RUNS
from tests.schedulers.configs import CLASSES, runs
from tests.schedulers.peers import SD, distance, is_of_diffusers, run_face, run_peer

MODEL: dict[str, Any] = {
    "_class_name": "PNDMScheduler",
    "_diffusers_version": "0.6.0",
    **SD,
    "clip_sample": False,
    "num_train_timesteps": 1000,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
    "trained_betas": None,
}


of_diffusers = pytest.mark.parametrize("class_name", [name for name in class_names() if is_of_diffusers(name)])


@of_diffusers
def test_a_bare_class_name_takes_that_classes_defaults(class_name: str) -> None:
    """Each default that a sampler shows in its config is diffusers'."""
    signature = inspect.signature(getattr(diffusers, class_name).__init__).parameters
    config = sampler_from_config({"_class_name": class_name}).config
    for key, value in config.items():
        if key != "_class_name":
            assert value == signature[key].default, key


@of_diffusers
def test_every_key_of_the_class_is_known(class_name: str) -> None:
    """Its whole set of defaults is accepted as a configuration, and means the same as nothing."""
    signature = inspect.signature(getattr(diffusers, class_name).__init__).parameters
    config = {key: parameter.default for key, parameter in signature.items() if key not in ("self", "kwargs")}
    assert sampler_from_config({"_class_name": class_name, **config}) == sampler_from_config({"_class_name": class_name})


@pytest.mark.parametrize("name", CLASSES)
@settings(max_examples=30)
@given(data=st.data())
def test_config_says_all_that_was_read(name: str, data: st.DataObject) -> None:
    config, _, _ = data.draw(runs(name))
    sampler = sampler_from_config(config)
    assert sampler_from_config(sampler.config) == sampler
    for key, value in config.items():
        if key != "clip_sample_range" or config["clip_sample"]:
            assert sampler.config[key] == value, key


@pytest.mark.parametrize("class_name", [name for name in class_names() if not is_of_diffusers(name)])
def test_a_class_that_diffusers_lacks_has_its_own_defaults(class_name: str) -> None:
    """Each default that it shows in its config is the one that its table of keys says."""
    config = sampler_from_config({"_class_name": class_name}).config
    keys = dict(sampler_class(class_name).keys)
    shown = {key: value for key, value in config.items() if key != "_class_name"}
    assert {**keys, **shown} == keys
    assert not any(keys[key] for key in keys.keys() - shown.keys())  # sdrt's own keys are written where they say something


@pytest.mark.parametrize("class_name", RUNS)
@settings(max_examples=20)
@given(data=st.data())
def test_config_leads_back_to_the_sampler(class_name: str, data: st.DataObject) -> None:
    """Whatever the options, as long as they can be built."""
    drawn = data.draw(RUNS[class_name]).config
    try:
        sampler = sampler_from_config(drawn, compat="diffusers")
    except ConfigError:
        return
    assert sampler_from_config(sampler.config, compat="diffusers") == sampler
    assert set(drawn) <= set(sampler.config) | {"interpolation_type", "timestep_type"}


@pytest.mark.parametrize("row", [row for row in names() if is_of_diffusers(row.class_name)], ids=lambda row: row.name)
def test_a_name_is_the_class_read_from_the_models_configuration(row: Any) -> None:
    """As diffusers' ``Class.from_config(config, **what the name says)``."""
    ours = sampler_from_name(row.name, MODEL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of deprecated settings, and of numpy 2
        theirs = getattr(diffusers, row.class_name).from_config({k: v for k, v in MODEL.items() if not k.startswith("_")}, **row.says)
    for key, value in ours.config.items():
        if key not in ("_class_name", "clip_sample_range"):
            assert theirs.config[key] == value, key


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("DPM++ 2M Karras", "dpm++ 2m karras"),
        ("dpmpp_2m_karras", "dpm++ 2m karras"),
        ("Euler a", "euler a"),
        ("euler_ancestral", "euler a"),
        ("EULER-A", "euler a"),
        ("DDIMScheduler", "ddim"),
        ("EulerDiscreteScheduler", "euler"),
        ("PNDMScheduler", "pndm"),
        ("DDIMParallelScheduler", "ddim"),
        ("DDPMParallelScheduler", "ddpm"),
        ("UnCLIPScheduler", "unclip"),
        ("IPNDMScheduler", "iplms"),
        ("ddim_trailing", "ddim trailing"),
        ("DPMSolverMultistepScheduler", "dpmsolver++"),
        (" plms ", "plms"),
    ],
)
def test_names_are_read_with_tolerance(spelling: str, name: str) -> None:
    assert sampler_from_name(spelling, MODEL) == sampler_from_name(name, MODEL)


def test_what_some_names_mean() -> None:
    schedule = NoiseSchedule(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    grid = TimestepGrid(schedule=schedule, spacing=TimestepSpacing(steps_offset=1), set_alpha_to_one=False)
    assert sampler_from_name("ddim", MODEL) == DDIM(grid=grid, bound=NO_BOUND)
    assert sampler_from_name("plms", {**MODEL, "skip_prk_steps": False}) == PNDM(grid=grid, skip_prk_steps=True)
    for name, kind in (("euler", Euler), ("euler a", EulerAncestral), ("dpm++ 2m", DPMSolverMultistep)):
        assert type(sampler_from_name(name, MODEL)) is kind


def test_the_table_is_complete_and_its_rows_are_true() -> None:
    assert {row.class_name for row in names()} == set(class_names())
    assert len({row.name for row in names()}) == len(names())
    for row in names():
        plan = sampler_from_name(row.name, MODEL).plan(40)
        assert any(plan.draws) == row.stochastic
        # PLMS repeats a call; a step to no noise is one call, however many the others make.
        assert plan.num_calls - 40 * row.calls_per_step in (-1, 0, 1)
        assert row.about
        assert "\n" not in row.about


def test_values_that_another_class_had_by_default_say_nothing() -> None:
    """diffusers lists them in a live object's config, so that another class keeps its own defaults."""
    live = {**MODEL, "timestep_spacing": "leading", "_use_default_values": ["timestep_spacing"]}
    assert sampler_from_name("euler", live).config["timestep_spacing"] == "linspace"
    assert sampler_from_name("euler", {**live, "_use_default_values": []}).config["timestep_spacing"] == "leading"


@pytest.mark.parametrize("class_name", class_names())
def test_a_configuration_may_carry_the_keys_of_every_class(class_name: str) -> None:
    """None is taken for a misspelling."""
    own = sampler_class("PNDMScheduler").keys
    carried = {key: value for key, value in sampler_class(class_name).keys.items() if key not in own}
    assert sampler_from_config({"_class_name": "PNDMScheduler", **carried}) == sampler_from_config({"_class_name": "PNDMScheduler"})


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, r"_class_name must be one of .*DDIMScheduler, .*, got None; choose"),
        ({"_class_name": "RePaintScheduler"}, r"_class_name must be one of .*, got 'RePaintScheduler'; choose"),
        (
            {"_class_name": "DDIMScheduler", "eta_noise": 1},
            "keys of DDIMScheduler must be among beta_end, beta_schedule, .*, got 'eta_noise'; leave that out",
        ),
        (
            {"_class_name": "DDIMScheduler", "sample_max_value": 0},
            "sample_max_value of DDIMScheduler must be a finite number above 0 .*, got 0; correct",
        ),
        (
            {"_class_name": "DDIMScheduler", "dynamic_thresholding_ratio": 2},
            "dynamic_thresholding_ratio of .* must be a finite number from 0 to 1, got 2",
        ),
        ({"_class_name": "DDIMScheduler", "beta_schedule": "sigmoid"}, "beta_schedule of .* must be 'linear' or .*, got 'sigmoid'"),
        ({"_class_name": "DDIMScheduler", "prediction_type": "flow"}, "prediction_type of .* must be 'epsilon' or .*, got 'flow'"),
        ({"_class_name": "DDIMScheduler", "timestep_spacing": "even"}, "timestep_spacing of .* must be 'linspace' or .*, got 'even'"),
        ({"_class_name": "DDIMScheduler", "clip_sample_range": 0.0}, "clip_sample_range of .* must be a finite number above 0 .*, got 0.0"),
        (
            {"_class_name": "DDIMScheduler", "beta_start": 0.0},
            "beta_start of .* must be a finite number above 0 and at most 0.9999, got 0.0",
        ),
        (
            {"_class_name": "DDIMScheduler", "trained_betas": [0.1, 1.0]},
            "trained_betas of .* must be a list of at least 2 whose entries are each a finite number above 0 .*, got",
        ),
        (
            {"_class_name": "DDIMScheduler", "num_train_timesteps": 1},
            "num_train_timesteps of .* must be a whole number of at least 2, got 1",
        ),
        (
            {"_class_name": "PNDMScheduler", "prediction_type": "sample"},
            "prediction_type of .* must be 'epsilon' or 'v_prediction', got 'sample'",
        ),
        (
            {"_class_name": "EulerDiscreteScheduler", "use_beta_sigmas": True, "use_karras_sigmas": True},
            "one way to spread sigmas must be set at most, got use_karras_sigmas, use_beta_sigmas; choose one",
        ),
        (
            {"_class_name": "EulerDiscreteScheduler", "use_ays_sigmas": "sd3"},
            "use_ays_sigmas of .* must be true or false, or null, or 'sd' or 'sdxl', got 'sd3'",
        ),
        ({"_class_name": "DDPMScheduler", "beta_schedule": "cosine"}, "beta_schedule of .* must be 'linear' or .* or 'exp', got 'cosine'"),
        ({"_class_name": "DDPMScheduler", "variance_type": "fixed"}, "variance_type of .* must be 'fixed_small' or .*, got 'fixed'"),
        ({"_class_name": "UnCLIPScheduler", "beta_schedule": "linear"}, "beta_schedule of .* must be 'squaredcos_cap_v2', got 'linear'"),
        (
            {"_class_name": "UnCLIPScheduler", "variance_type": "fixed_small"},
            "variance_type of .* must be 'fixed_small_log' or 'learned_range', got",
        ),
        (
            {"_class_name": "IPNDMScheduler", "trained_betas": [0.5]},
            "trained_betas of .* must be a list of at least 2 whose entries are each a finite number from 0 to 1, or null, got",
        ),
        (
            {"_class_name": "LCMScheduler", "original_inference_steps": 1001},
            "original_inference_steps must be at most num_train_timesteps, 1000, got 1001",
        ),
        (
            {"_class_name": "EulerDiscreteScheduler", "interpolation_type": "cubic"},
            "interpolation_type of .* must be 'linear' or 'log_linear', got",
        ),
        ({"_class_name": "EulerDiscreteScheduler", "timestep_type": "even"}, "timestep_type of .* must be 'discrete' or 'continuous', got"),
        (
            {"_class_name": "RestartScheduler", "restart_intervals": [[2.0, 0.1, 3, 1]]},
            r"restart_intervals of .* must be a list whose entries are each \[sigma_min, .* got \[\[2.0, 0.1, 3, 1\]\]",
        ),
        (
            {"_class_name": "EulerAncestralDiscreteScheduler", "prediction_type": "sample"},
            "prediction_type of .* must be 'epsilon' or 'v_prediction', got 'sample'",
        ),
        (
            {"_class_name": "DPMSolverMultistepScheduler", "algorithm_type": "data_prediction"},
            "'sde-dpmsolver' or 'deis', got 'data_prediction'",
        ),
        ({"_class_name": "DPMSolverMultistepScheduler", "algorithm_type": "dpmsolver"}, "algorithm_type dpmsolver cannot end at sigma 0"),
        (
            {"_class_name": "DPMSolverMultistepScheduler", "algorithm_type": "sde-dpmsolver"},
            "algorithm_type sde-dpmsolver cannot end at sigma 0",
        ),
        ({"_class_name": "DPMSolverMultistepScheduler", "solver_type": "rk4"}, "solver_type of .* must be 'midpoint' or .*, got 'rk4'"),
        ({"_class_name": "DPMSolverMultistepScheduler", "solver_order": 4}, "solver_order of .* must be a whole number from 1 to 3, got 4"),
        ({"_class_name": "DPMSolverMultistepScheduler", "flow_shift": 0.0}, "flow_shift of .* must be a finite number above 0, got 0.0"),
        ({"_class_name": "DEISMultistepScheduler", "solver_order": 4}, "solver_order of .* must be a whole number from 1 to 3, got 4"),
        (
            {"_class_name": "DPMSolverSinglestepScheduler", "algorithm_type": "sde-dpmsolver"},
            "algorithm_type of .* must be .*, got 'sde-dpm",
        ),
        ({"_class_name": "UniPCMultistepScheduler", "solver_order": 0}, "solver_order of .* must be a whole number from 1 to 20, got 0"),
        ({"_class_name": "UniPCMultistepScheduler", "solver_p": "DDIMScheduler"}, "solver_p of .* must be None, got 'DDIMScheduler'"),
        ({"_class_name": "UniPCMultistepScheduler", "shift_terminal": 0.1}, "shift_terminal is for use_flow_sigmas, and must be in"),
        ({"_class_name": "SASolverScheduler", "corrector_order": 5}, "corrector_order of .* must be a whole number from 1 to 4, got 5"),
        ({"_class_name": "SASolverScheduler", "tau_func": "cosine"}, "tau_func of .* must be None, got 'cosine'"),
        ({"_class_name": "DPMSolverMultistepScheduler", "variance_type": "fixed"}, "variance_type of .* must be None or .*, got 'fixed'"),
    ],
)
def test_what_is_not_built_is_refused_in_words(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        sampler_from_config(config)


@pytest.mark.parametrize(
    ("own", "meant"),
    [
        ({"predict_epsilon": True}, "epsilon"),
        ({"predict_epsilon": False}, "sample"),
        ({"predict_epsilon": False, "prediction_type": "epsilon"}, "sample"),
        ({"predict_epsilon": True, "prediction_type": "v_prediction"}, None),
        ({"predict_epsilon": False, "prediction_type": "sample"}, None),
        ({"predict_epsilon": None}, None),
    ],
)
def test_predict_epsilon_is_an_old_prediction_type(own: dict[str, Any], meant: str | None) -> None:
    config = {"_class_name": "DDPMScheduler", **own}
    assert sampler_from_config(config).prediction_type == (meant or own.get("prediction_type", "epsilon"))
    assert ("assumed prediction_type" in remarks_of(config)) == (meant is not None)


def test_a_key_that_no_scheduler_has_is_left_out_of_a_file() -> None:
    newer = {**MODEL, "use_time_travel": True, "another": 1}
    assert sampler_from_config(newer) == sampler_from_config(MODEL)
    assert sampler_from_name("euler", newer) == sampler_from_name("euler", MODEL)
    assert "another, use_time_travel" in remarks_of(newer)["scheduler key"]
    assert not remarks_of(MODEL)
    for strict in ({"_class_name": "DDIMScheduler", "another": 1}, newer):
        with pytest.raises(ConfigError, match=r"keys of .* must be among .*, got .*another"):
            sampler_from_config(strict, from_file=False)
    assert sampler_from_config({"_class_name": "DDIMScheduler", "another": 1}, from_file=True) == DDIM()
    with pytest.raises(ConfigError, match="keys of DDIMScheduler must be among"):
        make("ddim", foo=1)


@pytest.mark.parametrize("kind", ["fixed_small", "fixed_small_log", "fixed_large", "fixed_large_log", None])
def test_the_kind_of_variance_of_another_class_is_read_as_diffusers_does(kind: str | None) -> None:
    """It looks for learned ones alone; DDPM without a kind draws the lower bound."""
    for class_name in ("DPMSolverMultistepScheduler", "DPMSolverSinglestepScheduler", "SASolverScheduler"):
        config = {"_class_name": class_name, **SD, "variance_type": kind}
        assert sampler_from_config(config) == sampler_from_config({"_class_name": class_name, **SD})
        assert distance(run_face(config, 5), run_peer(config, 5)) < 2e-5
    if kind is None:
        config = {"_class_name": "DDPMScheduler", **SD, "variance_type": None}
        assert sampler_from_config(config) == sampler_from_config({"_class_name": "DDPMScheduler", **SD})
        assert distance(run_face(config, 10), run_peer(config, 10)) < 2e-5


def test_an_unknown_name_lists_all() -> None:
    with pytest.raises(
        ConfigError, match=r"a sampler's name must be one of ddim, .*pndm, plms, .*euler, .*, dpm 2m.*, got 'heun\?'; choose"
    ):
        sampler_from_name("heun?", MODEL)


def test_unknown_numerics_are_refused() -> None:
    with pytest.raises(ConfigError, match="numerics must be 'float32' or 'float64' or 'exact', got 'float16'"):
        sampler_from_config(MODEL, "float16")  # type: ignore[arg-type]


def test_unknown_compat_is_refused() -> None:
    with pytest.raises(ConfigError, match="compat must be 'diffusers' or 'apple', or null, got 'comfy'; leave it out for correct results"):
        sampler_from_config(MODEL, compat="comfy")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="compat must be 'diffusers' or None for EulerDiscreteScheduler, got 'apple'"):
        sampler_from_name("euler", MODEL, compat="apple")


@pytest.mark.parametrize("eta", [-0.1, 1.1])
def test_eta_is_a_share(eta: float) -> None:
    with pytest.raises(ConfigError, match="eta must be a finite number from 0 to 1, got"):
        sampler_from_name("ddim", MODEL).with_options(eta=eta)


def test_a_step_option_is_refused_where_it_means_nothing() -> None:
    assert sampler_from_name("euler", MODEL).with_options(eta=0.0) == sampler_from_name("euler", MODEL)
    with pytest.raises(ConfigError, match=r"EulerDiscreteScheduler has no step option eta, got 0\.5; leave it out"):
        sampler_from_name("euler", MODEL).with_options(eta=0.5)
    with pytest.raises(ConfigError, match=r"DDIMScheduler has no step option s_churm, got 0; leave it out \(it has eta, use_clipped"):
        sampler_from_name("ddim", MODEL).with_options(s_churm=0)
