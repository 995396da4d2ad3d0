"""Schedulers written down anew from their papers, in numpy with diffusers' habit, and schedulers that get one thing of them wrong each."""

from types import SimpleNamespace
from typing import Any

import numpy as np

from sdrt.arrays import F64, Array

__all__ = ["WRONG", "RightDDIM", "RightDDPM", "RightDPMSolver", "RightEuler", "RightEulerAncestral"]


class Base:
    """The trained schedule and leading timesteps."""

    def __init__(
        self,
        beta_start: float = 0.0001,
        beta_end: float = 0.02,
        beta_schedule: str = "linear",
        prediction_type: str = "epsilon",
        steps_offset: int = 0,
    ) -> None:
        if beta_schedule not in ("linear", "scaled_linear"):
            raise NotImplementedError(beta_schedule)
        self.prediction_type, self.steps_offset = prediction_type, steps_offset
        if beta_schedule == "linear":
            betas = np.linspace(beta_start, beta_end, 1000, dtype=np.float32)
        else:
            betas = np.linspace(beta_start**0.5, beta_end**0.5, 1000, dtype=np.float32) ** 2
        self.alpha_bar: F64 = np.cumprod(1 - betas).astype(np.float64)
        self.timesteps: Array = np.arange(999, -1, -1)
        self.init_noise_sigma = 1.0

    def set_timesteps(self, num_inference_steps: int) -> None:
        self.step_length = 1000 // num_inference_steps
        self.timesteps = (np.arange(num_inference_steps) * self.step_length)[::-1].astype(np.int64) + self.steps_offset

    def predictions(self, x: Array, output: Array, alpha: float, sigma: float) -> tuple[Array, Array]:
        """x0 and noise."""
        if self.prediction_type == "epsilon":
            return (x - sigma * output) / alpha, output
        if self.prediction_type == "v_prediction":
            return alpha * x - sigma * output, alpha * output + sigma * x
        if self.prediction_type == "sample":
            return output, (x - alpha * output) / sigma
        raise NotImplementedError(self.prediction_type)

    def add_noise(self, x0: Array, noise: Array, timesteps: Array) -> Array:
        power = self.alpha_bar[np.asarray(timesteps)].reshape(-1, 1, 1, 1)
        mixed: Array = np.sqrt(power) * x0 + np.sqrt(1 - power) * noise
        return mixed


def result(x: Array) -> Any:
    return SimpleNamespace(prev_sample=x)


class RightDDIM(Base):
    def __init__(self, clip_sample: bool = True, set_alpha_to_one: bool = True, **settings: Any) -> None:
        super().__init__(**settings)
        self.clip_sample, self.set_alpha_to_one = clip_sample, set_alpha_to_one

    def final_power(self) -> float:
        return 1.0 if self.set_alpha_to_one else float(self.alpha_bar[0])

    def power_after(self, t: int) -> float:
        prev = t - self.step_length
        return float(self.alpha_bar[prev]) if prev >= 0 else self.final_power()

    def scale_model_input(self, x: Array, t: int) -> Array:
        return x

    def deviation(self, variance: float, eta: float) -> float:
        return eta * float(np.sqrt(max(variance, 0)))

    def step(self, output: Array, t: int, x: Array, eta: float = 0.0, generator: Any = None) -> Any:
        power, next_power = float(self.alpha_bar[t]), self.power_after(int(t))
        x0, eps = self.predictions(x, output, power**0.5, (1 - power) ** 0.5)
        if self.clip_sample:
            x0 = np.clip(x0, -1, 1)
        variance = (1 - next_power) / (1 - power) * (1 - power / next_power)
        deviation = self.deviation(variance, eta)
        direction = np.sqrt(np.maximum(1 - next_power - deviation**2, 0)) * eps
        moved = next_power**0.5 * x0 + direction
        return result(moved + deviation * self.noise(x.shape, t, generator) if eta else moved)

    def noise(self, shape: tuple[int, ...], t: int, generator: Any) -> Array:
        drawn: Array = generator.normal(shape)
        return drawn


class TimestepsOffByOne(RightDDIM):
    def set_timesteps(self, num_inference_steps: int) -> None:
        super().set_timesteps(num_inference_steps)
        self.timesteps = self.timesteps + 1


class IgnoresStepsOffset(RightDDIM):
    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.steps_offset = 0


class Ascending(RightDDIM):
    def set_timesteps(self, num_inference_steps: int) -> None:
        super().set_timesteps(num_inference_steps)
        self.timesteps = self.timesteps[::-1]


