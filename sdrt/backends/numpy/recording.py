"""Modules that compute what others do, and record what diffusers' module takes and gives, or pass on another value in its place.

What is recorded is without the residual or activation that a kernel here adds in the same pass. It is computed beside the run, which keeps
every bit; only where a value is replaced does the run go on with another.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sdrt.arrays import Array, Float
from sdrt.backends.numpy.activations import geglu, silu
from sdrt.backends.numpy.clip import ClipLayer
from sdrt.backends.numpy.conv import Conv3x3, padded_like
from sdrt.backends.numpy.embeddings import Timesteps
from sdrt.backends.numpy.linear import Linear, parts
from sdrt.backends.numpy.norm import GroupNorm, LayerNorm
from sdrt.backends.numpy.resnet import Resnet
from sdrt.backends.numpy.team import ThreadTeam
from sdrt.backends.numpy.text_encoder import TextEmbeddings
from sdrt.backends.numpy.token_merging import MergingBlock
from sdrt.backends.numpy.transformer import FeedForward, Transformer2D, TransformerBlock
from sdrt.backends.numpy.vae import PixelAttention
from sdrt.errors import ArrayContractError

__all__ = ["RECORDING", "Taps", "recording"]


@dataclass(frozen=True)
class Taps:
    """What one trace records, and what it passes on.

    Parameters
    ----------
    wanted : mapping
        Of a module's path, or its path and ``.input``, the names under which the value is returned.
    substitutes : mapping of arrays
        What modules pass on, by path, in diffusers' layout.
    values : dict
        What has been recorded so far.
    """

    wanted: Mapping[str, Sequence[str]]
    substitutes: Mapping[str, Array]
    values: dict[str, Array] = field(default_factory=dict)

    def touch(self, path: str) -> bool:
        """Return whether the module's value, or what it takes, is recorded or replaced."""
        return path in self.wanted or f"{path}.input" in self.wanted or path in self.substitutes

    def record(self, path: str, value: Float) -> None:
        """Keep a value in diffusers' layout; of two the second, as the final norm of a text encoder has that leaves out last layers."""
        for name in self.wanted.get(path, ()):
            self.values[name] = np.array(value, order="C")

    def replace(self, path: str, value: Float) -> Float | None:
        """Return the substitute of a value in diffusers' layout; None where there is none.

        Raises
        ------
        ArrayContractError : it has another shape
        """
        other = self.substitutes.get(path)
        if other is None:
            return None
        if other.shape != value.shape:
            raise ArrayContractError(
                f"substitute of {path} must have the shape {list(value.shape)}, got {list(other.shape)}; trace it anew"
            )
        return np.array(other, value.dtype, order="C")


def recording(node: Any, path: str, taps: Taps) -> Any:
    """Return a module that computes what this one does, and records values or replaces them if any of its own is touched.

    Parameters
    ----------
    node : a module
    path : str
        Its path in diffusers; several with commas between them for products that are joined here.
    taps : Taps
    """
    paths = [f"{path}.net.0"] if isinstance(node, FeedForward) else path.split(",")
    if type(node) not in RECORDING or not (any(map(taps.touch, paths)) or isinstance(getattr(node, "proj", None), _Recording)):
        return node
    module = object.__new__(RECORDING[type(node)])
    module.__dict__.update(node.__dict__, inner=node, paths=paths, taps=taps)
    return module


def _to_diffusers(module: Any, value: Float) -> Float:
    """Bring what a module takes or gives to the layout of diffusers' module."""
    if value.ndim != 4:
        return value
    if isinstance(module, GroupNorm) and module.is_sequence:
        return value.reshape(value.shape[0], -1, value.shape[3]).transpose(0, 2, 1)
    if isinstance(module, Linear) and not module.is_conv:
        # diffusers' linear layers take the pixels of a picture as a sequence
        return value.reshape(value.shape[0], -1, value.shape[3])
    return value.transpose(0, 3, 1, 2)


def _from_diffusers(module: Any, value: Float, shape: tuple[int, ...]) -> Float:
    """Bring a value of diffusers' module to this shape: `_to_diffusers` the other way."""
    if len(shape) != 4:
        return value
    if isinstance(module, GroupNorm) and module.is_sequence:
        return np.ascontiguousarray(value.transpose(0, 2, 1)).reshape(shape)
    if isinstance(module, Linear) and not module.is_conv:
        return value.reshape(shape)
    return np.ascontiguousarray(value.transpose(0, 2, 3, 1))


