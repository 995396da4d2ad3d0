"""Mistakes in a network's parts: the judge's program with one part replaced, as a port might have written it."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from sdrt.arrays import Array, Float
from sdrt.backends.numpy.attention import attend
from sdrt.backends.numpy.clip import ClipLayer
from sdrt.backends.numpy.embeddings import Timesteps
from sdrt.backends.numpy.linear import Linear, parts
from sdrt.backends.numpy.norm import GroupNorm, LayerNorm
from sdrt.backends.numpy.program import Program
from sdrt.backends.numpy.resnet import Downsample, Upsample
from sdrt.backends.numpy.team import ThreadTeam
from sdrt.backends.numpy.text_encoder import TextEncoder
from sdrt.backends.numpy.transformer import CrossAttention, FeedForward, SelfAttention

__all__ = ["MISTAKES", "Mistake"]

Change = Callable[[Any], Any]


@dataclass(frozen=True)
class Mistake:
    """A mistake.

    Parameters
    ----------
    kind : str
        Of the fault.
    text : str
        What is wrong.
    change : callable
        Returns a module with it, or the same one where it has nothing to do.
    """

    kind: str
    text: str
    change: Change

    def program(self, program: Program) -> Program:
        """Return a whole program with the mistake everywhere."""
        changed: Program = _rebuilt(program, self.change)
        return changed


def _rebuilt(node: Any, change: Change) -> Any:
    """Change every module and every array of a tree of modules, the inner ones first."""
    if isinstance(node, np.ndarray):
        return change(node)
    if isinstance(node, tuple):
        return tuple(_rebuilt(each, change) for each in node)
    if not is_dataclass(node) or isinstance(node, type):
        return node
    values = {field.name: getattr(node, field.name) for field in fields(node)}
    return change(replace(node, **{name: _rebuilt(value, change) for name, value in values.items()}))


def _of(kind: type | tuple[type, ...], **values: Any) -> Change:
    """Give fields of modules of a class other values; a callable is given the module."""

    def change(node: Any) -> Any:
        if not isinstance(node, kind):
            return node
        changed: Any = node
        return replace(changed, **{name: value(node) if callable(value) else value for name, value in values.items()})

    return change


def _gelu_by_tanh(x: Float) -> Float:
    gelu: Float = 0.5 * x * (1.0 + np.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3)))
    return gelu


def _quick_gelu(x: Float) -> Float:
    gelu: Float = x / (1.0 + np.exp(-1.702 * x))
    return gelu


def _silu(x: Float) -> Float:
    silu: Float = x / (1.0 + np.exp(-x))
    return silu


def _with_gate(activate: Callable[[Float], Float], node: Any) -> Any:
    """Return a feed-forward or a layer of CLIP with another activation, in place of gelu alone."""
    if isinstance(node, FeedForward):
        return _Gated(proj=node.proj, out=node.out, activate=activate)
    if isinstance(node, ClipLayer) and node.activation == "gelu":
        return _Activated(**{field.name: getattr(node, field.name) for field in fields(node)}, activate=activate)
    return node


@dataclass(frozen=True, kw_only=True)
class _Gated(FeedForward):
    activate: Callable[[Float], Float]

    def gated(self, team: ThreadTeam, x: Float) -> Float:
        value, gate = parts(self.proj(team, x), 2)
        return value * self.activate(gate)


@dataclass(frozen=True, kw_only=True)
class _Activated(ClipLayer):
    activate: Callable[[Float], Float]

    def __call__(self, team: ThreadTeam, x: Float) -> Float:
        q, k, v = parts(self.to_qkv(team, self.layer_norm1(team, x)), 3)
        x = self.out_proj(team, attend(team, q, k, v, self.heads, causal=self.causal), x)
        return self.fc2(team, self.activate(self.fc1(team, self.layer_norm2(team, x))), x)


@dataclass(frozen=True)
class _Bilinear(Upsample):
    def __call__(self, team: ThreadTeam, x: Float, size: tuple[int, int] | None = None) -> Float:
        _, height, width, _ = x.shape
        tall, wide = size or (2 * height, 2 * width)
        x = _stretched(_stretched(x, 1, tall), 2, wide)
        # the convolution takes pixels as the nearest neighbours of themselves
        return super().__call__(team, x, (tall, wide))


def _stretched(x: Float, axis: int, size: int) -> Float:
    count = x.shape[axis]
    at = np.clip((np.arange(size) + 0.5) * count / size - 0.5, 0, count - 1)
    low = np.floor(at).astype(int)
    share = (at - low).reshape([-1 if each == axis else 1 for each in range(x.ndim)])
    stretched: Float = np.take(x, low, axis) * (1 - share) + np.take(x, np.minimum(low + 1, count - 1), axis) * share
    return stretched


@dataclass(frozen=True)
class _Nothing:
    """A module that returns its input."""

    def __call__(self, team: ThreadTeam, x: Float) -> Float:  # noqa: ARG002 as modules are called
        return x


def _query_times(product: Linear, factor: float, share: int) -> Linear:
    """Scale the first of so many joined products."""
    weight = np.array(product.weight())
    width = weight.shape[1] // share
    weight[:, :width] *= factor
    bias = None if product.bias is None else np.concatenate([product.bias[:width] * factor, product.bias[width:]])
    return Linear(weight, bias, product.is_conv)


def _scaled_scores(power: float, node: Any) -> Any:
    """Multiply the scores of an attention by a power of its heads' width."""
    if isinstance(node, SelfAttention | ClipLayer):
        factor = (node.to_qkv.weight().shape[1] / 3 / node.heads) ** power
        return replace(node, to_qkv=_query_times(node.to_qkv, factor, 3))
    if isinstance(node, CrossAttention):
        return replace(node, to_q=_query_times(node.to_q, (node.to_q.weight().shape[1] / node.heads) ** power, 1))
    return node


