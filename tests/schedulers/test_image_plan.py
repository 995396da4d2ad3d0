"""Runs that begin from a picture: which share of a plan is made."""

import pytest

from sdrt.errors import ConfigError
from sdrt.schedulers import sampler_from_name
from tests.schedulers.peers import SD

MODEL = {"_class_name": "PNDMScheduler", **SD}
NAMES = ("ddim", "euler", "euler a", "heun", "dpm++ 2m", "unipc", "ddpm")


@pytest.mark.parametrize("strength", [0.05, 0.3, 0.75, 0.99, 1.0])
@pytest.mark.parametrize("n", [1, 7, 20, 50])
@pytest.mark.parametrize("name", NAMES)
def test_a_run_begins_where_diffusers_pipelines_begin(name: str, n: int, strength: float) -> None:
    """As ``StableDiffusionImg2ImgPipeline.get_timesteps`` counts: the last int(n * strength) steps of the plan of n."""
    sampler = sampler_from_name(name, MODEL)
    init_timestep = min(int(n * strength), n)
    if not init_timestep:
        with pytest.raises(ConfigError, match=r"strength must leave at least one step of"):
            sampler.image_plan(n, strength)
        return
    plan, at = sampler.image_plan(n, strength)
    t_start = max(n - init_timestep, 0)
    assert plan.timesteps.tolist() == sampler.plan(n).timesteps.tolist()
    assert plan.timesteps[at:].tolist() == plan.timesteps[t_start * sampler.calls_per_step :].tolist()
    assert at in plan.starts


@pytest.mark.parametrize("strength", [0.0, -0.5, 1.01, float("nan")])
def test_a_strength_that_is_no_share_is_refused(strength: float) -> None:
    with pytest.raises(ConfigError, match=r"strength must be a finite number above 0 and at most 1"):
        sampler_from_name("euler", MODEL).image_plan(10, strength)
