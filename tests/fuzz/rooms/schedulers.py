"""Configurations of schedulers, plans, steps, and the face with diffusers' habits."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from sdrt import schedulers
from sdrt.schedulers.catalogue import sampler_class
from tests.fuzz.damage import damaged_json
from tests.fuzz.drawing import Draw, overwrite
from tests.fuzz.values import (
    FLAG,
    NUMBER,
    TEXT,
    WHOLE_FLOAT,
    Declared,
    any_value,
    ascii_of,
    has_nan,
    json_value,
    near,
    wrong_kinds,
)

_FLAGS = (
    *("clip_sample", "thresholding", "set_alpha_to_one", "rescale_betas_zero_snr", "skip_prk_steps", "use_karras_sigmas"),
    *("use_exponential_sigmas", "use_beta_sigmas", "use_lu_lambdas", "use_flow_sigmas", "euler_at_final", "lower_order_final"),
    *("predict_x0", "invert_sigmas", "stochastic_sampling", "clip_denoised", "set_alpha_to_zero", "use_dynamic_shifting"),
)
_WHOLES = (
    *("num_train_timesteps", "solver_order", "steps_offset", "original_inference_steps", "base_image_seq_len", "max_image_seq_len"),
    *("predictor_order", "corrector_order"),
)
_NUMBERS = (
    *("beta_start", "beta_end", "sample_max_value", "dynamic_thresholding_ratio", "clip_sample_range", "sigma_min", "sigma_max"),
    *("sigma_data", "rho", "s_noise", "shift", "flow_shift", "base_shift", "max_shift", "timestep_scaling", "snr_shift_scale"),
    *("lambda_min_clipped", "shift_terminal"),
)
_TEXTS = (
    *("beta_schedule", "prediction_type", "timestep_spacing", "algorithm_type", "solver_type", "final_sigmas_type", "sigma_schedule"),
    *("interpolation_type", "timestep_type", "time_shift_type"),
)
DECLARED: Mapping[str, Declared] = {
    **dict.fromkeys(_FLAGS, FLAG),
    **dict.fromkeys(_WHOLES, WHOLE_FLOAT),
    **dict.fromkeys(_NUMBERS, NUMBER),
    **dict.fromkeys(_TEXTS, TEXT),
}
_NAMES = tuple(row.name for row in schedulers.names())
_COMPATS: tuple[Any, ...] = (None, None, "diffusers", "apple")
_CHOICES = (
    "epsilon",
    "v_prediction",
    "sample",
    "flow_prediction",
    "leading",
    "trailing",
    "linspace",
    "zero",
    "sigma_min",
    "linear",
    "cosine",
)


def config(draw: Draw, wild: bool = False) -> dict[str, Any]:
    """The whole configuration of some class with one to three values of other kinds."""
    name = draw.choice(schedulers.class_names())
    values = {"_class_name": name, **sampler_class(name).keys}
    for key in draw.some(list(values), 3):
        values[key] = _value(draw, values[key], wild)
        draw.note(f"{name} {key} = {ascii_of(values[key])}")
    if draw.chance(0.1):
        key = draw.choice(("", "unknown", "\x1b[31m", "_private", "solver_order", "predict_epsilon"))
        values[key] = json_value(draw)
        draw.note(f"{ascii_of(key)} = {ascii_of(values[key])}")
    return values


def _value(draw: Draw, value: Any, wild: bool) -> Any:
    kind = draw.random()
    if kind < 0.3:
        return near(draw, value, any_value if wild else json_value)
    if kind < 0.45:
        return draw.choice(_CHOICES)
    return any_value(draw) if wild else json_value(draw)


def from_config(draw: Draw) -> str | None:
    """A configuration, its plan, and its steps."""
    values = config(draw, wild=draw.chance(0.3))
    scheduler = schedulers.from_config(values, draw.choice(("float32", "float64")), draw.choice(_COMPATS))
    cls = sampler_class(scheduler.config["_class_name"])
    if wrong := wrong_kinds({key: value for key, value in values.items() if key in cls.keys}, DECLARED):
        return wrong
    if scheduler.config["num_train_timesteps"] > 2_000 if "num_train_timesteps" in scheduler.config else False:
        return None
    return _run(draw, scheduler, draw.choice((1, 2, 3, 5)))


def _run(draw: Draw, scheduler: schedulers.DiffusersScheduler, steps: int) -> str | None:
    scheduler.set_timesteps(steps)
    plan = scheduler.sampler.plan(steps)
    if has_nan(plan.timesteps, plan.alphas, plan.sigmas, scheduler.init_noise_sigma):
        return "NaN in a plan"
    sampler = scheduler.sampler
    generator = np.random.default_rng(draw.randrange(100))
    state = sampler.start(plan, generator.standard_normal((1, 4, 4, 4)).astype(np.float32))
    for i in range(min(plan.num_calls, 4)):
        channels = 8 if sampler.doubled_output else 4
        output = generator.standard_normal((1, channels, 4, 4)).astype(np.float32)
        noise = generator.standard_normal((1, 4, 4, 4)).astype(np.float32) if plan.draws[i] else None
        with np.errstate(all="ignore"):
            state = sampler.step(plan, state, output, noise)
        if has_nan(state.x):
            return "NaN in a sample"
    return None


def scheduler_file(draw: Draw) -> str | None:
    """The file of a model's folder."""
    import sdrt

    folder = draw.copy_of(draw.materials.nano)
    file = folder / "scheduler" / "scheduler_config.json"
    values = config(draw) if draw.chance(0.5) else json.loads(file.read_text())
    data, changes = damaged_json(draw, json.loads(json.dumps(values, default=str)))
    overwrite(file, data)
    with sdrt.load(folder, threads=1) as pipe:
        settings = pipe.resolve("a", num_inference_steps=2, seed=1)
    own = sampler_class(settings.scheduler_config["_class_name"]).keys
    return wrong_kinds({path[0]: value for path, value in changes if len(path) == 1 and path[0] in own}, DECLARED)


