"""Networks of a line each, which note what they are asked."""

from typing import Any

import numpy as np

from sdrt.arrays import F32, F64, Array
from sdrt.testing.foreign_arrays import as_numpy, is_torch, like_torch

__all__ = ["LoopNetworks", "decode", "encode", "predict"]

WIDTH = 12


def encode(input_ids: Array) -> F32:
    """Return f32[n,77,12] of i[n,77]: other ids, other states."""
    states: F32 = np.sin(input_ids[:, :, None] * 0.37 + np.arange(WIDTH) * 0.9).astype(np.float32)
    return states


def predict(sample: Array, timestep: float, states: Array) -> F32:
    """Return f32[n,4,h,w], nonlinear in all three."""
    told = states[:, :6].mean((1, 2))[:, None, None, None]
    output: F32 = (np.sin(sample * (1.0 + told)) + 0.3 * told + timestep / 5000.0).astype(np.float32)
    return output


def decode(z: Array) -> F32:
    """Return f32[n,3,8h,8w] of f32[n,4,h,w]; some values lie outside of [-1, 1]."""
    whole = np.repeat(np.repeat(z[:, :3], 8, axis=2), 8, axis=3)
    image: F32 = (1.4 * np.tanh(0.1 * whole)).astype(np.float32)
    return image


class LoopNetworks:
    """What a loop calls in place of its networks: numpy arrays or torch tensors, whatever it passes it gets back.

    ========================================================  ====================================
    ``text_encoder(input_ids)``                               i[n,77] to f32[n,77,12]
    ``unet(sample, timestep, encoder_hidden_states)``         f32[n,4,h,w], a number or n of them,
                                                              f32[n,77,12] to f32[n,4,h,w]
    ``vae_decoder(z)``                                        f32[n,4,h,w] to f32[n,3,8h,8w]
    ========================================================  ====================================
    """

    def __init__(self) -> None:
        self.rows: list[tuple[F64, float]] = []  # sample and timestep of each row that the U-Net was asked
        self.decoded: list[F64] = []

    def text_encoder(self, input_ids: Any) -> Any:
        """Encode rows of ids."""
        return _back(encode(as_numpy(input_ids)), input_ids)

    def unet(self, sample: Any, timestep: Any, encoder_hidden_states: Any) -> Any:
        """Predict from samples, a timestep and encoded rows."""
        x, states = as_numpy(sample), as_numpy(encoder_hidden_states)
        times = np.broadcast_to(as_numpy(timestep).astype(np.float64).reshape(-1), (len(x),))
        self.rows += [(x[k].astype(np.float64), float(times[k])) for k in range(len(x))]
        return _back(np.concatenate([predict(x[k : k + 1], float(times[k]), states[k : k + 1]) for k in range(len(x))]), sample)

    def vae_decoder(self, z: Any) -> Any:
        """Decode latents."""
        self.decoded.append(as_numpy(z).astype(np.float64))
        return _back(decode(as_numpy(z)), z)


def _back(result: F32, given: Any) -> Any:
    return like_torch(result) if is_torch(given) else result