def _swapped_gate(node: Any) -> Any:
    if not isinstance(node, FeedForward):
        return node
    weight, half = node.proj.weight(), node.proj.weight().shape[1] // 2
    bias = None if node.proj.bias is None else np.roll(node.proj.bias, half)
    return replace(node, proj=Linear(np.roll(weight, half, axis=1), bias))


def _heads_as_width(node: SelfAttention | CrossAttention) -> int:
    """Read attention_head_dim as the width of a head, where Stable Diffusion's files mean the number of heads."""
    width = node.to_out.weight().shape[0]
    return width // node.heads if width % node.heads == 0 else node.heads


def _rounded(bits: int, node: Any) -> Any:
    """Round an array to so many bits of the mantissa."""
    if not isinstance(node, np.ndarray) or node.dtype.kind != "f":
        return node
    mantissa, exponent = np.frexp(node)
    rounded: Array = np.ldexp(np.round(np.ldexp(mantissa, bits)), exponent - bits)
    return rounded


@dataclass(frozen=True)
class _PooledLast(TextEncoder):
    def run(self, team: ThreadTeam, inputs: Mapping[str, Array]) -> dict[str, Array]:
        outputs = super().run(team, inputs)
        last = outputs["last_hidden_state"][:, -1]
        return outputs | {"pooled": last if self.text_projection is None else self.text_projection(team, last)}


def _pooled_last(node: Any) -> Any:
    return _PooledLast(**{field.name: getattr(node, field.name) for field in fields(node)}) if type(node) is TextEncoder else node


def _pooled_first(node: Any) -> Any:
    """No token has the id that is looked for."""
    return _of(TextEncoder, config=lambda encoder: replace(encoder.config, eos_token_id=-1))(node)


_OTHER_EPSILONS = (1e-2, 1e-3, 1e-4, 1e-6)

MISTAKES: Mapping[str, Mistake] = {
    mistake.text: mistake
    for mistake in (
        Mistake("gelu_by_tanh", "gelu is the approximation by tanh", partial(_with_gate, _gelu_by_tanh)),
        Mistake("another_activation", "gelu is the quick one, x * sigmoid(1.702 x)", partial(_with_gate, _quick_gelu)),
        Mistake("another_activation", "silu stands for gelu", partial(_with_gate, _silu)),
        Mistake("another_activation", "gelu stands for quick_gelu", _of(ClipLayer, activation="gelu")),
        Mistake("another_activation", "value and gate of the feed-forward are swapped", _swapped_gate),
        *(Mistake("layer_norm_epsilon", f"layer norms have an epsilon of {eps:g}", _of(LayerNorm, eps=eps)) for eps in _OTHER_EPSILONS),
        *(Mistake("group_norm_epsilon", f"group norms have an epsilon of {eps:g}", _of(GroupNorm, eps=eps)) for eps in _OTHER_EPSILONS),
        Mistake("causal_mask_missing", "tokens attend to those that follow: the causal mask is missing", _of(ClipLayer, causal=False)),
        Mistake("causal_mask_added", "patches attend only to those before them: there is a causal mask", _of(ClipLayer, causal=True)),
        Mistake(
            "attention_scale", "the scores of attentions are not divided by the root of the heads' width", partial(_scaled_scores, 0.5)
        ),
        Mistake(
            "attention_scale", "the scores of attentions are divided by the heads' width, not by its root", partial(_scaled_scores, -0.5)
        ),
        Mistake(
            "attention_heads", "attention_head_dim is the width of a head", _of((SelfAttention, CrossAttention), heads=_heads_as_width)
        ),
        Mistake("attention_heads", "attentions have one head", _of((SelfAttention, CrossAttention, ClipLayer), heads=1)),
        Mistake("sines_and_cosines_swapped", "sines come before cosines: flip_sin_to_cos", _of(Timesteps, cosines_first=False)),
        Mistake("frequencies_shifted", "the frequencies of the timestep's features are those of freq_shift 1", _of(Timesteps, shift=1.0)),
        Mistake("padding_of_downsampling", "down-samplers are padded on one side only", _of(Downsample, before=0)),
        Mistake("padding_of_downsampling", "down-samplers are padded on both sides", _of(Downsample, before=1)),
        Mistake("upsampling_not_nearest", "up-samplers interpolate", lambda node: _Bilinear(node.conv) if type(node) is Upsample else node),
        Mistake("final_norm_missing", "the final layer norm is left out", _of(TextEncoder, final_layer_norm=lambda _: _Nothing())),
        Mistake("pooled_elsewhere", "the pooled state is that of the first position", _pooled_first),
        Mistake("pooled_elsewhere", "the pooled state is that of the last position, where padding is", _pooled_last),
        Mistake("weights_rounded", "weights are rounded to float16", partial(_rounded, 11)),
        Mistake("weights_rounded", "weights are rounded to bfloat16", partial(_rounded, 8)),
    )
}