def make(draw: Draw) -> str | None:
    """The name of a scheduler and its options."""
    name = draw.choice(_NAMES) if draw.chance(0.6) else any_value(draw)
    draw.note(f"name = {ascii_of(name)}")
    options: dict[str, Any] = {}
    for key, good in draw.some([("config", {"_class_name": "DDIMScheduler"}), ("numerics", "float32"), ("compat", "diffusers")], 2):
        options[key] = good if draw.chance(0.3) else any_value(draw)
        draw.note(f"{key} = {ascii_of(options[key])}")
    scheduler = schedulers.make(name, **options)
    if not isinstance(name, str):
        return f"a name that is no text: {ascii_of(name)}"
    return _run(draw, scheduler, 2)


def face_calls(draw: Draw) -> str | None:
    """The calls of diffusers' interface with arguments of other kinds."""
    scheduler = schedulers.make(draw.choice(_NAMES), compat=draw.choice((None, "diffusers")))
    good: dict[str, Any] = {"num_inference_steps": 4, "timesteps": [900, 500, 100], "sigmas": [10.0, 1.0, 0.1], "mu": 0.5, "eta": 0.5}
    good |= {"s_churn": 0.1, "strength": 0.5, "original_inference_steps": 50}
    passed = {}
    for name in draw.some(list(good), 2):
        passed[name] = near(draw, good[name]) if draw.chance(0.4) else any_value(draw) if draw.chance(0.8) else good[name]
        draw.note(f"{scheduler.sampler.name}.set_timesteps {name} = {ascii_of(passed[name])}")
    if draw.chance(0.7):
        scheduler.set_timesteps(**passed)
        wrong = wrong_kinds(
            passed, {"num_inference_steps": WHOLE_FLOAT, "mu": NUMBER, "eta": NUMBER, "s_churn": NUMBER, "strength": NUMBER}
        )
        if wrong:
            return wrong
    else:
        scheduler.set_timesteps(4)
    if has_nan(scheduler.timesteps, scheduler.sigmas):
        return "NaN in the tables"
    return _call(draw, scheduler)


def _call(draw: Draw, scheduler: schedulers.DiffusersScheduler) -> str | None:
    from sdrt import rng

    sample = np.ones((1, 4, 2, 2), np.float32)
    timestep = scheduler.timesteps[0]
    arguments: dict[str, Any] = {"model_output": sample, "timestep": timestep, "sample": sample, "generator": rng.stream("torch", 1)}
    if draw.chance(0.7):
        key = draw.choice((*arguments, "prev_timestep", "variance_noise", "eta", "unconditional_output", "return_dict"))
        arguments[key] = near(draw, float(timestep)) if draw.chance(0.2) else any_value(draw)
        draw.note(f"step {key} = {ascii_of(arguments[key])}")
    call = draw.choice(("step", "add_noise", "scale_model_input", "get_velocity", "set_begin_index"))
    draw.note(call)
    with np.errstate(all="ignore"):
        if call == "step":
            output = scheduler.step(**arguments)
            found = output[0] if isinstance(output, tuple) else output.prev_sample
        elif call == "set_begin_index":
            scheduler.set_begin_index(any_value(draw))
            return None
        elif call == "scale_model_input":
            found = scheduler.scale_model_input(arguments["sample"], arguments["timestep"])
        else:
            noise = arguments.get("variance_noise", sample)
            found = getattr(scheduler, call)(arguments["sample"], noise, arguments["timestep"])
    if not isinstance(found, np.ndarray):
        return f"{call} gives a {type(found).__name__}"
    good = all(isinstance(each, np.ndarray) and not has_nan(each) for each in (arguments["sample"], arguments["model_output"]))
    return f"NaN from {call}" if good and has_nan(found) else None


GENERATORS = {
    "scheduler-config": from_config,
    "scheduler-file": scheduler_file,
    "scheduler-make": make,
    "scheduler-face": face_calls,
}
