"""compat="apple": DPM-Solver++ as Apple's Swift package has it.

No Mac is at hand in these tests: the timesteps are vectors read off its algorithm (apple/ml-stable-diffusion@e12202c), and the updates are
written out anew here, in double precision, over a table that they look up by timestep as it does.
"""

from typing import Any

import numpy as np
import pytest

from sdrt.errors import ConfigError
from sdrt.schedulers import sampler_from_config
from tests.schedulers.peers import SD, first_noise, laid_out, network

KARRAS_20 = [999, 962, 921, 876, 827, 772, 710, 640, 561, 474, 380, 285, 197, 123, 69, 35, 15, 6, 2, 0]


def config(**extra: Any) -> dict[str, Any]:
    return {"_class_name": "DPMSolverMultistepScheduler", **SD, **extra}


@pytest.mark.parametrize(
    ("extra", "n", "first", "last"),
    [
        ({}, 20, [999, 949, 899, 849], [200, 150, 100, 50]),
        ({}, 25, [999, 959, 919], [120, 80, 40]),
        ({"timestep_spacing": "leading"}, 20, [941, 894, 847], [142, 95, 48]),
        ({"use_karras_sigmas": True}, 20, KARRAS_20[:10], KARRAS_20[10:]),
    ],
)
def test_timesteps(extra: dict[str, Any], n: int, first: list[int], last: list[int]) -> None:
    timesteps = sampler_from_config(config(**extra), compat="apple").plan(n).timesteps.tolist()
    assert len(timesteps) == n
    assert timesteps[: len(first)] == first
    assert timesteps[-len(last) :] == last


def test_halves_are_rounded_away_from_zero() -> None:
    """numpy rounds them to even; that moves 42 of the first 150 numbers of steps."""
    moved = [n for n in range(1, 151) if sampler_from_config(config(), compat="apple").plan(n).timesteps.tolist() != _of_diffusers(n)]
    assert moved[:10] == [6, 12, 14, 18, 24, 26, 28, 30, 36, 42]
    assert len(moved) == 42


def _of_diffusers(n: int) -> list[int]:
    timesteps: list[int] = laid_out(config(), n).timesteps.tolist()
    return timesteps


def swift(timesteps: list[int], ratios: list[float] | None, x: np.ndarray) -> np.ndarray:
    """Run the algorithm: levels by timestep, first order at the start and in the last two steps of short runs.

    The result is what its pipeline decodes: the last of ``modelOutputs``, the x0 of the last call.
    """
    power = np.cumprod(1 - np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2)
    table = np.sqrt((1 - power) / power)

    def level(t: int) -> tuple[float, float, float]:
        ratio = table[t] if ratios is None else ratios[timesteps.index(t)]
        alpha = 1 / np.sqrt(1 + ratio**2)
        return float(alpha), float(ratio * alpha), float(-np.log(ratio))

    n, before = len(timesteps), None
    for i, t in enumerate(timesteps):
        (a, s, lam), (a1, s1, lam1) = level(t), level(timesteps[i + 1] if i + 1 < n else 0)
        x0 = (x - s * network(x, t)) / a
        grown = x0
        if before is not None and not (n < 15 and i >= n - 2) and lam1 > lam > before[1]:
            grown = x0 + 0.5 * (x0 - before[0]) * (lam1 - lam) / (lam - before[1])
        x = s1 / s * x - a1 * np.expm1(lam - lam1) * grown
        before = (x0, lam)
    assert before is not None
    last: np.ndarray = before[0]
    return last


@pytest.mark.parametrize("n", [1, 2, 8, 14, 15, 25])
@pytest.mark.parametrize("spacing", ["linspace", "leading"])
def test_runs(spacing: str, n: int) -> None:
    sampler = sampler_from_config(config(timestep_spacing=spacing), compat="apple")
    plan = sampler.plan(n)
    expected = swift(plan.timesteps.tolist(), None, first_noise(np.float64))
    assert distance(sampler, n, expected) < 1e-5  # of tables in float32
    if 2 < n < 15:
        assert distance(sampler_from_config(config(timestep_spacing=spacing)), n, expected) > 1e-4


@pytest.mark.parametrize("n", [20, 44, 50])
def test_karras_runs(n: int) -> None:
    """From 45 steps on two timesteps are equal, and the second is taken for the first."""
    sampler = sampler_from_config(config(use_karras_sigmas=True), compat="apple")
    timesteps = sampler.plan(n).timesteps.tolist()
    assert (len(set(timesteps)) < n) == (n >= 45)
    power = np.cumprod(1 - np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2)
    high, low = (float(np.sqrt(1 / a - 1)) ** (1 / 7) for a in (power[-1], power[0]))
    ratios = [(high + (low - high) * i / (n - 1)) ** 7 for i in range(n)]
    assert distance(sampler, n, swift(timesteps, ratios, first_noise(np.float64))) < 1e-5
    right = sampler_from_config(config(use_karras_sigmas=True))
    assert (sampler.plan(n).sigmas.tolist() != right.plan(n).sigmas.tolist()) == (n >= 45)


def test_the_result_is_the_x0_of_the_last_call() -> None:
    """Which is where a run of its plan ends: without noise, though the last step of its scheduler leads to timestep 0."""
    sampler = sampler_from_config(config(), compat="apple")
    plan = sampler.plan(20)
    assert (plan.alphas[-1], plan.sigmas[-1]) == (1.0, 0.0)
    state = sampler.start(plan, first_noise())
    while state.position < 20:
        state = sampler.step(plan, state, network(state.x, plan.timesteps[state.position]))
    np.testing.assert_allclose(state.x, state.x0, rtol=1e-6)


def distance(sampler: Any, n: int, expected: np.ndarray) -> float:
    plan = sampler.plan(n)
    state = sampler.start(plan, first_noise(np.float64))
    while state.position < n:
        state = sampler.step(plan, state, network(state.x, plan.timesteps[state.position]))
    return float(np.abs(state.x - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize(
    "extra",
    [
        {"solver_order": 3},
        {"solver_type": "heun"},
        {"prediction_type": "v_prediction"},
        {"timestep_spacing": "trailing"},
        {"use_beta_sigmas": True},
        {"algorithm_type": "sde-dpmsolver++"},
        {"thresholding": True},
    ],
)
def test_what_apple_does_not_have_is_refused(extra: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"compat apple is for dpmsolver\+\+ of order 2, midpoint, over noise predictions"):
        sampler_from_config(config(**extra), compat="apple")


def test_timesteps_of_a_caller_are_refused() -> None:
    with pytest.raises(ConfigError, match="num_inference_steps must be set with compat apple, got timesteps"):
        sampler_from_config(config(), compat="apple").plan(timesteps=[900, 500])
