"""The grids of DPM-Solver's family as parts: built by hand, and joined."""

import math

import numpy as np
import pytest

from sdrt.errors import ConfigError
from sdrt.schedulers import (
    DPMSolverMultistep,
    DPMSolverMultistepInverse,
    InverseSolverGrid,
    NoiseSchedule,
    SolverFlow,
    SolverGrid,
    sampler_from_config,
)
from sdrt.schedulers.core.run import Request, Scales
from tests.schedulers.peers import SD

SCHEDULE = NoiseSchedule(**SD)


def test_a_sampler_built_by_hand_runs_as_its_configuration_does() -> None:
    read = sampler_from_config({"_class_name": "DPMSolverMultistepScheduler", **SD, "lambda_min_clipped": -1.0}, "float64")
    built = DPMSolverMultistep(grid=SolverGrid(schedule=SCHEDULE, final_sigma="zero", lambda_min_clipped=-1.0, numerics="float64"))
    np.testing.assert_array_equal(built.plan(7).timesteps, read.plan(7).timesteps)
    np.testing.assert_array_equal(built.plan(7).sigmas, read.plan(7).sigmas)
    assert built.plan(7).coefficients == read.plan(7).coefficients
    assert built.plan(7).timesteps[0] < 999


def test_an_inverse_grid_and_the_one_that_it_turns_have_the_same_numerics() -> None:
    falling = SolverGrid(schedule=SCHEDULE, numerics="float64")
    assert DPMSolverMultistepInverse(grid=InverseSolverGrid(falling=falling, numerics="float64")).numerics == "float64"
    with pytest.raises(ConfigError, match="numerics must be those of the falling grid, float64, got float32; pass both alike"):
        InverseSolverGrid(falling=falling)


@pytest.mark.parametrize("grid", [SolverGrid(schedule=SCHEDULE), SolverGrid(flow=SolverFlow(use_flow_sigmas=True, flow_shift=3.0))])
def test_levels_have_the_scales_of_their_kind(grid: SolverGrid) -> None:
    """Powers, or shares for a flow, add up to 1; in the numerics' type, and in float64."""
    levels = grid.levels(Request(n=9))
    for scales, real in ((levels.scales(), np.float32), (levels.scales_f64(), float)):
        assert {type(number) for number in (*scales.alphas, *scales.sigmas, *scales.lambdas)} == {real}
        alphas, sigmas = np.array(scales.alphas), np.array(scales.sigmas)
        np.testing.assert_allclose(alphas + sigmas if grid.is_flow else alphas**2 + sigmas**2, 1, rtol=1e-6)
        np.testing.assert_allclose(scales.lambdas, np.log(alphas / sigmas), rtol=1e-5, atol=1e-6)


def test_differences_are_taken_over_steps_with_a_length() -> None:
    """Stops 1 and 2 are one, and the last has no noise."""
    scales = Scales.of(np.ones(5), np.array([8.0, 2.0, 2.0, 1.0, 0.0]))
    assert scales.lambdas[-1] == math.inf
    assert [scales.history(i) for i in range(5)] == [0, 1, 0, 1, 2]
    assert [scales.num_differences(i) for i in range(4)] == [0, 0, 0, 0]
    assert [Scales.of(np.ones(4), np.array([8.0, 4.0, 2.0, 1.0])).num_differences(i) for i in range(3)] == [0, 1, 2]
