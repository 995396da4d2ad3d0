"""The tensors of a component: which there are is asked of the numpy backend, and each is drawn from its name and a seed.

The backend opens the component over a stand-in for its weights, which notes each tensor's name and shape and answers with random numbers.
So there is no second table of what a network consists of.
"""

import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sdrt.arrays import F32, Array
from sdrt.backends import BackendOptions
from sdrt.backends.numpy import NumpyBackend
from sdrt.models import COMPONENTS, ComponentName

__all__ = ["component_tensors", "random_tensor"]

# Some conditions hardly show through random layers; these factors let each of them move what the network gives by a few per cent.
_GAINS: tuple[tuple[re.Pattern[str], float], ...] = (
    (re.compile(r"controlnet_cond_embedding\..*\.weight"), 2.5),
    (re.compile(r"controlnet_cond_embedding\..*\.bias"), 0.1),
    (re.compile(r"controlnet_(down_blocks\.\d+|mid_block)\.weight"), 4.0),
    (re.compile(r"task_embedding"), 12.0),
    (re.compile(r"spatial_ch_projs\.weight"), 4.0),
    (re.compile(r"add_embedding\.linear_[12]\.weight"), 2.0),
    (re.compile(r"time_embedding\.(linear_[12]|cond_proj)\.weight"), 2.0),
)


def component_tensors(component: ComponentName, config: Mapping[str, Any], seed: int = 0) -> dict[str, F32]:
    """Draw every tensor of a component.

    Parameters
    ----------
    component : ComponentName
        ``vae_decoder`` and ``vae_encoder`` are one autoencoder, of which each has its own half.
    config : mapping
        The keys of its ``config.json`` that differ from the defaults of its class.
    seed : int

    Returns
    -------
    dict from canonical name to float32 array, the same bytes on every machine

    Raises
    ------
    ConfigError : a configuration that the numpy backend does not run
    """
    weights = _Asked(seed)
    model: Any = _Blueprint(COMPONENTS[component].complete(config), weights)
    NumpyBackend().open(component, model, BackendOptions(threads=1)).close()
    return weights.drawn


def random_tensor(name: str, shape: tuple[int, ...], seed: int = 0) -> F32:
    """Draw a tensor: uniform, matrices with deviation 1/sqrt(fan-in), weights of norms around 1, biases around 0.

    Uniform numbers are whole numbers over a power of two, so that no logarithm of a platform's own library decides a bit.

    >>> random_tensor("conv_in.bias", (2,))
    array([-0.421934  ,  0.04666514], dtype=float32)
    """
    uniform = 2.0 * np.random.RandomState([seed, zlib.crc32(name.encode())]).random_sample(shape) - 1.0
    if len(shape) > 1:
        values = uniform * np.sqrt(3.0 / np.prod(shape[1:]))
    elif name.endswith("weight"):
        values = 1.0 + 0.5 * uniform
    else:
        values = 0.5 * uniform
    gain = next((factor for pattern, factor in _GAINS if pattern.fullmatch(name)), 1.0)
    drawn: F32 = (gain * values).astype(np.float32)
    return drawn


@dataclass
class _Asked:
    """Weights that are drawn when they are asked for."""

    seed: int
    drawn: dict[str, F32] = field(default_factory=dict)

    def take(self, name: str, shape: tuple[int, ...]) -> Array:
        if name not in self.drawn:
            self.drawn[name] = random_tensor(name, shape, self.seed)
        return self.drawn[name]


@dataclass(frozen=True)
class _Blueprint:
    """As much of a model as the numpy backend asks of one."""

    values: Mapping[str, Any]
    weights: _Asked

    def config(self, component: ComponentName) -> Mapping[str, Any]:  # noqa: ARG002 it has one component
        return self.values

    def where(self, component: ComponentName) -> Path:
        return Path(COMPONENTS[component].folder) / "config.json"

    def tensors(self, component: ComponentName) -> _Asked:  # noqa: ARG002 as above
        return self.weights
