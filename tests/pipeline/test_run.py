"""The loop, on denoisers that know the answer."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np
import pytest

from sdrt.arrays import Float
from sdrt.guidance import Call, CFGPlusPlusGuidance, ClassifierFreeGuidance, Guidance, Guided, Unguided
from sdrt.pipeline.denoiser import Denoiser
from sdrt.pipeline.noise import open_noise
from sdrt.pipeline.run import Phase, Run, denoise
from sdrt.pipeline.start import from_latents, from_noise
from sdrt.schedulers import Plan, Sampler, State, names, sampler_from_name
from tests.factories import normal

SHAPE = (4, 8, 6)
CONFIG = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "clip_sample": False}
CLEAN = normal(7, 2, *SHAPE, dtype="float64")


@dataclass
class Perfect:
    """Predicts exactly the noise that stands between the sample and `clean`, once for each row, and notes what it was asked."""

    plan: Plan
    clean: Float
    rows: int = 1
    calls: list[Call] = field(default_factory=list)
    opened: list[str] = field(default_factory=list)
    first: int = 0

    def __call__(self, sample: Float, call: Call) -> Float:
        self.calls.append(call)
        i = self.first + call.index
        x = sample / self.plan.input_scale[i]
        noise: Float = (x - self.plan.alphas[i] * self.clean) / self.plan.sigmas[i]
        return np.concatenate([noise] * self.rows)

    def phase(self, begins: int = 0, guidance: Guidance | None = None, name: str = "base") -> Phase:
        @contextmanager
        def networks() -> Iterator[Denoiser]:
            self.opened.append(f"open {name}")
            try:
                yield cast("Denoiser", self)
            finally:
                self.opened.append(f"close {name}")

        return Phase(begins, Unguided() if guidance is None else guidance, networks)


def make_run(sampler: Sampler, plan: Plan, phases: list[Phase], at: int | None = None) -> Run:
    noise = open_noise("torch", None, 93, None, 2)
    dtype = np.dtype(np.float64)
    normals = noise.latents(SHAPE).astype(dtype)
    start = from_noise(plan, normals) if at is None else from_latents(sampler, plan, at, CLEAN, normals)
    settings: Any = None
    return Run(settings, sampler, plan, plan.timesteps, start, noise, phases, lambda latents, first, kind: [])


def sampler_and_plan(name: str, steps: int = 6) -> tuple[Sampler, Plan]:
    sampler = sampler_from_name(name, CONFIG, "float64")
    return sampler, sampler.plan(steps)


REACH = ["ddim", "euler", "euler a", "heun", "dpm++ 2m", "dpm++ 2m sde", "dpm++ sde", "dpm2", "lms", "unipc", "deis"]


@pytest.mark.parametrize("name", REACH)
def test_a_run_may_start_from_latents_at_any_step_and_reaches_the_clean_ones(name: str) -> None:
    assert name in {each.name for each in names()}
    sampler, plan = sampler_and_plan(name)
    for at in plan.starts:
        perfect = Perfect(plan, CLEAN, first=at)
        steps = list(denoise(make_run(sampler, plan, [perfect.phase()], at)))
        assert [step.timestep for step in steps] == plan.timesteps[at:].tolist()
        assert [(step.index, step.num_steps) for step in steps] == [(k, plan.num_calls - at) for k in range(plan.num_calls - at)]
        assert perfect.calls == [Call(step.index, step.num_steps, step.timestep) for step in steps]
        scale = np.abs(CLEAN).max()
        if not plan.sigmas[-1]:
            np.testing.assert_allclose(steps[-1].latents, CLEAN, atol=1e-9 * scale)
        np.testing.assert_allclose(steps[-1].x0, CLEAN, atol=1e-9 * scale)


@pytest.mark.parametrize("name", ["ddim", "euler a", "dpm++ 2m", "lcm", "tcd"])
@pytest.mark.parametrize("strength", [0.3, 0.75, 1.0])
def test_the_samplers_plan_of_a_strength_starts_a_run(name: str, strength: float) -> None:
    sampler = sampler_from_name(name, CONFIG, "float64")
    plan, at = sampler.image_plan(8, strength)
    steps = list(denoise(make_run(sampler, plan, [Perfect(plan, CLEAN, first=at).phase()], at)))
    assert len(steps) == plan.num_calls - at > 0
    np.testing.assert_allclose(steps[-1].x0, CLEAN, atol=1e-9 * np.abs(CLEAN).max())


def test_each_phase_has_its_calls_and_its_networks_are_closed_before_the_next_are_opened() -> None:
    sampler, plan = sampler_and_plan("ddim")
    base, refiner = Perfect(plan, CLEAN), Perfect(plan, CLEAN)
    refiner.opened = base.opened
    steps = list(denoise(make_run(sampler, plan, [base.phase(), refiner.phase(4, name="refiner")])))
    assert len(steps) == 6
    assert [call.index for call in base.calls] == [0, 1, 2, 3]
    assert [call.index for call in refiner.calls] == [4, 5]
    assert base.opened == ["open base", "close base", "open refiner", "close refiner"]


def test_a_phase_that_is_over_before_the_run_starts_is_never_opened() -> None:
    sampler, plan = sampler_and_plan("ddim")
    base, refiner = Perfect(plan, CLEAN), Perfect(plan, CLEAN, first=4)
    run = make_run(sampler, plan, [base.phase(), refiner.phase(3, name="refiner")], at=4)
    assert len(list(denoise(run))) == 2
    assert base.opened == []
    assert refiner.opened == ["open refiner", "close refiner"]


def test_each_phase_guides_in_its_own_way() -> None:
    """So a guidance can be left out for a part of the run, and its rows with it."""
    sampler, plan = sampler_and_plan("ddim")
    guided, plain = Perfect(plan, CLEAN, rows=2), Perfect(plan, CLEAN)
    phases = [plain.phase(), guided.phase(2, ClassifierFreeGuidance(5.0)), plain.phase(4)]
    *_, last = denoise(make_run(sampler, plan, phases))
    assert (len(plain.calls), len(guided.calls)) == (4, 2)
    np.testing.assert_allclose(last.x0, CLEAN, atol=1e-9)


def test_networks_are_closed_when_the_loop_is_left_and_when_a_call_fails() -> None:
    sampler, plan = sampler_and_plan("ddim")
    perfect = Perfect(plan, CLEAN)
    loop = denoise(make_run(sampler, plan, [perfect.phase()]))
    next(loop)
    assert perfect.opened == ["open base"]
    loop.close()
    assert perfect.opened == ["open base", "close base"]

    class Broken(Perfect):
        def __call__(self, sample: Float, call: Call) -> Float:
            raise RuntimeError("no")

    broken = Broken(plan, CLEAN)
    with pytest.raises(RuntimeError, match="no"):
        list(denoise(make_run(sampler, plan, [broken.phase()])))
    assert broken.opened == ["open base", "close base"]


def test_the_sampler_is_handed_the_guided_prediction_and_the_unconditional_one() -> None:
    sampler, plan = sampler_and_plan("euler_cfg_pp")
    shift = 0.1 * normal(3, 2, *SHAPE, dtype="float64")

    class TwoRows(Perfect):
        def __call__(self, sample: Float, call: Call) -> Float:
            noise = super().__call__(sample, call)
            return np.concatenate([noise + shift, noise])

    runs = [
        list(denoise(make_run(sampler, plan, [TwoRows(plan, CLEAN).phase(0, guidance)])))[-1]
        for guidance in (CFGPlusPlusGuidance(ClassifierFreeGuidance(1.0)), ClassifierFreeGuidance(1.0))
    ]
    for last in runs:
        np.testing.assert_allclose(last.x0, CLEAN, atol=1e-9)
    first = [
        next(denoise(make_run(sampler, plan, [TwoRows(plan, CLEAN).phase(0, guidance)]))).latents
        for guidance in (CFGPlusPlusGuidance(ClassifierFreeGuidance(1.0)), ClassifierFreeGuidance(1.0))
    ]
    assert np.abs(first[0] - first[1]).max() > 0.01


def test_what_is_kept_is_put_back_after_every_call() -> None:
    """As diffusers in-paints with a U-Net of 4 channels: outside the mask the sample is the picture's own, with the noise of the stop."""
    sampler, plan = sampler_and_plan("heun")
    kept, elsewhere = 3 * normal(8, 2, *SHAPE, dtype="float64"), normal(9, 2, *SHAPE, dtype="float64")
    outside = np.zeros(SHAPE)
    outside[:, :, :3] = 1
    positions: list[int] = []

    def keep(plan: Plan, state: State) -> State:
        positions.append(state.position)
        known = sampler.add_noise(plan, kept, elsewhere, state.position)
        return replace(state, x=outside * known + (1 - outside) * state.x)

    run = make_run(sampler, plan, [Perfect(plan, CLEAN).phase()])
    steps = list(denoise(replace(run, start=replace(run.start, keep=keep))))
    assert positions == list(range(1, plan.num_calls + 1))
    np.testing.assert_allclose(steps[-1].latents[..., :3], kept[..., :3], atol=1e-9)
    np.testing.assert_allclose(steps[-1].latents[..., 3:], CLEAN[..., 3:], atol=1e-6)


def test_a_step_says_what_the_guidance_was_told_and_leaves_read_only_latents() -> None:
    sampler, plan = sampler_and_plan("ddim")
    seen: list[Call] = []

    class Watching(Unguided):
        def __call__(self, predictions: Float, call: Call, /) -> Guided:
            seen.append(call)
            return super().__call__(predictions, call)

    steps = list(denoise(make_run(sampler, plan, [Perfect(plan, CLEAN).phase(0, Watching())])))
    assert seen == [Call(step.index, step.num_steps, step.timestep) for step in steps]
    for step in steps:
        assert not step.latents.flags.writeable
        assert 0 <= step.seconds < 60