class Trailing(RightDDIM):
    """timestep_spacing mixed up."""

    def set_timesteps(self, num_inference_steps: int) -> None:
        self.step_length = 1000 // num_inference_steps
        self.timesteps = np.round(np.arange(1000, 0, -1000 / num_inference_steps)).astype(np.int64) - 1


class OneTimestepMore(RightDDIM):
    """A fault of diffusers' own trailing spacing, at all numbers of steps."""

    def set_timesteps(self, num_inference_steps: int) -> None:
        super().set_timesteps(num_inference_steps)
        self.timesteps = np.append(self.timesteps, -1)


class FinalAlphaOfTheFirst(RightDDIM):
    """t = -1 reads the noisiest of all."""

    def final_power(self) -> float:
        return float(self.alpha_bar[-1])


class IgnoresAlphaToOne(RightDDIM):
    def final_power(self) -> float:
        return float(self.alpha_bar[0])


class ReadsVelocityAsNoise(RightDDIM):
    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        if self.prediction_type == "v_prediction":
            self.prediction_type = "epsilon"


class IgnoresClipping(RightDDIM):
    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.clip_sample = False


class Variance(RightDDIM):
    def noise(self, shape: tuple[int, ...], t: int, generator: Any) -> Array:
        power, next_power = float(self.alpha_bar[t]), self.power_after(int(t))
        deviation = ((1 - next_power) / (1 - power) * (1 - power / next_power)) ** 0.5
        return super().noise(shape, t, generator) * np.float64(deviation)


class NoNoise(RightDDIM):
    def noise(self, shape: tuple[int, ...], t: int, generator: Any) -> Array:
        return np.zeros(shape)


class NoNoiseAtFirst(RightDDIM):
    def noise(self, shape: tuple[int, ...], t: int, generator: Any) -> Array:
        drawn = super().noise(shape, t, generator)
        return np.zeros(shape) if t == self.timesteps[0] else drawn


class LinearBetas(RightDDIM):
    def __init__(self, beta_schedule: str = "linear", **settings: Any) -> None:
        super().__init__(beta_schedule="linear", **settings)


class HalfPrecision(RightDDIM):
    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.alpha_bar = np.minimum(self.alpha_bar.astype(np.float16).astype(np.float64), 0.99995)


class SwapsAddNoise(RightDDIM):
    def add_noise(self, x0: Array, noise: Array, timesteps: Array) -> Array:
        return super().add_noise(noise, x0, timesteps)


class AddsNoiseWithoutRoots(RightDDIM):
    def add_noise(self, x0: Array, noise: Array, timesteps: Array) -> Array:
        power = self.alpha_bar[np.asarray(timesteps)].reshape(-1, 1, 1, 1)
        mixed: Array = power * x0 + (1 - power) * noise
        return mixed


class AddsNoiseOfTheNextTimestep(RightDDIM):
    def add_noise(self, x0: Array, noise: Array, timesteps: Array) -> Array:
        return super().add_noise(x0, noise, np.asarray(timesteps) + 1)


class ChangesItsInput(RightDDIM):
    def step(self, output: Array, t: int, x: Array, eta: float = 0.0, generator: Any = None) -> Any:
        moved = super().step(output, t, x, eta, generator)
        x *= 0.5
        return moved


class RightEuler(Base):
    """x / alpha; linspace timesteps."""

    def set_timesteps(self, num_inference_steps: int) -> None:
        self.timesteps = np.linspace(0, 999, num_inference_steps, dtype=np.float32)[::-1].copy()
        ratios = ((1 - self.alpha_bar) / self.alpha_bar) ** 0.5
        self.sigmas = np.append(np.interp(self.timesteps, np.arange(1000), ratios), 0.0).astype(np.float32)
        self.init_noise_sigma = float(self.sigmas.max())

    def at(self, t: float) -> int:
        return int(np.argmin(np.abs(self.timesteps - t)))

    def scale_model_input(self, x: Array, t: float) -> Array:
        scaled: Array = x / (float(self.sigmas[self.at(t)]) ** 2 + 1) ** 0.5
        return scaled

    def slope(self, output: Array, x: Array, sigma: float) -> Array:
        if self.prediction_type == "epsilon":
            return output
        if self.prediction_type == "v_prediction":
            x0 = x / (sigma**2 + 1) - output * sigma / (sigma**2 + 1) ** 0.5
            slope: Array = (x - x0) / sigma
            return slope
        raise NotImplementedError(self.prediction_type)

    def step(self, output: Array, t: float, x: Array) -> Any:
        i = self.at(t)
        sigma, after = (float(s) for s in self.sigmas[i : i + 2])
        return result(x + (after - sigma) * self.slope(output, x, sigma))

    def add_noise(self, x0: Array, noise: Array, timesteps: Array) -> Array:
        sigmas = np.array([self.sigmas[self.at(float(t))] for t in timesteps]).reshape(-1, 1, 1, 1)
        mixed: Array = x0 + sigmas * noise
        return mixed


