"""Samplers that diffusers lacks, beside the algorithms as they are published: written out plainly on x / alpha, one loop each.

The loops speak of denoised samples D(x, sigma), as k-diffusion, ComfyUI and AUTOMATIC1111 do.
"""

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import sdrt.rng
from sdrt.schedulers import Sampler, class_names, sampler_from_config
from sdrt.schedulers.catalogue import sampler_class
from tests.schedulers.oracles import run_variance_error, slope
from tests.schedulers.peers import SD, is_of_diffusers, network

SHAPE = (1, 4, 6, 6)

# float64 on both sides: a hundred roundings of values of up to 100.
CLOSE = 1e-11

Denoise = Callable[[np.ndarray, float], np.ndarray]


def build(class_name: str, **config: Any) -> Sampler:
    return sampler_from_config({"_class_name": class_name, **SD, "use_karras_sigmas": True, **config}, "float64")


def noises(seed: int) -> Iterator[np.ndarray]:
    stream = sdrt.rng.stream("numpy", seed)
    while True:
        yield stream.normal(SHAPE, "float64")


def run(sampler: Sampler, n: int, *, guided: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Run ours; return the noise-to-signal ratio of every call and of the end, and the last sample on x / alpha."""
    plan = sampler.plan(n)
    fresh = noises(7)
    state = sampler.start(plan, next(noises(3)) * plan.sigmas[0])
    while state.position < plan.num_calls:
        i = state.position
        output = network(state.x, plan.timesteps[i])
        unguided = network(state.x * 0.9, plan.timesteps[i]) if guided else None
        state = sampler.step(plan, state, output, next(fresh) if plan.draws[i] else None, unconditional_output=unguided)
    return plan.sigmas / plan.alphas, state.x / plan.alphas[-1]


def denoiser(sampler: Sampler, scale: float = 1.0) -> Denoise:
    """D of the network that ours asks, which predicts noise: the timestep comes from the ratio alone."""
    alpha_bar = sampler.alpha_bar()
    assert alpha_bar is not None
    table = np.log(np.sqrt((1 - alpha_bar) / alpha_bar))

    def denoise(x: np.ndarray, sigma: float) -> np.ndarray:
        t = np.interp(math.log(sigma), table, np.arange(len(table)))
        found: np.ndarray = x - sigma * network(scale * x / math.sqrt(1 + sigma**2), t)
        return found

    return denoise


def assert_equal(ours: np.ndarray, theirs: np.ndarray) -> None:
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=CLOSE * np.abs(theirs).max())


def split(now: float, then: float, eta: float) -> tuple[float, float]:
    up = min(then, eta * math.sqrt(then**2 * (now**2 - then**2) / now**2))
    return math.sqrt(then**2 - up**2), up


def first(sigma: float) -> np.ndarray:
    """The sample that ours begins with, on x / alpha."""
    return next(noises(3)) * sigma


@pytest.mark.parametrize("eta", [1.0, 0.6, 0.0])
def test_dpmpp_2s_ancestral(eta: float) -> None:
    sampler = build("DPMPP2SAncestralScheduler").with_options(eta=eta)
    ratios, ours = run(sampler, 9)
    sigmas = [*ratios[[*sampler.plan(9).starts]].tolist(), 0.0]
    x, fresh, denoise = first(sigmas[0]), noises(7), denoiser(sampler)
    for now, then in itertools.pairwise(sigmas):
        down, up = split(now, then, eta)
        denoised = denoise(x, now)
        if down == 0:
            x = denoised
            continue
        t, t_next = -math.log(now), -math.log(down)
        middle = math.exp(-(t + (t_next - t) / 2))
        x2 = middle / now * x + (1 - middle / now) * denoised
        x = down / now * x + (1 - down / now) * denoise(x2, middle) + up * next(fresh)
    assert_equal(ours, x)


@pytest.mark.parametrize("class_name", ["ResMultistepScheduler", "ResMultistepAncestralScheduler"])
def test_res_multistep(class_name: str) -> None:
    """As ComfyUI's ``res_multistep``: coefficients by phi functions of the step in -log sigma."""
    sampler = build(class_name)
    eta = sampler.eta  # type: ignore[attr-defined]
    ratios, ours = run(sampler, 9)
    sigmas = ratios.tolist()
    x, fresh, denoise = first(sigmas[0]), noises(7), denoiser(sampler)
    before, before_down = None, 0.0
    for i, (now, then) in enumerate(itertools.pairwise(sigmas)):
        down, up = split(now, then, eta)
        denoised = denoise(x, now)
        if before is None or down == 0:
            x = denoised + down / now * (x - denoised)
        else:
            h = math.log(now / down)
            c2 = math.log(before_down / sigmas[i - 1]) / h
            phi1 = math.expm1(-h) / -h
            phi2 = (phi1 - 1) / -h
            x = math.exp(-h) * x + h * ((phi1 - phi2 / c2) * denoised + phi2 / c2 * before)
        x = x + up * next(fresh) if up > 0 else x
        before, before_down = denoised, down
    assert_equal(ours, x)


def test_res_multistep_is_dpm_solver_in_its_heun_form() -> None:
    ours = run(build("ResMultistepScheduler"), 9)[1]
    sampler = build("DPMSolverMultistepScheduler", solver_type="heun", lower_order_final=False)
    ratios = build("ResMultistepScheduler").plan(9)
    plan = sampler.plan(9)
    np.testing.assert_allclose(plan.sigmas, ratios.sigmas, rtol=1e-12)
    state = sampler.start(plan, next(noises(3)) * plan.sigmas[0])
    while state.position < plan.num_calls:
        # The fractional timesteps: DPM-Solver's own are whole.
        state = sampler.step(plan, state, network(state.x, ratios.timesteps[state.position]))
    assert_equal(ours, state.x)


@pytest.mark.parametrize("class_name", ["EulerCFGPPScheduler", "EulerAncestralCFGPPScheduler"])
@pytest.mark.parametrize("guided", [True, False])
def test_euler_cfgpp(class_name: str, guided: bool) -> None:
    """The paper's renoising: the guided x0, and the noise without the prompt."""
    sampler = build(class_name)
    ratios, ours = run(sampler, 9, guided=guided)
    sigmas = ratios.tolist()
    x, fresh, denoise = first(sigmas[0]), noises(7), denoiser(sampler)
    unguided = denoiser(sampler, 0.9 if guided else 1.0)
    for now, then in itertools.pairwise(sigmas):
        down, up = split(now, then, sampler.eta)  # type: ignore[attr-defined]
        slope_ = (x - unguided(x, now)) / now
        x = denoise(x, now) + down * slope_
        x = x + up * next(fresh) if up > 0 else x
    assert_equal(ours, x)


@pytest.mark.parametrize("guided", [True, False])
def test_dpmpp_2m_cfgpp(guided: bool) -> None:
    sampler = build("DPMPP2MCFGPPScheduler")
    ratios, ours = run(sampler, 9, guided=guided)
    sigmas = ratios.tolist()
    x, denoise, unguided = first(sigmas[0]), denoiser(sampler), denoiser(sampler, 0.9 if guided else 1.0)
    before = None
    for i, (now, then) in enumerate(itertools.pairwise(sigmas)):
        denoised, plain = denoise(x, now), unguided(x, now)
        if before is None or then == 0:
            x = denoised + then / now * (x - plain)
        else:
            h, h_last = math.log(now / then), math.log(sigmas[i - 1] / now)
            x = denoised + math.exp(-h) * (x - plain) - math.expm1(-h) * (plain - before) / (2 * h_last / h)
        before = plain
    assert_equal(ours, x)


@pytest.mark.parametrize("class_name", ["EulerCFGPPScheduler", "DPMPP2MCFGPPScheduler"])
def test_without_guidance_cfgpp_is_its_plain_sampler(class_name: str) -> None:
    """The same outputs given once or twice make the same step, to rounding."""
    sampler = build(class_name)
    plan = sampler.plan(5)
    once = twice = sampler.start(plan, next(noises(3)))
    while once.position < plan.num_calls:
        output = network(once.x, plan.timesteps[once.position])
        once = sampler.step(plan, once, output)
        twice = sampler.step(plan, twice, output, unconditional_output=output)
        assert_equal(once.x, twice.x)


@pytest.mark.parametrize("n", [12, 20, 40])
def test_restart(n: int) -> None:
    """As AUTOMATIC1111 chooses: never below 20 steps, once 9 steps of 20 to 35, twice a quarter of the steps from 36 on."""
    sampler = build("RestartScheduler")
    back, times = {12: (0, 0), 20: (9, 1), 40: (10, 2)}[n]
    ours = run(sampler, n)[1]
    alpha_bar = sampler.alpha_bar()
    assert alpha_bar is not None
    smallest, largest = (math.sqrt((1 - alpha_bar[t]) / alpha_bar[t]) for t in (0, -1))

    def karras(count: int, low: float, high: float) -> list[float]:
        return [(high ** (1 / 7) + i / (count - 1) * (low ** (1 / 7) - high ** (1 / 7))) ** 7 for i in range(count)]

    sigmas = [*karras(n - back * times, smallest, largest), 0.0]
    steps = []
    for i, (now, then) in enumerate(itertools.pairwise(sigmas)):
        steps.append((now, then))
        if times and i + 1 == min(range(len(sigmas)), key=lambda k: abs(sigmas[k] - 0.1)):
            top = sigmas[min(range(len(sigmas)), key=lambda k: abs(sigmas[k] - 2.0))]
            levels = karras(back + 1, then, top)
            steps += list(itertools.pairwise(levels)) * times
    assert len(steps) == n
    x, fresh, denoise, last = first(sigmas[0]), noises(7), denoiser(sampler), math.inf
    for now, then in steps:
        if last < now:
            x = x + math.sqrt(now**2 - last**2) * next(fresh)
        d = (x - denoise(x, now)) / now
        x2 = x + d * (then - now)
        x = x2 if then == 0 else x + (d + (x2 - denoise(x2, then)) / then) / 2 * (then - now)
        last = then
    # Powers of 1/7 and back, and the timesteps found from them: the last digits of sigmas differ.
    np.testing.assert_allclose(ours, x, rtol=0, atol=1e-8 * np.abs(x).max())


def test_restart_intervals_are_walked_where_they_are_put() -> None:
    sampler = build("RestartScheduler", restart_intervals=[[0.5, 3.0, 2, 1], [0.1, 1.0, 3, 2]])
    plan = sampler.plan(20)
    assert plan.num_inference_steps == 20
    assert sum(plan.draws) == 3
    ratios = plan.sigmas / plan.alphas
    raised = [i + 1 for i, drawn in enumerate(plan.draws) if drawn]
    assert all(ratios[i] > ratios[i - 1] for i in raised)
    assert set(raised) <= set(plan.starts)
    own = build("RestartScheduler", restart_intervals=[[0.5, 3.0, 2, 1]]).plan(sigmas=[10.0, 3.0, 0.5, 0.0])
    np.testing.assert_allclose((own.sigmas / own.alphas)[[*own.starts, -1]], [10, 3, 3, own.sigmas[6] / own.alphas[6], 0.5, 0])


def test_restart_is_of_order_2_in_its_variance() -> None:
    """The intervals kept, and steps in all of their ways doubled: Heun's errors fall by four, and the noise between them is exact."""

    def error(k: int) -> float:
        return run_variance_error(build("RestartScheduler", restart_intervals=[[0.1, 2.0, 4 * k, 2]]), 18 * k)

    factors = (1, 2, 4, 8)
    assert slope(factors, [error(k) for k in factors]) == pytest.approx(2, abs=0.25)


def test_brownian_noise_reads_one_path() -> None:
    """Both calls of a step look at one path: the second's increment is the first's and what follows."""
    plan = sampler_from_config({"_class_name": "DPMSolverSDEScheduler", **SD}).plan(5)
    path = plan.brownian(SHAPE, 11)
    assert path is not None
    (now, middle), (same, then) = plan.intervals[:2]
    assert same == now
    half, whole = (path.normal_between(*ends) * math.sqrt(ends[0] - ends[1]) for ends in plan.intervals[:2])
    np.testing.assert_allclose(half + path.increment(middle, then), whole, atol=2e-5)  # float32 sums of values of up to 10
    other = plan.brownian(SHAPE, 12)
    assert other is not None
    assert np.abs(other.increment(now, then) - whole).max() > 0.1
    assert sampler_from_config({"_class_name": "DPMSolverSDEScheduler", **SD}).plan(1).brownian(SHAPE, 11) is None
    assert sampler_from_config({"_class_name": "EulerAncestralDiscreteScheduler", **SD}).plan(5).brownian(SHAPE, 11) is None


@pytest.mark.parametrize("n", [2, 10, 25])
@pytest.mark.parametrize(
    "class_name", [name for name in class_names() if not is_of_diffusers(name) and "rescale_betas_zero_snr" in sampler_class(name).keys]
)
def test_zero_terminal_snr_stays_exact_in_float32(class_name: str, n: int) -> None:
    """The first ratio is 4096, as diffusers' classes put it: in alpha and sigma no value is large, and float32 is enough."""
    zero = sampler_from_config(
        {"_class_name": class_name, **SD, "rescale_betas_zero_snr": True, "timestep_spacing": "trailing", "prediction_type": "v_prediction"}
    )
    plan = zero.plan(n)
    assert plan.sigmas[0] / plan.alphas[0] == pytest.approx(4096, rel=1e-6)
    ends = []
    kinds: tuple[type[Any], ...] = (np.float32, np.float64)
    for dtype in kinds:
        fresh = noises(7)
        state = zero.start(plan, next(noises(3)).astype(dtype))
        while state.position < plan.num_calls:
            i = state.position
            noise = next(fresh).astype(dtype) if plan.draws[i] else None
            state = zero.step(plan, state, network(state.x, plan.timesteps[i]), noise)
        ends.append(state.x)
    assert ends[0].dtype == np.float32
    # Worst of Heun's (6e-6), whose first step takes half of 4096 times a difference of slopes, times an alpha of a hundredth.
    np.testing.assert_allclose(ends[0], ends[1], rtol=0, atol=2e-5 * np.abs(ends[1]).max())
