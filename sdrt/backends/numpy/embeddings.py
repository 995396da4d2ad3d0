"""The embedding that every residual block takes: that of the timestep, with the additions of SDXL and latent consistency models."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from sdrt.arrays import Array, Float
from sdrt.backends.numpy.activations import silu
from sdrt.backends.numpy.arithmetic import FLOATING, Arithmetic
from sdrt.backends.numpy.denoiser_configs import AddedConfig
from sdrt.backends.numpy.linear import Linear
from sdrt.backends.numpy.source import Source
from sdrt.backends.numpy.team import ThreadTeam
from sdrt.errors import ArrayContractError
from sdrt.models.components import ComponentName
from sdrt.models.components.text_time import BASE_NUMBERS, REFINER_NUMBERS

__all__ = ["AddedEmbedding", "TimeEmbedding", "Timesteps", "TwoProducts", "timestep_features"]

_LOG_10000 = 9.210340371976184


def timestep_features(timestep: Float, size: int, cosines_first: bool, shift: float, arithmetic: Arithmetic = FLOATING) -> Float:
    """Sines and cosines of a timestep at size/2 frequencies from 1 to nearly 1/10000.

    In float32 every intermediate is rounded as diffusers 0.42.1 `get_timestep_embedding` rounds it: near t = 1000 the angles' own rounding
    moves a sine by 3e-5. In float64 nothing is rounded, where diffusers stays in float32.

    Parameters
    ----------
    timestep : float[n]

    Returns
    -------
    float[n, size]; a last odd column is zero
    """
    half, dtype, exp, cos, sin = size // 2, timestep.dtype, arithmetic.exp, arithmetic.cos, arithmetic.sin
    exponent = np.array(-_LOG_10000, dtype) * np.arange(half, dtype=dtype) / np.array(half - shift, dtype)
    angle = timestep[:, None] * exp(exponent.astype(np.float64)).astype(dtype)
    waves = [cos(angle), sin(angle)] if cosines_first else [sin(angle), cos(angle)]
    return np.concatenate([*waves, np.zeros((len(timestep), size % 2), dtype)], axis=1)


@dataclass(frozen=True)
class Timesteps:
    """diffusers' Timesteps: the features of numbers, in the dtype in which these come.

    Parameters
    ----------
    size, cosines_first, shift
        See `timestep_features`.
    """

    size: int
    cosines_first: bool
    shift: float

    def __call__(self, team: ThreadTeam, numbers: Float) -> Float:
        """float[n] -> float[n, size]."""
        return timestep_features(numbers, self.size, self.cosines_first, self.shift, team.arithmetic)


@dataclass(frozen=True)
class TwoProducts:
    """diffusers' TimestepEmbedding: linear_2(silu(linear_1(x)))."""

    linear_1: Linear
    linear_2: Linear

    @classmethod
    def load(cls, source: Source, size_in: int, size_out: int) -> Self:
        return cls(Linear.load(source.at("linear_1"), size_in, size_out), Linear.load(source.at("linear_2"), size_out, size_out))

    def __call__(self, team: ThreadTeam, x: Float) -> Float:
        hidden = self.linear_1(team, x)
        silu(hidden, team.scratch, hidden, team.arithmetic.exponential)
        return self.linear_2(team, hidden)


@dataclass(frozen=True)
class TimeEmbedding:
    """The timestep, and the guidance scale of a latent consistency model where there is one.

    Parameters
    ----------
    cond_proj : Linear or None
        Brings the embedded guidance scale to the width of the timestep's features.
    """

    time_proj: Timesteps
    cond_proj: Linear | None
    products: TwoProducts

    @classmethod
    def load(cls, source: Source, time_proj: Timesteps, size: int, condition_size: int | None) -> Self:
        features = time_proj.size
        cond_proj = None if condition_size is None else Linear.load(source.at("cond_proj"), condition_size, features, bias=False)
        return cls(time_proj, cond_proj, TwoProducts.load(source, features, size))

    def __call__(self, team: ThreadTeam, inputs: Mapping[str, Array]) -> Float:
        """`timestep` float[n], and `timestep_cond` where the network has it -> float[n, size]."""
        waves = self.time_proj(team, inputs["timestep"])
        return self.products(team, waves if self.cond_proj is None else self.cond_proj(team, inputs["timestep_cond"], waves))


@dataclass(frozen=True)
class AddedEmbedding:
    """SDXL's pooled text and numbers, as wide as the embedded timestep that they are added to.

    Parameters
    ----------
    add_time_proj : Timesteps
        Of each number.
    joint_size : int
        Width of the text and all features together.
    """

    component: ComponentName
    add_time_proj: Timesteps
    products: TwoProducts
    joint_size: int

    @classmethod
    def load(cls, component: ComponentName, source: Source, config: AddedConfig, size: int, time_proj: Timesteps) -> Self:
        """Read it below diffusers' own names; its numbers become waves as the timestep does, in another number."""
        products = TwoProducts.load(source, config.joint_size, size)
        return cls(component, replace(time_proj, size=config.time_size), products, config.joint_size)

    def __call__(self, team: ThreadTeam, text_embeds: Float, time_ids: Float) -> Float:
        """float[n, P], float[n, k] -> float[n, size].

        Raises
        ------
        ArrayContractError : P numbers and k times the features are not what the model takes
        """
        rows, count = time_ids.shape
        width = text_embeds.shape[1]
        each = self.add_time_proj.size
        if width + count * each != self.joint_size:
            raise ArrayContractError(
                f"{self.component} input: text_embeds is {width} wide and time_ids has {count} numbers of {each} features, "
                f"together {width + count * each}, but the model takes {self.joint_size}: SDXL's base takes "
                f"{BASE_NUMBERS} numbers, its refiner {REFINER_NUMBERS}"
            )
        waves = self.add_time_proj(team, time_ids.reshape(-1))
        return self.products(team, np.concatenate([text_embeds, waves.reshape(rows, -1)], axis=1))