class UnscaledInput(RightEuler):
    def scale_model_input(self, x: Array, t: float) -> Array:
        return x


class UnscaledNoise(RightEuler):
    def set_timesteps(self, num_inference_steps: int) -> None:
        super().set_timesteps(num_inference_steps)
        self.init_noise_sigma = 1.0


class HalfSigmas(RightEuler):
    def set_timesteps(self, num_inference_steps: int) -> None:
        super().set_timesteps(num_inference_steps)
        self.sigmas = self.sigmas.astype(np.float16).astype(np.float32)


class RoundedTimesteps(RightEuler):
    def set_timesteps(self, num_inference_steps: int) -> None:
        super().set_timesteps(num_inference_steps)
        self.timesteps = np.round(self.timesteps)


class EndsAtTheLastTrained(RightEuler):
    def set_timesteps(self, num_inference_steps: int) -> None:
        super().set_timesteps(num_inference_steps)
        self.sigmas[-1] = ((1 - self.alpha_bar[0]) / self.alpha_bar[0]) ** 0.5


class RightEulerAncestral(RightEuler):
    def step(self, output: Array, t: float, x: Array, generator: Any = None) -> Any:
        i = self.at(t)
        sigma, after = (float(s) for s in self.sigmas[i : i + 2])
        up = float(np.sqrt(after**2 * (sigma**2 - after**2) / sigma**2))
        down = float(np.sqrt(after**2 - up**2))
        return result(x + (down - sigma) * self.slope(output, x, sigma) + self.noise(x.shape, generator, up))

    def noise(self, shape: tuple[int, ...], generator: Any, up: float) -> Array:
        drawn: Array = generator.normal(shape) * up
        return drawn


class VarianceOfEulerAncestral(RightEulerAncestral):
    def noise(self, shape: tuple[int, ...], generator: Any, up: float) -> Array:
        return super().noise(shape, generator, up) * up


class RightDDPM(Base):
    """fixed_small; clipped."""

    def step(self, output: Array, t: int, x: Array, generator: Any = None) -> Any:
        prev = int(t) - self.step_length
        power, next_power = float(self.alpha_bar[t]), float(self.alpha_bar[prev]) if prev >= 0 else 1.0
        x0, _ = self.predictions(x, output, power**0.5, (1 - power) ** 0.5)
        x0 = np.clip(x0, -1, 1)
        alpha = power / next_power
        mean = next_power**0.5 * (1 - alpha) / (1 - power) * x0 + alpha**0.5 * (1 - next_power) / (1 - power) * x
        variance = max((1 - next_power) / (1 - power) * (1 - alpha), 1e-20)
        return result(mean + self.noise(x.shape, t, generator) * variance**0.5)

    def noise(self, shape: tuple[int, ...], t: int, generator: Any) -> Array:
        drawn: Array = generator.normal(shape) if t > 0 else np.zeros(shape)
        return drawn


class NoiseAtTheEnd(RightDDPM):
    """Drawn before the last call in place of the first."""

    def noise(self, shape: tuple[int, ...], t: int, generator: Any) -> Array:
        drawn: Array = generator.normal(shape)
        return np.zeros(shape) if t == self.timesteps[0] else drawn


class RightDPMSolver(Base):
    """DPM-Solver++(2M) in x = alpha * x0 + sigma * noise; linspace timesteps."""

    def __init__(self, lower_order_final: bool = True, final_sigmas_type: str = "zero", solver_order: int = 2, **settings: Any) -> None:
        super().__init__(**settings)
        if solver_order > 2:
            raise NotImplementedError(solver_order)
        self.lower_order_final, self.final_sigmas_type, self.solver_order = lower_order_final, final_sigmas_type, solver_order

    def set_timesteps(self, num_inference_steps: int) -> None:
        self.timesteps = np.linspace(0, 999, num_inference_steps + 1).round()[::-1][:-1].astype(np.int64)
        last = ((1 - self.alpha_bar[0]) / self.alpha_bar[0]) ** 0.5 if self.final_sigmas_type == "sigma_min" else 0.0
        ratios = ((1 - self.alpha_bar) / self.alpha_bar) ** 0.5
        self.ratios = np.append(ratios[self.timesteps], last)
        self.before: list[Array] = []

    def levels(self, i: int) -> tuple[float, float, float]:
        ratio = float(self.ratios[i])
        alpha = 1 / (ratio**2 + 1) ** 0.5
        with np.errstate(divide="ignore"):
            return alpha, ratio * alpha, float(-np.log(ratio))

    def is_lowered(self, i: int) -> bool:
        n = len(self.timesteps)
        return i == n - 1 and (self.final_sigmas_type == "zero" or (self.lower_order_final and n < 15))

    def step(self, output: Array, t: int, x: Array) -> Any:
        i = int(np.flatnonzero(self.timesteps == t)[0])
        alpha, sigma, lam = self.levels(i)
        alpha_t, sigma_t, lam_t = self.levels(i + 1)
        x0, _ = self.predictions(x, output, alpha, sigma)
        if i == 0:
            self.before = []
        d = x0
        if self.before and self.solver_order > 1 and not self.is_lowered(i):
            h, h_0 = lam_t - lam, lam - self.levels(i - 1)[2]
            d = x0 + 0.5 * (x0 - self.before[-1]) * h / h_0
        self.before = [x0]
        return result(sigma_t / sigma * x - alpha_t * np.expm1(-(lam_t - lam)) * d)


