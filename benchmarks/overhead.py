"""Time of a step outside the networks: the loop over a U-Net that answers at once, at 512x512 with classifier-free guidance.

    python -m benchmarks.overhead [--out overhead.json]

Includes the sampler's step, guidance, the checks of every array, the batch of two rows, fresh noise and the step object. Excludes what
happens once in a run: the text, the plan, the decoding.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Self

import numpy as np

import sdrt
from benchmarks import report
from sdrt.arrays import Array, Signature
from sdrt.backends import PLAIN, BackendOptions, ComponentOptions, signature
from sdrt.models import ComponentName, Model

_SCHEDULERS = ("dpm++ 2m", "ddim", "euler", "euler a", "pndm", "unipc", "heun", "dpm++ 2m sde", "lcm")
_SIZE = 512
_STEPS = 50


@dataclass(frozen=True)
class _Prepared:
    """A network that returns the same arrays at every call."""

    signature: Signature
    compute: Callable[..., dict[str, Array]]

    def __call__(self, **inputs: Array) -> dict[str, Array]:
        return self.compute(**inputs)

    def bind(self, **_: Array) -> Self:
        return self

    def close(self) -> None:
        """Do nothing: there is nothing to release."""


class _Instant:
    """A backend whose networks have their outputs ready before any call."""

    name = "instant"
    option_names = ()
    component_options = ()

    def open(self, component: ComponentName, model: Model, options: BackendOptions, _: ComponentOptions = PLAIN) -> _Prepared:
        config = model.config(component)
        rng = np.random.default_rng(0)
        noise = rng.standard_normal((2, 4, _SIZE // 8, _SIZE // 8), np.float32)
        states = rng.standard_normal((2, 77, config.get("hidden_size", 1)), np.float32)
        computes: dict[ComponentName, Callable[..., dict[str, Array]]] = {
            "text_encoder": lambda input_ids: {
                "last_hidden_state": states[: len(input_ids)],
                "penultimate_hidden_state": states[: len(input_ids)],
                "pooled": states[: len(input_ids), 0],
            },
            "unet": lambda **_: {"noise_pred": noise},
            "vae_decoder": lambda **_: {"image": np.zeros((1, 3, _SIZE, _SIZE), np.float32)},
        }
        return _Prepared(signature(component, config, options.numerics), computes[component])


def measure(repeats: int = 5) -> dict[str, Any]:
    """Measure the milliseconds of a step for each scheduler, over the steps of several runs."""
    with sdrt.load("nano", _Instant()) as pipe:
        return {name: _of_a_step([each for _ in range(repeats) for each in _intervals(pipe, name)]) for name in _SCHEDULERS}


def _intervals(pipe: sdrt.Pipeline, scheduler: str) -> list[float]:
    """Return the seconds from each step to the next; lazy values of a step, such as its x0, are not computed."""
    steps = pipe.steps("a red circle", seed=1, num_inference_steps=_STEPS, scheduler=scheduler, height=_SIZE, width=_SIZE)
    times = [time.perf_counter() for _ in steps]
    return [later - sooner for sooner, later in pairwise(times)]


def _of_a_step(seconds: list[float]) -> dict[str, float]:
    return {"min_ms": min(seconds) * 1e3, "median_ms": statistics.median(seconds) * 1e3}


if __name__ == "__main__":
    report.main("overhead", measure)
