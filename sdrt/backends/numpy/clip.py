"""The layers of CLIP's two towers: the text encoder's, and the safety checker's for pictures."""

from dataclasses import dataclass
from typing import Self

from sdrt.arrays import Float
from sdrt.backends.numpy.activations import gelu, quick_gelu
from sdrt.backends.numpy.attention import attend
from sdrt.backends.numpy.configs import TowerConfig
from sdrt.backends.numpy.linear import Linear, parts
from sdrt.backends.numpy.norm import LayerNorm
from sdrt.backends.numpy.source import Source
from sdrt.backends.numpy.team import ThreadTeam

__all__ = ["ClipLayer"]

_ACTIVATIONS = {"quick_gelu": quick_gelu, "gelu": gelu}


@dataclass(frozen=True)
class ClipLayer:
    """Self-attention and two products, each plus its input.

    Parameters
    ----------
    causal : bool
        Whether a place sees only those before it: texts do, pictures do not.
    """

    layer_norm1: LayerNorm
    to_qkv: Linear
    out_proj: Linear
    layer_norm2: LayerNorm
    fc1: Linear
    fc2: Linear
    heads: int
    activation: str
    causal: bool

    @classmethod
    def load(cls, source: Source, config: TowerConfig, *, causal: bool) -> Self:
        width, inner, attention, mlp = config.hidden_size, config.intermediate_size, source.at("self_attn"), source.at("mlp")
        return cls(
            layer_norm1=LayerNorm.load(source.at("layer_norm1"), width, config.layer_norm_eps),
            to_qkv=Linear.joined([Linear.load(attention.at(name), width, width) for name in ("q_proj", "k_proj", "v_proj")]),
            out_proj=Linear.load(attention.at("out_proj"), width, width),
            layer_norm2=LayerNorm.load(source.at("layer_norm2"), width, config.layer_norm_eps),
            fc1=Linear.load(mlp.at("fc1"), width, inner),
            fc2=Linear.load(mlp.at("fc2"), inner, width),
            heads=config.num_attention_heads,
            activation=config.hidden_act,
            causal=causal,
        )

    @classmethod
    def load_all(cls, source: Source, config: TowerConfig, *, causal: bool) -> tuple[Self, ...]:
        """Load a tower's layers, below its encoder's path."""
        return tuple(cls.load(source.at("layers", index), config, causal=causal) for index in range(config.num_hidden_layers))

    def __call__(self, team: ThreadTeam, x: Float) -> Float:
        """float[n, length, width] -> the same."""
        q, k, v = parts(self.to_qkv(team, self.layer_norm1(team, x)), 3)
        x = self.out_proj(team, attend(team, q, k, v, self.heads, causal=self.causal), x)
        hidden = self.fc1(team, self.layer_norm2(team, x))
        _ACTIVATIONS[self.activation](hidden, team.scratch, team.arithmetic.exponential)
        return self.fc2(team, hidden, x)
