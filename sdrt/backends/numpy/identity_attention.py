"""Self-attention whose map is the identity: each pixel attends to itself alone, so that values pass unchanged.

Source: Ahn et al. 2024 (arXiv:2403.17377), equation 15.
"""

from dataclasses import dataclass, replace

from sdrt.arrays import Float
from sdrt.backends.numpy.linear import Linear
from sdrt.backends.numpy.team import ThreadTeam
from sdrt.backends.numpy.transformer import SelfAttention, TransformerBlock

__all__ = ["IdentityAttention", "with_identity"]


@dataclass(frozen=True)
class IdentityAttention:
    """A self-attention without queries and keys."""

    to_v: Linear
    to_out: Linear

    def __call__(self, team: ThreadTeam, x: Float, residual: Float | None = None) -> Float:
        """float[n, length, width] -> the same, plus ``residual``."""
        return self.to_out(team, self.to_v(team, x), residual)


def with_identity(block: TransformerBlock) -> TransformerBlock:
    """Return a block whose self-attention's map is the identity, with the same weights."""
    if not isinstance(block.attn1, SelfAttention):
        return block
    return replace(block, attn1=IdentityAttention(block.attn1.to_qkv.part(2, 3), block.attn1.to_out))