class NeverLowered(RightDPMSolver):
    def is_lowered(self, i: int) -> bool:
        return i == len(self.timesteps) - 1 and self.final_sigmas_type == "zero"


class FirstOrder(RightDPMSolver):
    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.solver_order = 1


class KeepsItsHistory(RightDPMSolver):
    """The x0 of the run before is taken for the one of the step before."""

    def set_timesteps(self, num_inference_steps: int) -> None:
        kept = getattr(self, "before", [])
        super().set_timesteps(num_inference_steps)
        self.before = kept

    def step(self, output: Array, t: int, x: Array) -> Any:
        if t != self.timesteps[0] or not self.before:
            return super().step(output, t, x)
        kept = self.before[-1]
        moved = super().step(output, t, x)
        return result(moved.prev_sample + 0.01 * kept)


# Each with the class that it takes itself for, and the fault that it has.
WRONG: dict[type[Base], tuple[str, str]] = {
    TimestepsOffByOne: ("DDIMScheduler", "timesteps_off_by_one"),
    IgnoresStepsOffset: ("DDIMScheduler", "timesteps_off_by_one"),
    Ascending: ("DDIMScheduler", "timesteps_ascending"),
    Trailing: ("DDIMScheduler", "timesteps_of_other_spacing"),
    OneTimestepMore: ("DDIMScheduler", "too_many_timesteps"),
    RoundedTimesteps: ("EulerDiscreteScheduler", "timesteps_rounded"),
    UnscaledInput: ("EulerDiscreteScheduler", "input_not_scaled"),
    UnscaledNoise: ("EulerDiscreteScheduler", "init_noise_not_scaled"),
    FinalAlphaOfTheFirst: ("DDIMScheduler", "last_step_uses_the_wrong_alpha"),
    IgnoresAlphaToOne: ("DDIMScheduler", "last_step_uses_the_wrong_alpha"),
    EndsAtTheLastTrained: ("EulerDiscreteScheduler", "last_step_uses_the_wrong_alpha"),
    ReadsVelocityAsNoise: ("DDIMScheduler", "prediction_read_as_another"),
    IgnoresClipping: ("DDIMScheduler", "setting_ignored"),
    NoNoise: ("DDIMScheduler", "no_noise"),
    NoNoiseAtFirst: ("DDIMScheduler", "noise_at_the_wrong_step"),
    NoiseAtTheEnd: ("DDPMScheduler", "noise_at_the_wrong_step"),
    Variance: ("DDIMScheduler", "noise_of_the_wrong_size"),
    VarianceOfEulerAncestral: ("EulerAncestralDiscreteScheduler", "noise_of_the_wrong_size"),
    LinearBetas: ("DDIMScheduler", "wrong_noise_schedule"),
    HalfPrecision: ("DDIMScheduler", "sigmas_in_float16"),
    HalfSigmas: ("EulerDiscreteScheduler", "sigmas_in_float16"),
    SwapsAddNoise: ("DDIMScheduler", "add_noise_swaps_its_scales"),
    AddsNoiseWithoutRoots: ("DDIMScheduler", "add_noise_without_roots"),
    AddsNoiseOfTheNextTimestep: ("DDIMScheduler", "add_noise_at_the_wrong_timestep"),
    ChangesItsInput: ("DDIMScheduler", "changes_its_input"),
    NeverLowered: ("DPMSolverMultistepScheduler", "order_not_lowered_at_the_end"),
    FirstOrder: ("DPMSolverMultistepScheduler", "another_order"),
    KeepsItsHistory: ("DPMSolverMultistepScheduler", "state_leaks"),
    RightEulerAncestral: ("EulerDiscreteScheduler", "another_sampler"),
}