class _Recording:
    """A module whose value is what diffusers' module gives."""

    inner: Callable[..., Float]
    paths: Sequence[str]
    taps: Taps

    def __call__(self, *args: Any, **kwargs: Any) -> Float:
        value = self.inner(*args, **kwargs)
        other = self._exchange(value)
        return value if other is None else other

    def _take(self, x: Float) -> None:
        """Record what the module takes."""
        for path in self.paths:
            self.taps.record(f"{path}.input", _to_diffusers(self, x))

    def _exchange(self, value: Float) -> Float | None:
        """Record what the module gives, or each of several joined products would; return what stands in for it, if anything."""
        pieces = parts(value, len(self.paths))
        others = [self._exchange_one(path, piece) for path, piece in zip(self.paths, pieces, strict=True)]
        if all(other is None for other in others):
            return None
        chosen = [piece if other is None else other for piece, other in zip(pieces, others, strict=True)]
        return chosen[0] if len(chosen) == 1 else np.concatenate(chosen, axis=-1)

    def _exchange_one(self, path: str, piece: Float) -> Float | None:
        value = _to_diffusers(self, piece)
        self.taps.record(path, value)
        other = self.taps.replace(path, value)
        return None if other is None else _from_diffusers(self, other, piece.shape)


class _RecordingLayerNorm(_Recording, LayerNorm):
    def __call__(self, team: ThreadTeam, x: Float) -> Float:
        self._take(x)
        return super().__call__(team, x)


class _RecordingLinear(_Recording, Linear):
    def __call__(self, team: ThreadTeam, x: Float, residual: Float | None = None) -> Float:
        self._take(x)
        value = self.inner(team, x)
        other = self._exchange(value)
        if other is None:
            return value if residual is None else self.inner(team, x, residual)
        return other if residual is None else other + residual.reshape(other.shape)


class _RecordingConv3x3(_Recording, Conv3x3):
    def __call__(
        self, team: ThreadTeam, padded: Float, *, stride: int = 1, shift: Float | None = None, residual: Float | None = None
    ) -> Float:
        self._take(padded[:, 1:-1, 1:-1])
        value = self.inner(team, padded, stride=stride)
        other = self._exchange(value)
        if other is None:
            return self.inner(team, padded, stride=stride, shift=shift, residual=residual)
        if shift is not None:
            other += shift[:, None, None]
        return other if residual is None else other + residual


class _RecordingGroupNorm(_Recording, GroupNorm):
    def __call__(self, team: ThreadTeam, x: Float) -> Float:
        self._take(x)
        return super().__call__(team, x)

    def silu_padded(self, team: ThreadTeam, x: Float) -> Float:
        self._take(x)
        other = self._exchange(self.inner(team, x))
        if other is None:
            inner: Any = self.inner
            padded: Float = inner.silu_padded(team, x)
            return padded
        whole, inside = padded_like(team, x.shape, x.dtype)
        silu(other, team.scratch, inside)
        return whole


class _RecordingFeedForward(_Recording, FeedForward):
    def __call__(self, team: ThreadTeam, x: Float, residual: Float) -> Float:
        return self.out(team, self.gated(team, x), residual)

    def gated(self, team: ThreadTeam, x: Float) -> Float:
        inner: Any = self.inner
        value: Float = inner.gated(team, x)
        if isinstance(inner.proj, _Recording):
            # the kernel reads this product's weight, and never makes its value
            joined = inner.proj(team, x)
            if any(path in self.taps.substitutes for path in inner.proj.paths):
                value = _gated(team, joined)
        other = self._exchange(value)
        return value if other is None else other


def _gated(team: ThreadTeam, joined: Float) -> Float:
    """float[..., 2 * width] -> float[..., width], the first half times the second's gelu."""
    first, gate = (half.reshape(-1, half.shape[-1]).copy() for half in parts(joined, 2))
    geglu(first, gate, team.scratch, first)
    return first.reshape(*joined.shape[:-1], -1)


RECORDING: Mapping[type, Any] = {
    **{
        kind: type(f"_Recording{kind.__name__}", (_Recording, kind), {})
        for kind in (ClipLayer, PixelAttention, Resnet, TextEmbeddings, Timesteps, Transformer2D, TransformerBlock, MergingBlock)
    },
    Conv3x3: _RecordingConv3x3,
    FeedForward: _RecordingFeedForward,
    GroupNorm: _RecordingGroupNorm,
    LayerNorm: _RecordingLayerNorm,
    Linear: _RecordingLinear,
}
