"""The two schedulers of Apple's Swift package, which read no configuration of the model.

Source: apple/ml-stable-diffusion at e12202c, ``Scheduler.swift`` and ``DPMSolverMultistepScheduler.swift``, by their defaults.
"""

from typing import TYPE_CHECKING, Any

from sdrt.log import log

if TYPE_CHECKING:
    from sdrt.models import Model

__all__ = ["SCHEDULERS", "scheduler_options"]

_TRAINED: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "prediction_type": "epsilon",
}

_CONFIGS: dict[str, dict[str, Any]] = {
    "pndm": {
        "_class_name": "PNDMScheduler",
        "skip_prk_steps": True,
        "timestep_spacing": "leading",
        "steps_offset": 1,
        "set_alpha_to_one": False,
    },
    "dpmpp": {
        "_class_name": "DPMSolverMultistepScheduler",
        "algorithm_type": "dpmsolver++",
        "solver_order": 2,
        "solver_type": "midpoint",
        "timestep_spacing": "linspace",
    },
}

# sdrt's names of the same methods.
_NAMES = {"pndm": "plms", "dpmpp": "dpm++ 2m"}

SCHEDULERS = tuple(_CONFIGS)


def scheduler_options(name: str, model: "Model") -> dict[str, Any]:
    """Return the options of a call for one of Swift's schedulers.

    They take every network's output for noise. A model that predicts velocities gets the same method over its own configuration, and
    prompts as the package reads them but for its tokenizer; a line says so.

    Parameters
    ----------
    name : str
        One of `SCHEDULERS`.
    model : Model
    """
    predicts = model.scheduler_config.get("prediction_type", "epsilon")
    if predicts == "epsilon":
        return {"scheduler": _TRAINED | _CONFIGS[name], "compat": "apple"}
    log.warning(
        "this model predicts %s, which the Swift package takes for noise: it is drawn with the scheduler %s over the model's own "
        "configuration, and without the package's other conventions",
        predicts,
        _NAMES[name],
    )
    return {"scheduler": _NAMES[name], "prompt_syntax": "plain", "long_prompts": "truncate"}
