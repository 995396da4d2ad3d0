"""What diffusers 0.42.1's TCDScheduler does otherwise."""

from dataclasses import dataclass

from sdrt.arrays import Float
from sdrt.schedulers.core.run import State
from sdrt.schedulers.samplers.tcd import TCD
from sdrt.schedulers.steps.linear import Weights

__all__ = ["DiffusersTCD"]


@dataclass(frozen=True, kw_only=True)
class DiffusersTCD(TCD):
    """Bounds of x0 that are settings, and that nothing looks at."""

    def _advance(self, c: Weights, state: State, output: Float, noise: Float | None) -> State:
        return self._advance_linear(c, state, output, noise)

    def predicted_x0(self, x: Float, output: Float, alpha: float, sigma: float) -> Float:
        """Return the clean sample that an output amounts to, without its bound."""
        return self.unbounded_x0(x, output, alpha, sigma)
